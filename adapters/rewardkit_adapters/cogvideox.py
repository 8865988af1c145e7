"""CogVideoX 2B, 5B and 1.5: joint attention over words and film, a causal autoencoder that goes by pairs of latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel
from torch import Tensor
from transformers import T5EncoderModel

from rewardkit.engine.generator import Embedding, FilmShape, Level
from rewardkit.engine.noise import Latents
from rewardkit.errors import BadInputError
from rewardkit_adapters.backbone import Backbone
from rewardkit_adapters.decoding import Steps
from rewardkit_adapters.tiny import tiny_t5


class Pairs(Steps):
    """The decoder takes latents two by two; the first time, one more where their number is odd."""

    def __init__(self, vae: AutoencoderKLCogVideoX) -> None:
        self.vae = vae

    def sizes(self, total: int) -> list[int]:
        """3, 2, 2, ..."""
        return [total] if total < 2 else [2 + total % 2, *[2] * (total // 2 - 1)]

    def __call__(self, z: Latents, memory: Any) -> tuple[Tensor, Any]:
        """By `conv_cache`, which it makes anew."""
        if self.vae.post_quant_conv is not None:
            z = self.vae.post_quant_conv(z)
        frames, memory = self.vae.decoder(z, conv_cache=memory)
        return frames, memory


class CogVideoX(Backbone):
    """A `CogVideoXPipeline`. Films have 1, 9, 17, ... frames: the decoder makes another film of an even number.

    CogVideoX 1.5 goes by pairs of latents; its walk has one more before the film, as in the pipeline.
    """

    name: ClassVar[str] = "cogvideox"
    pipeline: ClassVar[str] = "CogVideoXPipeline"
    parts: ClassVar[Mapping[str, Any]] = {
        "transformer": CogVideoXTransformer3DModel,
        "text_encoder": T5EncoderModel,
        "vae": AutoencoderKLCogVideoX,
    }
    default_guidance: ClassVar[float] = 6.0
    prompt_tokens: int = 226
    decoding: ClassVar[str] = "causal, by pairs of latents"
    kinds: ClassVar[tuple[str, ...]] = ("2b", "5b", "1.5")
    tiny_shape: ClassVar[FilmShape] = FilmShape(9, 32, 48)

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.steps = Pairs(self.vae)
        config = parts["transformer"].config
        self.pairs = config["patch_size_t"] is not None
        self.frame_ratio, self.frame_step = 4, 8
        self.shrinks = 2 ** (len(self.vae.config["block_out_channels"]) - 1)
        self.side = self.shrinks * config["patch_size"]
        self.sides = (config["sample_height"] * self.shrinks, config["sample_width"] * self.shrinks)
        self.default_shape = FilmShape(config["sample_frames"], *self.sides)

    @classmethod
    def tiny_parts(cls, kind: str) -> dict[str, Any]:
        """Four pixels a latent; `2b` adds places to words and film, the others turn them (`5b`, `1.5`)."""
        transformer = CogVideoXTransformer3DModel(
            num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, time_embed_dim=8,
            text_embed_dim=32, num_layers=2, sample_width=16, sample_height=8, sample_frames=9,
            patch_size_t=2 if kind == "1.5" else None, patch_bias=kind != "1.5",
            max_text_seq_length=cls.prompt_tokens, use_rotary_positional_embeddings=kind in ("5b", "1.5"),
        )  # fmt: skip
        vae = AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 3, up_block_types=("CogVideoXUpBlock3D",) * 3,
            block_out_channels=(8, 8, 16), latent_channels=4, layers_per_block=1, norm_num_groups=4,
            sample_height=32, sample_width=64, scaling_factor=0.7,
        )  # fmt: skip
        scheduler = CogVideoXDDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
            prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing",
            snr_shift_scale=3.0 if kind == "2b" else 1.0,
        )  # fmt: skip
        return tiny_t5(cls.prompt_tokens) | {"transformer": transformer, "vae": vae, "scheduler": scheduler}

    def read(self, prompts: list[str]) -> Embedding:
        """T5's last hidden states, padding and all."""
        words, _ = self.plain().encode_prompt(prompts, None, False, device=self.device)
        return {"encoder_hidden_states": words}

    def output(self, denoiser: Any, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """Frames before channels, and turned by their places where the model was trained so."""
        by_frame = noisy.transpose(1, 2)
        turned = None
        if denoiser.config.use_rotary_positional_embeddings:
            sides = (side * self.shrinks for side in noisy.shape[-2:])
            turned = self.plain()._prepare_rotary_positional_embeddings(*sides, by_frame.shape[1], noisy.device)
        timestep = level.timestep.expand(len(noisy))
        output: Latents = denoiser(by_frame, timestep=timestep, image_rotary_emb=turned, **embedding).sample
        return output.transpose(1, 2)

    def from_pipeline(self, latents: Tensor, shape: FilmShape) -> Latents:
        """The pipeline has frames before channels."""
        return latents.transpose(1, 2)

    def latent_shape(self, shape: FilmShape) -> tuple[int, int, int, int]:
        """With the latent before the film, where latents go by pairs; 1.5 knows no places beyond its own sides."""
        channels, frames, height, width = super().latent_shape(shape)
        if self.pairs and (shape.height > self.sides[0] or shape.width > self.sides[1]):
            most = "{} by {}".format(*self.sides)
            raise BadInputError(f"this {self.name} makes films of {most} at most: got {shape.height} by {shape.width}")
        return channels, frames + self.pairs, height, width

    def encoded(self, pixels: Tensor) -> Latents:
        """The first latent twice, where they go by pairs."""
        latents = super().encoded(pixels)
        return torch.cat([latents[:, :, :1], latents], dim=2) if self.pairs else latents

    def pictures(self, z: Latents, frames: Tensor | None) -> Tensor:
        """Without what is before the film."""
        return super().pictures(z[:, :, int(self.pairs) :], frames)

    def needed(self, latents: int, total: int) -> int:
        """An odd number, three at least, where latents are not stepped through."""
        return min(max(3, latents + 1 - latents % 2), total)
