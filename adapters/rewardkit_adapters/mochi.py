"""Mochi 1: a flow that counts up, words and film in two streams, a causal autoencoder of six frames a latent."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from diffusers import AutoencoderKLMochi, FlowMatchEulerDiscreteScheduler, MochiTransformer3DModel
from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule
from transformers import T5EncoderModel

from rewardkit.engine.generator import Embedding, FilmShape, Level
from rewardkit.engine.noise import Latents
from rewardkit.errors import UsageError
from rewardkit_adapters.backbone import Backbone
from rewardkit_adapters.tiny import tiny_t5

THRESHOLD = 0.025  # of noise, up to which steps are even


class Mochi(Backbone):
    """A `MochiPipeline`: first even steps, then ever longer ones."""

    name: ClassVar[str] = "mochi"
    pipeline: ClassVar[str] = "MochiPipeline"
    parts: ClassVar[Mapping[str, Any]] = {
        "transformer": MochiTransformer3DModel,
        "text_encoder": T5EncoderModel,
        "vae": AutoencoderKLMochi,
    }
    options: ClassVar[tuple[str, ...]] = ("force_zeros_for_empty_prompt",)
    flow: ClassVar[bool] = True
    default_guidance: ClassVar[float] = 4.5
    prompt_tokens: int = 256
    decoding: ClassVar[str] = "causal prefix"
    causal: ClassVar[bool] = True
    tiny_shape: ClassVar[FilmShape] = FilmShape(13, 32, 48)

    def __init__(self, force_zeros_for_empty_prompt: bool = False, **parts: Any) -> None:
        super().__init__(**parts)
        if not self.scheduler.config.get("invert_sigmas"):
            kind = type(self.scheduler).__name__
            raise UsageError(f"{self.name} counts up to the film and needs invert_sigmas, which its {kind} has not")
        self.force_zeros_for_empty_prompt = force_zeros_for_empty_prompt
        self.frame_ratio = self.frame_step = self.vae.temporal_compression_ratio
        self.shrinks = self.vae.spatial_compression_ratio
        self.side = self.shrinks * parts["transformer"].config["patch_size"]
        self.default_shape = FilmShape(85, 480, 848)

    @classmethod
    def tiny_parts(cls, kind: str) -> dict[str, Any]:
        """Eight pixels a latent."""
        transformer = MochiTransformer3DModel(
            num_attention_heads=2, attention_head_dim=12, num_layers=2, pooled_projection_dim=16, in_channels=12,
            text_embed_dim=32, time_embed_dim=8, max_sequence_length=cls.prompt_tokens,
        )  # fmt: skip
        vae = AutoencoderKLMochi(
            encoder_block_out_channels=(32, 32, 32, 32), decoder_block_out_channels=(32, 32, 32, 32),
            layers_per_block=(1, 1, 1, 1, 1),
        )  # fmt: skip
        scheduler = FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
        parts = {"transformer": transformer, "vae": vae, "scheduler": scheduler, "force_zeros_for_empty_prompt": True}
        return tiny_t5(cls.prompt_tokens) | parts

    def read(self, prompts: list[str]) -> Embedding:
        """T5's last hidden states, and which of them are words; of the empty prompt none may be."""
        words, mask, *_ = self.plain().encode_prompt(prompts, None, False, device=self.device)
        return {"encoder_hidden_states": words, "encoder_attention_mask": mask}

    def schedule(self, steps: int, shape: FilmShape) -> dict[str, Any]:
        """Linear, then quadratic."""
        return {"sigmas": linear_quadratic_schedule(steps, THRESHOLD)}

    def output(self, denoiser: Any, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """It gives the way to the film, and a flow the way to the noise."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="In CPU autocast")  # which it asks for in float32
            output: Latents = denoiser(noisy, timestep=level.timestep.expand(len(noisy)), **embedding).sample
        return -output
