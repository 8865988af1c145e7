"""Activations of a network's blocks computed again on the way back, whether its class knows how or not."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_blocks(network: nn.Module) -> None:
    """Keeps the inputs of blocks in place of their activations; once for a network, and only where gradient goes."""
    if getattr(network, "_supports_gradient_checkpointing", False):
        network.enable_gradient_checkpointing()  # type: ignore[operator]
        return
    for blocks in network.children():
        if isinstance(blocks, nn.ModuleList):
            for block in blocks:
                block.forward = _checkpointed(block.forward)


def _checkpointed(forward: Any) -> Any:
    def run(*given: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*given, **named)
        return checkpoint(forward, *given, use_reentrant=False, **named)

    return run
