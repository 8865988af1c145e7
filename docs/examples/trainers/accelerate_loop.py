"""A training loop of one's own on plain diffusers and accelerate: rewardkit gives the reward, and nothing else.

    accelerate launch accelerate_loop.py --prompts prompts.txt --reward "hpsv2.1[frames=segments:4]"

Needs rewardkit[train].
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator
from films_with_gradient import MINIWORLD, films, load, save

import rewardkit as rk


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--model", default=str(MINIWORLD))
    parser.add_argument("--reward", default="miniworld[frames=segments:2]")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--out", type=Path, default=Path("lora.safetensors"))
    chosen = parser.parse_args()

    prompts = [line.strip() for line in chosen.prompts.read_text(encoding="utf-8").split("\n") if line.strip()]
    accelerator = Accelerator()
    pipe = load(chosen.model)
    reward = rk.create_reward(chosen.reward, device=str(accelerator.device))
    pipe.to(accelerator.device)
    lora = [weight for weight in pipe.unet.parameters() if weight.requires_grad]
    unet, optimiser = accelerator.prepare(pipe.unet, torch.optim.AdamW(lora, lr=chosen.learning_rate))
    size = (len(prompts), pipe.unet.config.in_channels, chosen.frames, *[pipe.unet.config.sample_size] * 2)
    random = torch.Generator().manual_seed(accelerator.process_index)
    for step in range(chosen.steps):
        plan = reward.plan(chosen.frames, batch=len(prompts), generator=random)  # first which frames,
        noise = torch.randn(size, generator=random).to(accelerator.device)
        frames = films(pipe, unet, prompts, plan.index.to(accelerator.device), noise)  # then only those
        scores = reward(frames, prompts, plan=plan)
        accelerator.backward(-scores.mean())
        optimiser.step()
        optimiser.zero_grad()
        mean = accelerator.reduce(scores.detach().mean(), "mean")
        accelerator.print(f"step {step + 1}: reward {float(mean):.4f}")
    if accelerator.is_main_process:
        save(pipe, chosen.out)


if __name__ == "__main__":
    main()
