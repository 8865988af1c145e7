"""AnimateDiff: Stable Diffusion 1.5 with motion modules between its layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from diffusers import AutoencoderKL, DDIMScheduler, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from transformers import CLIPTextModel

from rewardkit.engine.generator import Embedding, FilmShape, Level
from rewardkit.engine.noise import Latents
from rewardkit.errors import BadInputError
from rewardkit_adapters.backbone import FrameByFrame
from rewardkit_adapters.folder import load_network, load_parts, read_index
from rewardkit_adapters.tiny import tiny_chain, tiny_clip, tiny_image_autoencoder

LINEAR = {"beta_schedule": "linear", "clip_sample": False, "timestep_spacing": "leading", "steps_offset": 1}


class AnimateDiff(FrameByFrame):
    """A folder of an `AnimateDiffPipeline`, or Stable Diffusion and a motion adapter as `BASE+MOTION`.

    Of a base of its own the scheduler is set to what motion modules were trained with: linear betas, and steps that
    do not end in one without effect, as those of `linspace` do.
    """

    name: ClassVar[str] = "animatediff"
    pipeline: ClassVar[str] = "AnimateDiffPipeline"
    parts: ClassVar[Mapping[str, Any]] = {"unet": UNetMotionModel, "text_encoder": CLIPTextModel, "vae": AutoencoderKL}
    default_guidance: ClassVar[float] = 7.5
    default_dtype: ClassVar[torch.dtype] = torch.float16
    prompt_tokens: int = 77
    tiny_shape: ClassVar[FilmShape] = FilmShape(16, 32, 32)

    @classmethod
    def load(cls, model: str, dtype: torch.dtype) -> Self:
        """From a folder or hub id; two of them with a plus between."""
        base, plus, motion = model.partition("+")
        if not plus:
            return super().load(model, dtype)
        index = read_index(cls.name, base)
        index.check("StableDiffusionPipeline")
        parts = load_parts(index, {**cls.parts, "unet": UNet2DConditionModel}, False, dtype)
        modules = load_network(MotionAdapter, cls.name, motion, "", dtype)
        parts["unet"] = UNetMotionModel.from_unet2d(parts["unet"], modules)
        parts["scheduler"] = DDIMScheduler.from_config(parts["scheduler"].config, **LINEAR)
        return cls(**parts)

    @classmethod
    def tiny_parts(cls, kind: str) -> dict[str, Any]:
        """Films of 32 by 32."""
        unet = UNetMotionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
            up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion"),
            layers_per_block=1,
            norm_num_groups=8,
            cross_attention_dim=32,
            num_attention_heads=2,
            motion_num_attention_heads=2,
        )
        return tiny_clip() | {"unet": unet, "vae": tiny_image_autoencoder(), "scheduler": tiny_chain(**LINEAR)}

    def plain(self) -> Any:
        """The pipeline takes motion modules that are in the UNet already."""
        self._parts.setdefault("motion_adapter", None)
        return super().plain()

    def read(self, prompts: list[str]) -> Embedding:
        """The last hidden states of CLIP's text tower."""
        return {"encoder_hidden_states": self.plain().encode_prompt(prompts, self.device, 1, False)[0]}

    def output(self, denoiser: Any, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """Every frame is told the prompt."""
        words = embedding["encoder_hidden_states"].repeat_interleave(noisy.shape[2], dim=0)
        output: Latents = denoiser(noisy, level.timestep, words).sample
        return output

    def latent_shape(self, shape: FilmShape) -> tuple[int, int, int, int]:
        """Motion modules know so many places in time, 32 in the published ones."""
        most = self.sizes["motion_max_seq_length"]
        if shape.frames > most:
            raise BadInputError(f"{self.name} makes films of 1 to {most} frames: got {shape.frames}")
        return super().latent_shape(shape)
