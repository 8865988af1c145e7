"""Saying clearly that there is no gradient, where somebody asks for one."""

from __future__ import annotations

import torch
from torch import Tensor

from rewardkit.errors import BadInputError


def wants_gradient(pixels: Tensor) -> bool:
    """Whether a gradient is asked for."""
    return pixels.requires_grad and torch.is_grad_enabled()


def refuse_gradient(name: str, pixels: Tensor) -> None:
    """Refuses pixels that ask for a gradient.

    Raises:
        BadInputError: in the name of `name`.
    """
    if wants_gradient(pixels):
        raise BadInputError(
            f"{name} has no gradient but these pixels ask for one: score them under torch.no_grad(), or use another "
            "reward for fine-tuning"
        )
