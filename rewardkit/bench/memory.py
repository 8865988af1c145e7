"""The most memory that something took."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Counts what is held beyond what was at `start`: allocated memory of a GPU, or main memory of this process.

    Elsewhere than on CUDA and Linux nothing is measured.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before: int | None = None

    def start(self) -> None:
        """Forgets the peak until now."""
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
            return
        try:
            FORGET.write_text("5")
            self._before = _resident("VmRSS")
        except OSError:
            self._before = None

    def peak(self) -> int | None:
        """Bytes; None where it cannot be measured."""
        if self._before is None:
            return None
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        return max(0, _resident("VmHWM") - self._before)


def _resident(name: str) -> int:
    return int(STATUS.read_text().split(f"{name}:")[1].split()[0]) * 1024
