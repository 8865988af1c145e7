"""Films saved as arrays: .npy and .pt."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rewardkit.errors import RewardkitError
from rewardkit.video.file import Picture, VideoFile, VideoInfo, check_size, unreadable
from rewardkit.video.levels import level_problem, to_uint8
from rewardkit.weights.pickles import check_pickles

# numpy parses headers as Python source; in Python 3.11 two threads must not do that at once (python/cpython#106905)
_PARSING = threading.Lock()

ARRAY_SUFFIXES: frozenset[str] = frozenset({".npy", ".pt", ".pth"})


class ArrayFile(VideoFile):
    """One video in a .npy file, or in a .pt file that holds one tensor.

    The array is (frame, 3, height, width) or (frame, height, width, 3): uint8, or float in [0, 1], which is
    rounded to 8 bits as a video file would. Floats outside by more than 0.001, and NaN, are errors in the
    frames that are read. The file is mapped, not loaded: only the frames read take memory. Nothing in it is
    executed. There is no fps.
    """

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.path = path
        array = _map_npy(path) if path.suffix.lower() == ".npy" else _map_pt(path)
        self._array = _channels_last(path, array)
        problem = level_problem(self._array[:0])
        if problem is not None:
            raise unreadable(path, problem)
        count, height, width, _ = self._array.shape
        if not count:
            raise unreadable(path, "has no frames")
        check_size(path, width, height, max_pixels)
        self.info = VideoInfo(count, None, width, height)

    def close(self) -> None:
        """Let go of the file."""
        self._array = torch.empty(0)

    def _pictures(self, wanted: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        for number in wanted:
            picture = self._array[number]
            problem = level_problem(picture)
            if problem is not None:
                raise unreadable(self.path, f"{problem} in frame {number}")
            yield number, to_uint8(picture).numpy()


def _map_npy(path: Path) -> Tensor:
    try:
        # "c": writes, which do not happen, would stay in memory; torch refuses read-only arrays
        with _PARSING:
            array = np.load(path, mmap_mode="c", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            array.close()
            raise unreadable(path, "is a .npz archive: save one array with numpy.save")
        return torch.from_numpy(array)
    except RewardkitError:
        raise
    except Exception as error:  # numpy parses the header as Python source, which fails in any way
        raise unreadable(path, f"cannot be read as .npy: {_first_line(error)}") from error


def _map_pt(path: Path) -> Tensor:
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise unreadable(path, "is a squeezed archive, of which no frame can be read alone: save it anew")
        check_pickles(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RewardkitError:
        raise
    except Exception as error:  # a broken pickle fails wherever its nonsense leads
        raise unreadable(path, f"cannot be read as a saved tensor: {_first_line(error)}") from error
    if not isinstance(content, Tensor):
        raise unreadable(path, f"holds a {type(content).__name__}: save one tensor, (frame, 3, height, width)")
    if content.layout != torch.strided or content.is_nested or content.device.type != "cpu" or content.is_quantized:
        raise unreadable(path, "holds a sparse, nested, quantized or empty-handed (meta) tensor: save a plain one")
    return content.detach()


def _channels_last(path: Path, array: Tensor) -> Tensor:
    shape = tuple(array.shape)
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        raise unreadable(path, f"has shape {shape}, not (frame, 3, height, width) or (frame, height, width, 3)")
    if shape[1] == shape[3]:
        raise unreadable(path, f"has shape {shape}: whether axis 1 or 3 holds the colours cannot be told")
    return array.permute(0, 2, 3, 1) if shape[1] == 3 else array


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].strip()[:300] or type(error).__name__
