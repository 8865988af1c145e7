"""What accelerate does for a training: its processes, which together are one, and the trackers that it tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from rewardkit.errors import MissingExtraError, UnknownNameError, UsageError

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


class Trackers:
    """Experiment trackers by the names that accelerate knows; they are told nothing before `start`.

    Raises:
        UsageError: a name that accelerate does not know, or whose package is not installed.
    """

    def __init__(self, names: Sequence[str], folder: Path) -> None:
        self._kinds, self._folder = [_tracker(name, folder) for name in names], folder
        self._started: list[Any] = []

    def start(self, settings: Mapping[str, object]) -> None:
        """Begins a run in each, of these settings; call it in one process only."""
        for kind in self._kinds:
            where = (self._folder,) if kind.requires_logging_directory else ()
            tracker = kind("rewardkit", *where)
            tracker.start()
            tracker.store_init_configuration(_flat(settings))
            self._started.append(tracker)

    def log(self, values: Mapping[str, object], step: int) -> None:
        """Tells those that were started; what is nested has names with slashes."""
        for tracker in self._started:
            tracker.log(_flat(values), step=step)

    def finish(self) -> None:
        """Ends the runs."""
        while self._started:
            self._started.pop().finish()


def _tracker(name: str, folder: Path) -> Any:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, filter_trackers

    if name not in LOGGER_TYPE_TO_CLASS:
        raise UnknownNameError("tracker", name, LOGGER_TYPE_TO_CLASS)
    if not filter_trackers([name], folder):  # which leaves out what is not installed
        raise UsageError(f"the tracker {name} needs a package that is not installed: pip install {name}")
    return LOGGER_TYPE_TO_CLASS[name]


def _flat(values: Mapping[str, object], before: str = "") -> dict[str, object]:
    """Numbers and words by path; anything else as words, which is all that trackers take."""
    found: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}/")
        else:
            found[f"{before}{name}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return found
