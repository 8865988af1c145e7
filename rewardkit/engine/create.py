"""The backbones there are: listed, and created by name."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from rewardkit.device import choose_device, choose_dtype
from rewardkit.engine.generator import Generator
from rewardkit.engine.memory import Memory
from rewardkit.errors import UsageError
from rewardkit.registry import BACKBONES


def list_backbones(pattern: str = "*") -> list[str]:
    """Names of the installed backbones that match a shell pattern such as `*world*`, sorted."""
    return BACKBONES.names(pattern)


def create_backbone(
    name: str,
    model: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    memory: str | Memory = "auto",
) -> Generator:
    """The text-to-video generator called `name`, frozen, on its device.

    Args:
        name: a registered backbone, `module:Attribute` or `file.py:Attribute`.
        model: a folder in the layout of diffusers, or a hub id; None where the backbone brings its own.
        device: `auto`, `cpu`, `cuda`, ...
        dtype: precision of the weights; `auto` is the backbone's own on a GPU, and float32 elsewhere.
        memory: `low`, `auto`, `fast`, or a setting each; see `choose_memory` and `Memory`.

    Raises:
        UnknownNameError: no backbone of that name, with suggestions.
        MissingExtraError: diffusers is not installed.
        UsageError: no model given to a backbone that brings none, a model of another kind, or a setting of memory that
            the backbone has no means for.
        MissingWeightsError: the model is not on this machine and cannot be fetched.
        BadCheckpointError: a file of the model is cut.
    """
    made = BACKBONES.load(name)
    if not (isinstance(made, type) and issubclass(made, Generator)):
        raise UsageError(f"{name} is {made!r}; expected a class that implements rewardkit.engine.generator.Generator")
    place = made.default_model if model is None else str(model)
    if place is None:
        raise UsageError(f"{name} brings no model of its own: give a folder in the layout of diffusers, or a hub id")
    where = choose_device(device)
    own = made.default_dtype if where.type == "cuda" else torch.float32
    generator = made.load(place, own if dtype == "auto" else choose_dtype(dtype))
    generator.place(where, memory)
    if model is not None:
        generator.loaded_from = os.path.realpath(model) if os.path.exists(model) else place
    return generator
