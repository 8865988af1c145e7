"""Latte: a transformer that looks at space and at time in turn, T5 text, an image autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, LatteTransformer3DModel
from transformers import T5EncoderModel

from rewardkit.engine.generator import Embedding, FilmShape, Level
from rewardkit.engine.noise import Latents
from rewardkit.errors import BadInputError
from rewardkit_adapters.backbone import FrameByFrame
from rewardkit_adapters.tiny import tiny_chain, tiny_image_autoencoder, tiny_t5


class Latte(FrameByFrame):
    """A `LattePipeline`. Prompts are read as it reads several at once: alone, it cuts the padding off instead."""

    name: ClassVar[str] = "latte"
    pipeline: ClassVar[str] = "LattePipeline"
    parts: ClassVar[Mapping[str, Any]] = {
        "transformer": LatteTransformer3DModel,
        "text_encoder": T5EncoderModel,
        "vae": AutoencoderKL,
    }
    default_guidance: ClassVar[float] = 7.5
    default_dtype: ClassVar[torch.dtype] = torch.float16
    lora_file: ClassVar[bool] = False
    prompt_tokens: int = 120
    tiny_shape: ClassVar[FilmShape] = FilmShape(25, 32, 32)

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        config = parts["transformer"].config
        self.side *= config["patch_size"]
        self.frames = config["video_length"]
        self.default_shape = self.default_shape.but(self.frames)

    @classmethod
    def tiny_parts(cls, kind: str) -> dict[str, Any]:
        """Films of 25 frames, a number that every backbone can make."""
        transformer = LatteTransformer3DModel(
            num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2,
            cross_attention_dim=16, attention_bias=True, sample_size=8, patch_size=2,
            activation_fn="gelu-approximate", num_embeds_ada_norm=1000, norm_type="ada_norm_single",
            norm_elementwise_affine=False, norm_eps=1e-6, caption_channels=32, video_length=25,
        )  # fmt: skip
        chain = tiny_chain(beta_schedule="linear", beta_start=0.0001, beta_end=0.02)
        parts = {"transformer": transformer, "vae": tiny_image_autoencoder(), "scheduler": chain}
        return tiny_t5(cls.prompt_tokens) | parts

    def read(self, prompts: list[str]) -> Embedding:
        """T5's last hidden states; of a prompt, but not of the empty one, those of padding are zero."""
        tokens = self.tokenizer(
            [prompt.lower().strip() for prompt in prompts],
            padding="max_length",
            max_length=self.prompt_tokens,
            truncation=True,
            return_tensors="pt",
        ).to(self.device)
        words: torch.Tensor = self.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
        return {"encoder_hidden_states": words * tokens.attention_mask[..., None] if prompts[0] else words}

    def output(self, denoiser: Any, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """Its second half is a learned variance, which DDIM has no use for."""
        timestep = level.timestep.expand(len(noisy))
        output: Latents = denoiser(noisy, timestep=timestep, **embedding).sample
        return output[:, : noisy.shape[1]]

    def latent_shape(self, shape: FilmShape) -> tuple[int, int, int, int]:
        """It knows places in time for films of one length."""
        if shape.frames not in (1, self.frames):
            raise BadInputError(f"{self.name} makes films of 1 or {self.frames} frames: got {shape.frames}")
        return super().latent_shape(shape)
