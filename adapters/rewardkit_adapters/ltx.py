"""LTX-Video: a flow over packed tokens whose steps depend on their number, an autoencoder of 32 pixels a latent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKLLTXVideo, FlowMatchEulerDiscreteScheduler, LTXVideoTransformer3DModel
from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift
from torch import Tensor
from transformers import T5EncoderModel

from rewardkit.engine.generator import Embedding, FilmShape, Level
from rewardkit.engine.noise import Latents
from rewardkit_adapters.backbone import Backbone
from rewardkit_adapters.tiny import tiny_t5

FRAME_RATE = 25  # that the denoiser is told, the pipeline's own
SHIFT = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5, "max_shift": 1.15}


class LTX(Backbone):
    """An `LTXPipeline`. Every frame depends on all latents; leaving out later ones is a way to approximate them.

    Attributes:
        decode_timestep: of decoders that take one, from 0.9.1 on; 0 is the pipeline's own. Noise, which the pipeline
            adds to latents above 0, is never added.
    """

    name: ClassVar[str] = "ltx"
    pipeline: ClassVar[str] = "LTXPipeline"
    parts: ClassVar[Mapping[str, Any]] = {
        "transformer": LTXVideoTransformer3DModel,
        "text_encoder": T5EncoderModel,
        "vae": AutoencoderKLLTXVideo,
    }
    flow: ClassVar[bool] = True
    default_guidance: ClassVar[float] = 3.0
    prompt_tokens: int = 128
    may_cut: ClassVar[bool] = True
    decoding: ClassVar[str] = "all latents"
    kinds: ClassVar[tuple[str, ...]] = ("0.9", "0.9.1")
    tiny_shape: ClassVar[FilmShape] = FilmShape(9, 32, 64)
    decode_timestep: float = 0.0

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.frame_ratio = self.frame_step = self.vae.temporal_compression_ratio
        self.shrinks = self.side = self.vae.spatial_compression_ratio
        self.default_shape = FilmShape(161, 512, 704)

    @classmethod
    def tiny_parts(cls, kind: str) -> dict[str, Any]:
        """The decoder of `0.9.1` takes a timestep."""
        transformer = LTXVideoTransformer3DModel(
            in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32,
            num_layers=2, caption_channels=32,
        )  # fmt: skip
        vae = AutoencoderKLLTXVideo(
            latent_channels=8, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8),
            layers_per_block=(1, 1, 1, 1, 1), decoder_layers_per_block=(1, 1, 1, 1, 1),
            timestep_conditioning=kind == "0.9.1",
        )  # fmt: skip
        scheduler = FlowMatchEulerDiscreteScheduler(
            use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, base_image_seq_len=1024, max_image_seq_len=4096,
            shift_terminal=0.1,
        )  # fmt: skip
        return tiny_t5(cls.prompt_tokens) | {"transformer": transformer, "vae": vae, "scheduler": scheduler}

    def read(self, prompts: list[str]) -> Embedding:
        """T5's last hidden states, and which of them are words."""
        words, mask, *_ = self.plain().encode_prompt(prompts, None, False, device=self.device)
        return {"encoder_hidden_states": words, "encoder_attention_mask": mask}

    def schedule(self, steps: int, shape: FilmShape) -> dict[str, Any]:
        """Even steps, bent the more the longer the film."""
        _, *sides = self.latent_shape(shape)
        bend = {name: self.scheduler.config.get(name, default) for name, default in SHIFT.items()}
        return {
            "sigmas": np.linspace(1.0, 1 / steps, steps),
            "mu": calculate_shift(int(np.prod(sides)), *bend.values()),
        }

    def from_pipeline(self, latents: Tensor, shape: FilmShape) -> Latents:
        """The pipeline has tokens."""
        size = self.latent_shape(shape)
        return latents.transpose(1, 2).reshape(len(latents), *size)

    def output(self, denoiser: Any, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """Latents are tokens there, and are told their places in seconds and pixels."""
        _, _, frames, height, width = noisy.shape
        tokens: Tensor = denoiser(
            noisy.flatten(2).transpose(1, 2),
            timestep=level.timestep.expand(len(noisy)),
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(self.frame_ratio / FRAME_RATE, self.shrinks, self.shrinks),
            **embedding,
        ).sample
        return tokens.transpose(1, 2).reshape(noisy.shape)

    def film(self, z: Latents) -> Tensor:
        """Decoders that take a timestep are given one."""
        timestep = None
        if self.vae.config["timestep_conditioning"]:
            timestep = torch.full((len(z),), self.decode_timestep, device=z.device, dtype=z.dtype)
        film: Tensor = self.vae.decode(z, timestep).sample
        return film
