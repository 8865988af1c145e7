"""What the references that stand on OpenAI's clip share: tiny models of its kind, loaded by its own call."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import golden
import torch


def tiny(patch: int, width: int) -> dict[str, Any]:
    """Sizes of a ViT in the words of open_clip's configurations; clip takes 64 for the width of every head."""
    return {
        "embed_dim": width,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 224, "layers": 3, "width": 128, "head_width": 64, "patch_size": patch},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2},
    }


def save(clip: ModuleType, sizes: Mapping[str, Any], place: Path, gain: float = 1.0) -> tuple[Path, dict[str, Any]]:
    """A checkpoint of a model of these sizes, and how it is made; a TorchScript archive, as the published ones are."""
    model = _model(clip, sizes)
    made = golden.file(model.state_dict(), gain=gain)
    model.load_state_dict(golden.tensors(made))
    inputs = (torch.zeros(1, 3, 224, 224), torch.zeros(1, 77, dtype=torch.int64))
    torch.jit.trace(model.eval(), inputs).save(place)
    return place, made


def _model(clip: ModuleType, sizes: Mapping[str, Any]) -> Any:
    vision, text = sizes["vision_cfg"], sizes["text_cfg"]
    return clip.model.CLIP(
        sizes["embed_dim"],
        vision["image_size"],
        tuple(vision["layers"]) if isinstance(vision["layers"], list) else vision["layers"],
        vision["width"],
        vision["patch_size"],
        text["context_length"],
        text["vocab_size"],
        text["width"],
        text["heads"],
        text["layers"],
    )


def keep_precision(clip: ModuleType) -> None:
    """Keeps the package from rounding weights to half: the published ones are half already, ours are not."""
    clip.model.convert_weights = lambda model: None


def definitions(code: str, names: Collection[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Some classes and functions of a script, without running the rest of it; `given` is what they refer to."""
    wanted = (ast.ClassDef, ast.FunctionDef)
    kept = [node for node in ast.parse(code).body if isinstance(node, wanted) and node.name in names]
    made = dict(given)
    exec(compile(ast.Module(kept, []), "<official>", "exec"), made)
    return {name: made[name] for name in names}


def source(path: str) -> Path:
    """A file in a checkout of official code."""
    return golden.FOLDER / ".sources" / path
