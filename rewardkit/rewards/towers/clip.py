"""CLIP: picture and text towers on open_clip, from checkpoints in OpenAI's, open_clip's or transformers' layout."""

from __future__ import annotations

import functools
import gc
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from rewardkit.errors import UsageError
from rewardkit.rewards.towers.clip_layout import to_open_clip
from rewardkit.weights.content import sha256_of
from rewardkit.weights.filling import Placement, filled
from rewardkit.weights.reading import read_tensors
from rewardkit.weights.sharing import shared
from rewardkit.weights.stored import part

Architecture = str | Mapping[str, Any]
"""The name of an open_clip configuration such as `ViT-H-14`, or one written out in its form."""

DROP = ("*position_ids", "*attn_mask", "input_resolution", "context_length", "vocab_size", "*num_batches_tracked")
CONTEXT = 77  # tokens, begin and end included


class ClipTower(nn.Module):
    """Pictures and texts as vectors of one space."""

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        self.clip = _open_clip().CLIP(**architecture)
        for module in self.clip.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked = None  # counts training; OpenAI's files lack it, others have it

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        dtype: torch.dtype = self.clip.positional_embedding.dtype
        return dtype

    @property
    def width(self) -> int:
        """Length of its vectors."""
        width: int = self.clip.visual.output_dim
        return width

    @property
    def scale(self) -> Float[Tensor, ""]:
        """What cosines are multiplied by, near 100."""
        return widened(self.clip.logit_scale).exp()

    def images(self, pixels: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image feature"]:
        """One vector a picture, not normalised."""
        self._checkpoint_where_gradient_goes(pixels)
        return widened(self.clip.encode_image(pixels.to(self.dtype)))

    def texts(self, tokens: Int[Tensor, "text token"]) -> Float[Tensor, "text feature"]:
        """One vector a text, not normalised, taken at its end token."""
        return widened(self.clip.encode_text(tokens.to(self.clip.logit_scale.device)))

    def image_tokens(self, pixels: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image patch feature"]:
        """Every patch in the common space, class token first; without the last norm."""
        self._checkpoint_where_gradient_goes(pixels)
        visual = self.clip.visual
        return widened(visual.transformer(visual._embeds(pixels.to(self.dtype))) @ visual.proj)

    def text_tokens(self, tokens: Int[Tensor, "text token"]) -> Float[Tensor, "text token feature"]:
        """Every token of each text in the common space."""
        clip = self.clip
        hidden = clip.token_embedding(tokens.to(clip.logit_scale.device)) + clip.positional_embedding
        return widened(clip.ln_final(clip.transformer(hidden, attn_mask=clip.attn_mask)) @ clip.text_projection)

    def images_at_any_size(self, pixels: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image feature"]:
        """One vector a picture of any size, for ResNet towers: attention pooling without position embedding."""
        visual = self.clip.visual
        hidden = visual.stem(pixels.to(self.dtype))
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            hidden = layer(hidden)
        return widened(_pooled(visual.attnpool, hidden))

    def _checkpoint_where_gradient_goes(self, pixels: Tensor) -> None:
        """Computes activations again on the way back instead of keeping them; without gradient that is for nothing."""
        self.clip.set_grad_checkpointing(pixels.requires_grad and torch.is_grad_enabled())


def load_clip(
    who: str,
    path: Path,
    architecture: Architecture,
    placement: Placement,
    under: str = "",
) -> ClipTower:
    """The tower in the checkpoint at `path`, shared with every reward that uses it already.

    Args:
        who: the reward, for errors.
        path: in the layout of OpenAI, open_clip or transformers; told by the names in it.
        architecture: what it must be. Weights of OpenAI need a configuration with QuickGELU (`ViT-L-14-quickgelu`):
            with the other one every score is silently wrong.
        placement: device and precision.
        under: the prefix that the tower's names have in a file that holds more; other names are not looked at.

    Raises:
        BadCheckpointError: the file holds something else.
    """
    config = configuration(architecture)

    def load() -> ClipTower:
        named = to_open_clip(part(read_tensors(who, path), under))
        named = {f"clip.{name}": tensor for name, tensor in named.items()}
        return filled(who, lambda: ClipTower(config), named, path, placement, [f"clip.{pattern}" for pattern in DROP])

    return shared(("clip", repr(config), sha256_of(path), under), placement, load)


def configuration(architecture: Architecture) -> Mapping[str, Any]:
    """An architecture written out.

    Raises:
        UsageError: open_clip knows none of that name.
    """
    if not isinstance(architecture, str):
        return architecture
    found: Mapping[str, Any] | None = _open_clip().get_model_config(architecture)
    if found is None:
        raise UsageError(f"open_clip has no architecture called {architecture!r}")
    return found


def cosine(a: Float[Tensor, "item feature"], b: Float[Tensor, "item feature"]) -> Float[Tensor, " item"]:
    """Cosine of each row of `a` with the same row of `b`."""
    # fp32: near 0.27, where scores of HPSv2 lie, bf16 can only step by 0.002
    return (F.normalize(widened(a), dim=-1) * F.normalize(widened(b), dim=-1)).sum(-1)


def widened(values: Tensor) -> Tensor:
    """At least float32."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _pooled(pool: Any, hidden: Float[Tensor, "image channel row column"]) -> Float[Tensor, "image feature"]:
    """The mean looks at every place; open_clip's own pooling adds positions, which binds it to one size."""
    places = hidden.flatten(2).transpose(1, 2)
    mean = places.mean(dim=1, keepdim=True)
    places = torch.cat([mean, places], dim=1)

    def heads(values: Tensor) -> Tensor:
        return values.view(*values.shape[:-1], pool.num_heads, -1).transpose(1, 2)

    query, key, value = heads(pool.q_proj(mean)), heads(pool.k_proj(places)), heads(pool.v_proj(places))
    found: Tensor = F.scaled_dot_product_attention(query, key, value)
    pooled: Tensor = pool.c_proj(found.transpose(1, 2).flatten(2)).squeeze(1)
    return pooled


class OpenAITokenizer:
    """OpenAI's tokenizer as open_clip ships it: texts are mended and unescaped first, padded with zeros."""

    def __init__(self, context: int = CONTEXT) -> None:
        self.context = context

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "text token"]:
        """Tokens of each text; what is too long is cut, with the end token last."""
        tokens: Tensor = _simple_tokenizer()(list(texts), context_length=self.context)
        return tokens

    def length(self, text: str) -> int:
        """Tokens of the whole text, begin and end included."""
        return len(_simple_tokenizer().encode(text)) + 2


class HuggingFaceTokenizer:
    """The tokenizer of transformers' CLIP, padded to the full length with the end token.

    It differs from OpenAI's in curly quotes, escaped and mangled text. Its vocabulary is made from the file that
    open_clip ships, so it needs no download.
    """

    def __init__(self, context: int = CONTEXT) -> None:
        self.context = context

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "text token"]:
        """Tokens of each text; what is too long is cut, with the end token last."""
        encoded = _fast_tokenizer()(list(texts), padding="max_length", truncation=True, max_length=self.context)
        return torch.tensor(encoded["input_ids"])

    def length(self, text: str) -> int:
        """Tokens of the whole text, begin and end included."""
        return len(_fast_tokenizer()(text, verbose=False)["input_ids"])


@functools.lru_cache(maxsize=1)
def _simple_tokenizer() -> Any:
    return _open_clip().SimpleTokenizer()


@functools.lru_cache(maxsize=1)
def _fast_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    stock = _open_clip().tokenizer
    with gzip.open(stock.default_bpe(), "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1 : 49152 - 256 - 2 + 1]
    letters = list(stock.bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    pairs: Any = [tuple(merge.split()) for merge in merges]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=pairs)


def _open_clip() -> Any:
    """The library. It brings torch._dynamo, torchvision, transformers and timm: two seconds, once a process."""
    collecting = gc.isenabled()
    gc.disable()  # so many objects and hardly any garbage: looking for it takes a fifth of the time
    try:
        import open_clip
    finally:
        if collecting:
            gc.enable()
    return open_clip
