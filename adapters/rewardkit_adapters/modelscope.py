"""ModelScopeT2V and its relatives (ZeroScope, the mini world): a UNet over films, CLIP text, an image autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from transformers import CLIPTextModel

from rewardkit.engine.generator import Embedding, FilmShape, Level
from rewardkit.engine.noise import Latents
from rewardkit_adapters.backbone import FrameByFrame
from rewardkit_adapters.tiny import tiny_chain, tiny_clip, tiny_image_autoencoder


class ModelScope(FrameByFrame):
    """The parts of a `TextToVideoSDPipeline`, loaded by folder: that class may leave diffusers, its parts will not."""

    name: ClassVar[str] = "modelscope"
    pipeline: ClassVar[str] = "TextToVideoSDPipeline"
    parts: ClassVar[Mapping[str, Any]] = {
        "unet": UNet3DConditionModel,
        "text_encoder": CLIPTextModel,
        "vae": AutoencoderKL,
    }
    default_guidance: ClassVar[float] = 9.0
    default_dtype: ClassVar[torch.dtype] = torch.float16
    lora_file: ClassVar[bool] = False
    tiny_shape: ClassVar[FilmShape] = FilmShape(16, 32, 32)

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.prompt_tokens = min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings)

    @classmethod
    def tiny_parts(cls, kind: str) -> dict[str, Any]:
        """4 MB, films of 32 by 32."""
        unet = UNet3DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
            up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
            layers_per_block=1,
            norm_num_groups=8,
            cross_attention_dim=32,
            attention_head_dim=8,
        )
        return tiny_clip() | {"unet": unet, "vae": tiny_image_autoencoder(), "scheduler": tiny_chain()}

    def read(self, prompts: list[str]) -> Embedding:
        """The last hidden states of CLIP's text tower."""
        tokens = self.tokenizer(
            prompts, padding="max_length", max_length=self.prompt_tokens, truncation=True, return_tensors="pt"
        )
        return {"encoder_hidden_states": self.text_encoder(tokens.input_ids.to(self.device)).last_hidden_state}

    def output(self, denoiser: Any, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """One timestep for the batch."""
        output: Latents = denoiser(noisy, level.timestep, **embedding).sample
        return output
