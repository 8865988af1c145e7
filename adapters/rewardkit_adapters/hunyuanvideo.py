"""HunyuanVideo: a flow whose guidance is told to it, Llama and CLIP text, an autoencoder decoded in tiles of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from diffusers import AutoencoderKLHunyuanVideo, FlowMatchEulerDiscreteScheduler, HunyuanVideoTransformer3DModel
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPTextModel, LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from rewardkit.engine.generator import Embedding, FilmShape, Level
from rewardkit.engine.noise import Latents
from rewardkit_adapters.backbone import Backbone
from rewardkit_adapters.tiny import tiny_clip


class HunyuanVideo(Backbone):
    """A `HunyuanVideoPipeline`. Denoisers without embedded guidance, as SkyReels V1, are guided by two passes.

    The autoencoder decodes films of more than four latents in tiles of time, each blended with the one before. Frames
    then depend on the latents up to the end of their tile, and are decoded from those; those of shorter films on all.
    """

    name: ClassVar[str] = "hunyuanvideo"
    pipeline: ClassVar[str] = "HunyuanVideoPipeline"
    parts: ClassVar[Mapping[str, Any]] = {
        "transformer": HunyuanVideoTransformer3DModel,
        "text_encoder": LlamaModel,
        "text_encoder_2": CLIPTextModel,
        "vae": AutoencoderKLHunyuanVideo,
    }
    flow: ClassVar[bool] = True
    default_guidance: ClassVar[float] = 6.0
    prompt_tokens: int = 256
    may_cut: ClassVar[bool] = True
    decoding: ClassVar[str] = "tiles of time, up to the frame's; all latents of four or fewer"
    kinds: ClassVar[tuple[str, ...]] = ("embedded", "two passes")
    tiny_shape: ClassVar[FilmShape] = FilmShape(9, 32, 48)

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        config = parts["transformer"].config
        self.guidance = "embedded" if config["guidance_embeds"] else "two passes"
        self.frame_ratio = self.frame_step = self.vae.temporal_compression_ratio
        self.shrinks = self.vae.spatial_compression_ratio
        self.side = self.shrinks * config["patch_size"]
        self.default_shape = FilmShape(129, 720, 1280)

    @classmethod
    def tiny_parts(cls, kind: str) -> dict[str, Any]:
        """Eight pixels a latent."""
        transformer = HunyuanVideoTransformer3DModel(
            in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=1,
            num_single_layers=1, num_refiner_layers=1, guidance_embeds=kind != "two passes", text_embed_dim=32,
            pooled_projection_dim=32, rope_axes_dim=(4, 4, 4),
        )  # fmt: skip
        vae = AutoencoderKLHunyuanVideo(
            latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4,
        )  # fmt: skip
        tokenizer = _tiny_tokenizer()
        llama = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        )  # fmt: skip
        return tiny_clip("_2") | {
            "transformer": transformer, "text_encoder": LlamaModel(llama), "tokenizer": tokenizer, "vae": vae,
            "scheduler": FlowMatchEulerDiscreteScheduler(shift=7.0),
        }  # fmt: skip

    def read(self, prompts: list[str]) -> Embedding:
        """Llama's hidden states three layers before its end, which of them are words, and CLIP's summary."""
        words, summary, mask = self.plain().encode_prompt(prompts, device=self.device)
        return {"encoder_hidden_states": words, "pooled_projections": summary, "encoder_attention_mask": mask}

    def count_tokens(self, prompt: str) -> int:
        """Of the prompt in what Llama is asked, without what is cut off before it."""
        asked = DEFAULT_PROMPT_TEMPLATE["template"].format(prompt)
        return len(self.tokenizer(asked, verbose=False).input_ids) - int(DEFAULT_PROMPT_TEMPLATE["crop_start"])

    def schedule(self, steps: int, shape: FilmShape) -> dict[str, Any]:
        """Even steps, which the scheduler bends."""
        return {"sigmas": np.linspace(1.0, 0.0, steps + 1)[:-1]}

    def output(self, denoiser: Any, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """The scale of guidance counts in thousandths."""
        told = {name: part.to(noisy.dtype) for name, part in embedding.items()}
        if "guidance" in told:
            told["guidance"] = told["guidance"] * 1000
        output: Latents = denoiser(noisy, timestep=level.timestep.expand(len(noisy)), **told).sample
        return output

    def needed(self, latents: int, total: int) -> int:
        """Up to the end of the tile that has the last of them."""
        size: int = self.vae.tile_sample_min_num_frames // self.frame_ratio
        if not self.vae.use_framewise_decoding or total <= size:
            return total
        stride: int = self.vae.tile_sample_stride_num_frames // self.frame_ratio
        tile = max(0, latents - 2) // stride  # of latent 0 and the next `stride`, of the `stride` after those, ...
        return min(tile * stride + size + 1, total)


def _tiny_tokenizer() -> PreTrainedTokenizerFast:
    """The words of the template are words, all others letters."""
    split = pre_tokenizers.Whitespace()
    words = [word for word, _ in split.pre_tokenize_str(DEFAULT_PROMPT_TEMPLATE["template"])]
    letters = [chr(number) for number in range(33, 127)]
    known = dict.fromkeys(["<unk>", "<pad>", *words, *letters, *(f"##{letter}" for letter in letters)])
    model = models.WordPiece({word: number for number, word in enumerate(known)}, unk_token="<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = split
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", padding_side="right"
    )
