"""Checkpoints of full size with random weights, in the layout and precision of the published files.

Written once to `parity/.cache` (10 GB in all), so that one measurement can be repeated without writing them again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

PARITY = Path(__file__).resolve().parent / "parity"
CACHE = PARITY / ".cache"
sys.path.insert(0, str(PARITY))

import golden  # noqa: E402
from material import vocabulary  # noqa: E402


def hpsv2(precision: torch.dtype = torch.float16, kind: str = "pt") -> Path:
    """986 million weights; the published file is a `pt` of float16. The other kind is `safetensors`."""
    path = CACHE / f"hpsv2.{str(precision).removeprefix('torch.')}.{kind}"
    if not path.exists():
        made = golden.read("hpsv2", full=True)["files"]["checkpoint"]
        tensors = {name: tensor.to(precision) for name, tensor in golden.tensors(made).items()}
        CACHE.mkdir(exist_ok=True)
        if kind == "pt":
            torch.save({made["top"]: tensors}, path)
        else:
            save_file(tensors, path)
    return path


def imagereward() -> Path:
    """447 million weights, float32 as published."""
    path = CACHE / "imagereward.pt"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        golden.save(golden.read("imagereward", full=True)["files"]["checkpoint"], path)
    return path


def word_pieces() -> Path:
    """What stands in for `vocab.txt` of bert-base-uncased."""
    path = CACHE / "vocab.txt"
    CACHE.mkdir(exist_ok=True)
    path.write_text("\n".join(vocabulary()), encoding="utf-8")
    return path
