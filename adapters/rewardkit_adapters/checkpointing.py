"""Activations of a network's blocks computed again on the way back, whether its class knows how or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_network(network: nn.Module) -> None:
    """By the means of its class, or block by block of its lists of blocks; once for a network."""
    if getattr(network, "_supports_gradient_checkpointing", False):
        network.enable_gradient_checkpointing()  # type: ignore[operator]
        return
    lists = [child for child in network.children() if isinstance(child, nn.ModuleList)]
    checkpoint_each(block for blocks in lists for block in blocks)


def checkpoint_each(blocks: Iterable[nn.Module]) -> None:
    """Keeps the inputs of blocks in place of their activations, where gradient goes; once for a block."""
    for block in blocks:
        block.forward = _checkpointed(block.forward)


def _checkpointed(forward: Any) -> Any:
    def run(*given: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*given, **named)
        return checkpoint(forward, *given, use_reentrant=False, **named)

    return run
