"""The processes of one training, by accelerate. Each takes its share of every batch; together they are one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from torch import nn

from rewardkit.errors import MissingExtraError, UsageError

ItemT = TypeVar("ItemT")


class Ranks:
    """This process among those that `accelerate launch` or `torchrun` started; alone without them.

    Networks are not wrapped: a wrapper loses count where a step runs a network several times and again on the way
    back. The gradient of a LoRA is small, and is averaged once an update.
    """

    def __init__(self) -> None:
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise MissingExtraError("fine-tuning", "accelerate", "train") from error
        self._state = PartialState()

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._state.num_processes)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files."""
        return bool(self._state.is_main_process)

    def share(self, batch: Sequence[ItemT]) -> Sequence[ItemT]:
        """This process's part of a batch.

        Raises:
            UsageError: the batch cannot be shared out evenly.
        """
        if len(batch) % self.count:
            raise UsageError(f"a batch of {len(batch)} cannot be shared by {self.count} processes evenly")
        size = len(batch) // self.count
        return batch[self._state.process_index * size : (self._state.process_index + 1) * size]

    def average(self, weights: Iterable[nn.Parameter]) -> None:
        """Gives every process the mean gradient, as one message."""
        if self.count == 1:
            return
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, torch.split(flat / self.count, sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def together(self, items: list[ItemT]) -> list[ItemT]:
        """Those of all processes, in order."""
        if self.count == 1:
            return items
        from accelerate.utils import gather_object

        found: list[ItemT] = gather_object(items)
        return found

    def wait(self) -> None:
        """Until all are here."""
        self._state.wait_for_everyone()
