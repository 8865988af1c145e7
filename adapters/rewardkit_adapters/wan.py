"""Wan 2.1 and 2.2: a flow, a causal autoencoder that goes latent by latent, two experts in the 14B of 2.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanTransformer3DModel
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from rewardkit.engine.generator import Embedding, FilmShape, Level
from rewardkit.engine.noise import Latents
from rewardkit_adapters.backbone import Backbone
from rewardkit_adapters.decoding import Steps
from rewardkit_adapters.folder import Index
from rewardkit_adapters.tiny import tiny_t5


class OneByOne(Steps):
    """The decoder takes latent after latent, and remembers two frames of every convolution."""

    def __init__(self, vae: AutoencoderKLWan) -> None:
        self.vae = vae

    def sizes(self, total: int) -> list[int]:
        """1, 1, 1, ..."""
        return [1] * total

    def __call__(self, z: Latents, memory: Any) -> tuple[Tensor, Any]:
        """By a list, which the decoder writes into: it gets a new one."""
        known = [None] * self.vae._cached_conv_counts["decoder"] if memory is None else list(memory)
        z = self.vae.post_quant_conv(z)
        frames = self.vae.decoder(z, feat_cache=known, feat_idx=[0], first_chunk=memory is None)
        patch = self.vae.config["patch_size"]
        return (frames if patch is None else unpatchify(frames, patch_size=patch)), known


class Wan(Backbone):
    """A `WanPipeline`: one expert, or two that share the walk at `boundary_ratio`, each with a LoRA of its own.

    Attributes:
        boundary_ratio: share of the chain, from its end, that `transformer_2` walks.
        expand_timesteps: whether every token is told its timestep, as in the 5B of 2.2.
    """

    name: ClassVar[str] = "wan"
    pipeline: ClassVar[str] = "WanPipeline"
    parts: ClassVar[Mapping[str, Any]] = {
        "transformer": WanTransformer3DModel,
        "text_encoder": UMT5EncoderModel,
        "vae": AutoencoderKLWan,
    }
    options: ClassVar[tuple[str, ...]] = ("boundary_ratio", "expand_timesteps")
    flow: ClassVar[bool] = True
    default_guidance: ClassVar[float] = 5.0
    expert_guidance: ClassVar[tuple[float, float]] = (4.0, 3.0)
    prompt_tokens: int = 512
    decoding: ClassVar[str] = "causal, latent by latent"
    causal: ClassVar[bool] = True
    kinds: ClassVar[tuple[str, ...]] = ("2.1", "2.2-a14b", "2.2-5b")
    tiny_shape: ClassVar[FilmShape] = FilmShape(9, 32, 64)

    def __init__(self, boundary_ratio: float | None = None, expand_timesteps: bool = False, **parts: Any) -> None:
        super().__init__(**parts)
        self.boundary_ratio, self.expand_timesteps, self.steps = boundary_ratio, expand_timesteps, OneByOne(self.vae)
        self.frame_ratio = self.frame_step = self.vae.config["scale_factor_temporal"]
        self.shrinks = self.vae.config["scale_factor_spatial"]
        self.side = self.shrinks * parts["transformer"].config["patch_size"][-1]
        self.default_shape = FilmShape(121, 704, 1280) if expand_timesteps else FilmShape(81, 480, 832)

    @classmethod
    def parts_of(cls, index: Index) -> Mapping[str, Any]:
        """With the second expert where there is one."""
        two = index.kind_of("transformer_2") is not None
        return {**cls.parts, "transformer_2": WanTransformer3DModel} if two else cls.parts

    @classmethod
    def tiny_parts(cls, kind: str) -> dict[str, Any]:
        """Eight pixels a latent, 16 in the autoencoder of `2.2-5b`."""
        channels = 8 if kind == "2.2-5b" else 4

        def transformer() -> WanTransformer3DModel:
            return WanTransformer3DModel(
                num_attention_heads=2, attention_head_dim=12, in_channels=channels, out_channels=channels, text_dim=32,
                freq_dim=16, ffn_dim=32, num_layers=2, rope_max_seq_len=32,
            )  # fmt: skip

        statistics = {"latents_mean": [0.1] * channels, "latents_std": [1.5] * channels}
        sides = {"in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16}
        vae = AutoencoderKLWan(
            base_dim=4, z_dim=channels, dim_mult=[1, 1, 2, 2], num_res_blocks=1, **statistics,
            **({"is_residual": True, "decoder_base_dim": 8, **sides} if kind == "2.2-5b" else {}),
        )  # fmt: skip
        parts = tiny_t5(cls.prompt_tokens, UMT5EncoderModel, UMT5Config) | {
            "transformer": transformer(), "vae": vae, "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0),
            "expand_timesteps": kind == "2.2-5b",
        }  # fmt: skip
        return parts | ({"transformer_2": transformer(), "boundary_ratio": 0.875} if kind == "2.2-a14b" else {})

    def read(self, prompts: list[str]) -> Embedding:
        """UMT5's last hidden states; those of padding are zero."""
        words, _ = self.plain().encode_prompt(
            prompts, None, False, max_sequence_length=self.prompt_tokens, device=self.device
        )
        return {"encoder_hidden_states": words}

    def denoiser_at(self, level: Level) -> Any:
        """The second expert below the boundary."""
        return self._parts["transformer_2" if self._is_late(level) else "transformer"]

    def guidance_at(self, level: Level) -> float:
        """One scale for each expert."""
        return self.default_guidance if self.boundary_ratio is None else self.expert_guidance[self._is_late(level)]

    def _is_late(self, level: Level) -> bool:
        chain = self.scheduler.config["num_train_timesteps"]
        return self.boundary_ratio is not None and float(level.timestep) < self.boundary_ratio * chain

    def output(self, denoiser: Any, noisy: Latents, level: Level, embedding: Embedding) -> Latents:
        """The timestep of the batch, or of every token, which is then the same."""
        timestep = level.timestep.expand(len(noisy))
        if self.expand_timesteps:
            tokens = noisy[0, 0, :, ::2, ::2].numel()
            timestep = timestep[:, None].expand(-1, tokens)
        output: Latents = denoiser(noisy, timestep=timestep, **embedding).sample
        return output

    def layers_of_decoder(self) -> list[nn.Module]:
        """None: they remember by changing what they are given, so that only a whole step can be computed again."""
        return []
