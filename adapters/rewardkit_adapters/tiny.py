"""Small random parts of the real classes that several backbones have, for `tiny()`."""

from __future__ import annotations

import string
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer

WIDTH = 32  # of text embeddings


def tiny_clip(number: str = "") -> dict[str, Any]:
    """A text tower, and a tokenizer for which every byte is a word; `_2` in their names if they are the second."""
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: n for n, word in enumerate(words)}, merges=[], model_max_length=77)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return {f"text_encoder{number}": CLIPTextModel(config), f"tokenizer{number}": tokenizer}


def tiny_t5(marks: int, encoder: type = T5EncoderModel, config: type = T5Config) -> dict[str, Any]:
    """A T5, or one of its kind, and a tokenizer for which every letter is a word."""
    marked = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\N{LOWER ONE EIGHTH BLOCK}", -2.0)]
    letters = [(letter, -3.0) for letter in sorted({*string.printable} - {*string.whitespace})]
    tokenizer = T5Tokenizer(vocab=[*marked, *letters], extra_ids=0, model_max_length=marks)
    sizes = config(vocab_size=len(tokenizer), d_model=WIDTH, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    return {"text_encoder": encoder(sizes), "tokenizer": tokenizer}


def tiny_image_autoencoder() -> AutoencoderKL:
    """Of Stable Diffusion's kind, four pixels a latent."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
    )


def tiny_chain(**changes: Any) -> DDIMScheduler:
    """ModelScope's chain of betas."""
    settings = {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "timestep_spacing": "leading",
    }
    return DDIMScheduler(**settings | changes)


@torch.no_grad()
def fill_zeros(network: nn.Module) -> None:
    """Draws matrices that begin as zero, so that no part of a random network is without effect."""
    for weight in network.parameters():
        if weight.ndim > 1 and not weight.any():
            weight.normal_(std=0.05)
