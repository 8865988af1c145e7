"""Backbones of the real classes with random weights, between `tiny()` and the published: a step takes seconds here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLCogVideoX,
    AutoencoderKLWan,
    CogVideoXTransformer3DModel,
    UNet3DConditionModel,
    WanTransformer3DModel,
)
from torch import nn

from rewardkit.engine.generator import FilmShape
from rewardkit_adapters.backbone import Backbone
from rewardkit_adapters.cogvideox import CogVideoX
from rewardkit_adapters.modelscope import ModelScope
from rewardkit_adapters.tiny import fill_zeros
from rewardkit_adapters.wan import Wan


def wan() -> tuple[dict[str, nn.Module], FilmShape]:
    """192 tokens of 512 numbers, 8 blocks: 36 million weights."""
    return {
        "transformer": WanTransformer3DModel(
            num_attention_heads=4, attention_head_dim=128, in_channels=4, out_channels=4, text_dim=32, freq_dim=256,
            ffn_dim=2048, num_layers=8, rope_max_seq_len=32,
        ),
        "vae": AutoencoderKLWan(
            base_dim=16, z_dim=4, dim_mult=[1, 2, 4, 4], num_res_blocks=1, latents_mean=[0.1] * 4, latents_std=[1.5] * 4
        ),
    }, FilmShape(9, 128, 128)  # fmt: skip


def cogvideox() -> tuple[dict[str, nn.Module], FilmShape]:
    """226 tokens of words and 192 of the film, of 512 numbers, 6 blocks."""
    return {
        "transformer": CogVideoXTransformer3DModel(
            num_attention_heads=8, attention_head_dim=64, in_channels=4, out_channels=4, time_embed_dim=256,
            text_embed_dim=32, num_layers=6, sample_width=16, sample_height=16, sample_frames=9,
            max_text_seq_length=226,
        ),
        "vae": AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
            block_out_channels=(32, 32, 64, 64), latent_channels=4, layers_per_block=1, norm_num_groups=4,
            sample_height=128, sample_width=128,
        ),
    }, FilmShape(9, 128, 128)  # fmt: skip


def modelscope() -> tuple[dict[str, nn.Module], FilmShape]:
    """A UNet of 64 to 256 channels over 8 frames."""
    return {
        "unet": UNet3DConditionModel(
            sample_size=16, block_out_channels=(64, 128, 256), layers_per_block=1, norm_num_groups=8,
            down_block_types=("CrossAttnDownBlock3D",) * 2 + ("DownBlock3D",),
            up_block_types=("UpBlock3D",) + ("CrossAttnUpBlock3D",) * 2, cross_attention_dim=32, attention_head_dim=32,
        ),
        "vae": AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(32, 64, 128, 128), layers_per_block=1, latent_channels=4, norm_num_groups=8,
            sample_size=128,
        ),
    }, FilmShape(8, 128, 128)  # fmt: skip


KINDS: dict[str, tuple[type[Backbone], str, Callable[[], tuple[dict[str, nn.Module], FilmShape]]]] = {
    "wan": (Wan, "2.1", wan),
    "cogvideox": (CogVideoX, "2b", cogvideox),
    "modelscope": (ModelScope, "", modelscope),
}


def midsize(name: str) -> Backbone:
    """One of `KINDS`, seeded; text encoder and scheduler are those of `tiny()`."""
    kind, variant, networks = KINDS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made, shape = networks()
        parts: dict[str, Any] = kind.tiny_parts(variant) | made
        backbone = kind(**parts)
        for network in backbone.networks().values():
            fill_zeros(network)
    backbone.default_shape = shape
    return backbone
