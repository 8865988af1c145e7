"""What accelerate does for a training: processes that together are one, precision, and the trackers that it tells."""

from __future__ import annotations

import atexit
import functools
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from rewardkit.engine.zero import partition, zero_stage
from rewardkit.errors import MissingExtraError, UnknownNameError, UsageError

LOGGER = logging.getLogger(__name__)
ItemT = TypeVar("ItemT")
PRECISIONS = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Of matrix products, by accelerate's names for mixed precision."""


class Ranks:
    """This process among those that `accelerate launch` or `torchrun` started; alone without them.

    The gradient of a LoRA is small, and is averaged once an update: DDP's wrapper loses count where a step runs a
    network several times and again on the way back. Of what `accelerate launch` is told, mixed precision, FSDP and
    DeepSpeed's stage count, see `prepare`.

    Raises:
        MissingExtraError: accelerate is not installed.
        UsageError: accelerate was told to use what cannot be used here.
    """

    def __init__(self) -> None:
        try:
            from accelerate import PartialState
            from accelerate.utils import parse_choice_from_env, parse_flag_from_env
        except ImportError as error:
            raise MissingExtraError("fine-tuning", "accelerate", "train") from error
        if parse_flag_from_env("ACCELERATE_USE_MEGATRON_LM"):
            raise UsageError("accelerate was told to use MEGATRON_LM: take FSDP, which also shares the weights out")
        self.precision = str(parse_choice_from_env("ACCELERATE_MIXED_PRECISION", "no"))
        if self.precision not in PRECISIONS:
            raise UsageError(f"accelerate was told mixed precision {self.precision!r}: take {', '.join(PRECISIONS)}")
        self._shards = parse_flag_from_env("ACCELERATE_USE_FSDP")
        zero = zero_stage() if parse_flag_from_env("ACCELERATE_USE_DEEPSPEED") else None
        self._partitions = zero == 3
        cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
        self._state = PartialState(cpu=cpu)
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if self.count != started:
            raise UsageError(
                f"{started} processes were started, and accelerate sees {self.count}, on {self._state.device}: "
                "start one, or set ACCELERATE_USE_CPU=true"
            )
        if zero is not None and not self._partitions and self.first:
            LOGGER.warning(
                "zero_stage %d: a LoRA's optimiser is small and is not sharded; stage 3 shares weights", zero
            )
        # threads of gloo's that still run at the end of a process now and then abort it
        atexit.register(self._state.destroy_process_group)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._state.num_processes)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files."""
        return bool(self._state.is_main_process)

    def prepare(self, denoisers: Iterable[nn.Module], trained: Sequence[nn.Parameter]) -> None:
        """Makes denoisers run in mixed precision, and shares their weights out, where accelerate was told so.

        They stay so. Where they were for a training before, that is not done twice: precision is then that of now.
        Weights are shared out by FSDP2, block by block, or by DeepSpeed's ZeRO-3; the few trained ones stay whole in
        every process. From then on all processes have to call a denoiser equally often.
        """
        dtype, device = PRECISIONS[self.precision], trained[0].device.type
        mesh = init_device_mesh(device, (self.count,)) if self._shards and self.count > 1 else None
        for denoiser in denoisers:
            if isinstance(denoiser.forward, Mixed):
                denoiser.forward = denoiser.forward.plain
            if dtype is not None:
                denoiser.forward = Mixed(denoiser.forward, device, dtype)
            if mesh is not None:
                _shard(denoiser, mesh, set(trained))
            if self._partitions and self.count > 1:
                partition(denoiser)

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


def is_first() -> bool:
    """Whether this process is the one that speaks, by what its launcher said; for before anything is loaded."""
    return os.environ.get("RANK", "0") == "0"


class Mixed:
    """A denoiser's forward in mixed precision, which can be told from the plain one."""

    def __init__(self, plain: Callable[..., Any], device: str, dtype: torch.dtype) -> None:
        self.plain = plain
        self._cast = torch.autocast(device, dtype)(plain)
        functools.update_wrapper(self, plain)  # backbones ask what a forward takes

    def __call__(self, *words: Any, **named: Any) -> Any:
        """What the plain one gives."""
        return self._cast(*words, **named)


def _shard(denoiser: nn.Module, mesh: DeviceMesh, whole: set[nn.Parameter]) -> None:
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if isinstance(denoiser, FSDPModule):
        return
    lists = [child for child in denoiser.children() if isinstance(child, nn.ModuleList)]
    for module in (*(block for blocks in lists for block in blocks), denoiser):
        fully_shard(module, mesh=mesh, ignored_params=whole, reshard_after_forward=True)


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
