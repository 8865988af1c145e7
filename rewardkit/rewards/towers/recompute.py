"""Blocks whose activations are computed again on the way back instead of being kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputed(nn.Module):
    """A block that is checkpointed where its first input carries gradient, and only there.

    The switch of transformers works in training mode alone, in which a judge never is.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, hidden: Tensor, *rest: Any, **named: Any) -> Any:
        """What the block gives."""
        if torch.is_grad_enabled() and hidden.requires_grad:
            return checkpoint(self.block, hidden, *rest, use_reentrant=False, **named)
        return self.block(hidden, *rest, **named)


def recompute(blocks: nn.ModuleList) -> None:
    """Puts every block of a loaded model into a `Recomputed`."""
    for position, block in enumerate(blocks):
        blocks[position] = Recomputed(block)
