"""Films whose chosen frames carry gradient, in plain diffusers: what a trainer of one's own needs beside a reward.

The walk has no graph but in its last step (DRaFT-1, arXiv:2309.17400), and only the frames that the reward asked for
are decoded. Written for TextToVideoSDPipeline: ModelScopeT2V, ZeroScope, and the mini world that comes with rewardkit.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DDIMScheduler, TextToVideoSDPipeline
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import save_file

import rewardkit.miniworld

MINIWORLD = Path(rewardkit.miniworld.__file__).parent / "weights" / "generator"


def load(model: str, rank: int = 4) -> TextToVideoSDPipeline:
    """The pipeline, frozen, with a fresh LoRA in its UNet."""
    pipe = TextToVideoSDPipeline.from_pretrained(model).to(torch.float32)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    for part in (pipe.vae, pipe.text_encoder, pipe.unet):
        part.requires_grad_(False)
    inject_adapter_in_model(LoraConfig(r=rank, target_modules=["to_q", "to_k", "to_v", "to_out.0"]), pipe.unet)
    return pipe


def save(pipe: TextToVideoSDPipeline, path: Path) -> None:
    """The LoRA alone."""
    save_file(get_peft_model_state_dict(pipe.unet), path)


def films(
    pipe: TextToVideoSDPipeline,
    unet: torch.nn.Module,
    prompts: list[str],
    frames: torch.Tensor,
    noise: torch.Tensor,
    steps: int = 10,
    guidance: float = 4.0,
) -> torch.Tensor:
    """The chosen frames (batch, chosen, 3, height, width) of a film a prompt, in [0, 1], with gradient into the LoRA.

    Args:
        pipe: from `load`.
        unet: the pipeline's, or what DDP made of it: calls must go through the wrapper, or gradients are not averaged.
        prompts: one a film.
        frames: numbers of the chosen frames, (batch, chosen).
        noise: (batch, channel, frame, height, width) in latents.
        steps: of the walk.
        guidance: scale.
    """
    words = torch.cat(pipe.encode_prompt(prompts, noise.device, 1, True)[::-1]).detach()
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(steps, device=noise.device)
    latents = noise
    for number, timestep in enumerate(scheduler.timesteps):
        with torch.set_grad_enabled(number == steps - 1):
            without, told = unet(torch.cat([latents] * 2), timestep, encoder_hidden_states=words).sample.chunk(2)
            guided = without + guidance * (told - without)
            latents = scheduler.step(guided, timestep, latents).prev_sample
    by_frame = latents.transpose(1, 2)[torch.arange(len(prompts))[:, None], frames]
    pixels = pipe.vae.decode(by_frame.flatten(0, 1) / pipe.vae.config.scaling_factor).sample
    return (pixels / 2 + 0.5).clamp(0, 1).unflatten(0, frames.shape)
