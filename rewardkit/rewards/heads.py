"""Small heads on top of towers: linear layers that compute in float32 whatever the tower's precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rewardkit.weights.filling import Placement, filled
from rewardkit.weights.reading import read_tensors
from rewardkit.weights.stored import Tensors, part

Layers = Callable[[], nn.Module]


class Head(nn.Module):
    """Layers whose weights stay at float32 when the model around them is cast to less."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, features: Float[Tensor, "*any feature"]) -> Float[Tensor, "*any score"]:
        """What the layers give, in their own precision."""
        given: Tensor = self.layers(features.to(next(self.layers.parameters()).dtype))
        return given

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Head:
        def moved(weight: Tensor) -> Tensor:
            other = fn(weight)
            return weight.to(other.device) if other.dtype in (torch.float16, torch.bfloat16) else other

        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return self


def linear_stack(width: int, widths: Sequence[int], dropouts: Sequence[float] = (0.2, 0.2, 0.1)) -> nn.Sequential:
    """Linear layers from `width` through `widths`, one of `dropouts` after each of the first ones, no activations.

    In evaluation mode this is a single linear map; it is kept as it was trained, so that official weights fit by name.
    """
    layers: list[nn.Module] = []
    for position, out in enumerate(widths):
        layers.append(nn.Linear(width, out))
        if position < len(dropouts):
            layers.append(nn.Dropout(dropouts[position]))
        width = out
    return nn.Sequential(*layers)


def load_head(who: str, path: Path, layers: Layers, placement: Placement, under: str = "") -> Head:
    """The head in the checkpoint at `path`, whose names there begin with `under`; others are not looked at.

    Raises:
        BadCheckpointError: the file holds something else.
    """
    return filled_head(who, part(read_tensors(who, path), under), path, layers, placement)


def filled_head(who: str, tensors: Tensors, path: Path, layers: Layers, placement: Placement) -> Head:
    """A head with these tensors."""
    named = {f"layers.{name}": value for name, value in tensors.items()}
    precision = torch.promote_types(placement.dtype, torch.float32)
    return filled(who, lambda: Head(layers()), named, path, Placement(placement.device, precision))
