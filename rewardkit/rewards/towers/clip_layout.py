"""Names of CLIP's tensors: from transformers' to open_clip's, which are OpenAI's."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from rewardkit.weights.stored import Tensors, derived

RENAMED = (
    (r"^(?:vision_model|text_model)\.encoder\.layers\.(\d+)\.", r"\1|"),
    (r"layer_norm1\.", "ln_1."),
    (r"layer_norm2\.", "ln_2."),
    (r"mlp\.fc1\.", "mlp.c_fc."),
    (r"mlp\.fc2\.", "mlp.c_proj."),
    (r"self_attn\.out_proj\.", "attn.out_proj."),
)
SINGLE = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
}
TRANSPOSED = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}


def to_open_clip(tensors: Tensors) -> Tensors:
    """The same tensors under open_clip's names; `tensors` is emptied.

    Names that are no CLIP's are kept, so that they can be told as unknown.
    """
    if not any(name.startswith("vision_model.") for name in tensors):
        return tensors
    named: Tensors = {}
    for name in list(tensors):
        if name not in tensors:  # taken along with its query, key or value
            continue
        if name in TRANSPOSED:
            named[TRANSPOSED[name]] = derived(lambda weight: weight.T.contiguous(), tensors.pop(name))
        elif (found := re.fullmatch(r"(.*self_attn\.)[qkv]_proj\.(weight|bias)", name)) and _whole(found, tensors):
            parts = [tensors.pop(f"{found[1]}{part}_proj.{found[2]}") for part in "qkv"]
            named[_block(found[1].replace("self_attn", "attn")) + f"in_proj_{found[2]}"] = derived(_joined, *parts)
        else:
            named[SINGLE.get(name) or _block(name)] = tensors.pop(name)
    return named


def _joined(*parts: Tensor) -> Tensor:
    return torch.cat(parts)


def _whole(found: re.Match[str], tensors: Tensors) -> bool:
    return all(f"{found[1]}{part}_proj.{found[2]}" in tensors for part in "qkv")


def _block(name: str) -> str:
    tower = "visual.transformer" if name.startswith("vision_model") else "transformer"
    for pattern, other in RENAMED:
        name = re.sub(pattern, other, name)
    number, inside, rest = name.partition("|")
    return f"{tower}.resblocks.{number}.{rest}" if inside else name
