"""Finding the tensors of a checkpoint file. Nothing in the file is ever run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from rewardkit.errors import BadCheckpointError, RewardkitError, UsageError
from rewardkit.weights.content import in_words
from rewardkit.weights.pickles import check_pickles
from rewardkit.weights.stored import Stored, Tensors, in_memory
from rewardkit.weights.torchscript import is_torchscript, read_torchscript

TOPS = ("state_dict", "model", "module", "model_state_dict")
"""Keys under which training scripts keep the weights."""

MOST_SQUEEZED = 100
"""Times by which a squeezed file may grow; weights give up a tenth of their size, a file of zeros a thousandfold."""


def read_tensors(who: str, path: Path) -> Tensors:
    """Every tensor of a checkpoint by name; its numbers are read, as they are stored, when they are asked for.

    Reads safetensors, `torch.save` files (with `weights_only=True`), and TorchScript archives, of which only the
    numbers are taken. What training scripts wrap around the weights (`state_dict`, `model`, `module`) is taken off.

    Raises:
        UsageError: no such file.
        BadCheckpointError: something else than weights: a web page, a cut file, a pickle with code, ...
    """
    if not path.is_file():
        raise UsageError(f"{who}: no checkpoint at {path}")
    with _explained(who, path):
        found = _reader(who, path)(path)
    for top in TOPS:
        if isinstance(found, dict) and isinstance(found.get(top), dict):
            found = found[top]
    values = {name: _stored(path, value) for name, value in found.items()} if isinstance(found, dict) else {}
    tensors = {name: _guarded(who, path, value) for name, value in values.items() if isinstance(value, Stored)}
    strange = next((name for name in values if name not in tensors), None)
    if not tensors or strange is not None:
        kind = f"{type(values[strange]).__name__} under {strange!r}" if strange is not None else type(found).__name__
        raise BadCheckpointError(f"{who} cannot use {path}: expected a state dict of tensors, found {kind}")
    return tensors


def _reader(who: str, path: Path) -> Callable[[Path], object]:
    """What reads this kind of file, told by its first bytes rather than by its name."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise BadCheckpointError(f"{who} cannot use {path}: the file is empty; download it again")
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise BadCheckpointError(
            f"{who} cannot use {path}: it is a web page saved under the name of a checkpoint; download the file itself"
        )
    if text.startswith(b"version https://git-lfs"):
        raise BadCheckpointError(
            f"{who} cannot use {path}: it is a git-lfs pointer, not the weights; run `git lfs pull`"
        )
    if head[8:9] == b"{":
        return _read_safetensors
    if head.startswith(b"PK\x03\x04"):
        return _read_zip
    if head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return _read_old
    raise BadCheckpointError(
        f"{who} cannot use {path}: expected safetensors or a file of torch.save, but it begins with {head[:8]!r}"
    )


def _read_safetensors(path: Path) -> object:
    def read(name: str) -> Tensor:
        with safe_open(path, framework="pt") as file:  # closed each time, or every page read stays in memory
            tensor: Tensor = file.get_tensor(name)
        return tensor

    with safe_open(path, framework="pt") as file:
        shapes = {name: torch.Size(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    return {name: Stored(shape, partial(read, name)) for name, shape in shapes.items()}


def _read_zip(path: Path) -> object:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    squeezed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    unpacked = sum(entry.file_size for entry in entries)
    if squeezed and unpacked > MOST_SQUEEZED * path.stat().st_size:
        raise ValueError(f"it unpacks to {in_words(unpacked)}, more than {MOST_SQUEEZED} times its size")
    check_pickles(path)
    return read_torchscript(path) if is_torchscript(path) else _read_torch(path, whole=squeezed)


def _read_old(path: Path) -> object:
    check_pickles(path)
    return _read_torch(path, whole=True)


def _read_torch(path: Path, whole: bool) -> object:
    """What `torch.save` wrote; tensors without numbers, which know where those lie, unless it is read whole.

    Files of the old kind, which begin with a pickle, can only be read whole.
    """
    with torch.serialization.safe_globals(_numpy_scalars()), nullcontext() if whole else _without_numbers():
        loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


def _without_numbers() -> FakeTensorMode:
    mode = FakeTensorMode()
    mode.cache_enabled = False  # torch 2.14 would keep two kilobytes for every tensor that was ever read
    return mode


def _stored(path: Path, value: object) -> object:
    """A tensor as one that is read later; anything else as it is."""
    if not isinstance(value, Tensor):
        return value
    if not isinstance(value, FakeTensor):
        return in_memory(value)
    dtype, shape, stride = value.dtype, value.shape, value.stride()
    begin = value.untyped_storage()._checkpoint_offset
    if begin is None:
        raise ValueError(f"torch {torch.__version__} does not tell where the numbers of a tensor lie")
    place = begin + int(value.storage_offset()) * dtype.itemsize
    # of the storage what the tensor spans; torch 2.7 takes the whole for longer than it is
    span = 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True)) if value.numel() else 0

    def read() -> Tensor:
        numbers = torch.empty(span, dtype=dtype)
        with path.open("rb") as file:
            file.seek(place)
            if file.readinto(numbers.view(torch.uint8).numpy().data) < span * dtype.itemsize:
                raise EOFError("it has become shorter")
        return numbers.as_strided(shape, stride)

    return Stored(shape, read)


def _guarded(who: str, path: Path, stored: Stored) -> Stored:
    """The same, with its own errors explained."""

    def read() -> Tensor:
        with _explained(who, path):
            return stored.read()

    return Stored(stored.shape, read)


def _numpy_scalars() -> list[Callable[..., object] | tuple[Callable[..., object], str]]:
    """What rebuilds a plain number of numpy, which some official files (HPS_v2.pt) keep beside the weights."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, np.dtypes.Float64DType]


@contextmanager
def _explained(who: str, path: Path) -> Iterator[None]:
    """One sentence of ours for whatever a reader raises over a file that is not what it should be."""
    try:
        yield
    except RewardkitError:
        raise
    except pickle.UnpicklingError as error:
        named = str(error).partition("Unsupported ")[2].partition("\n")[0] or str(error).partition("\n")[0]
        raise BadCheckpointError(
            f"{who} cannot use {path}: besides tensors it holds pickled objects, which are never loaded since they can "
            f"run code ({named.strip()[:120]}); convert it to a plain state dict"
        ) from None
    except Exception as error:  # noqa: BLE001 - a broken pickle fails wherever its nonsense leads
        reason = str(error).strip().partition("\n")[0][:160] or type(error).__name__
        raise BadCheckpointError(
            f"{who} cannot read {path}, perhaps it was cut short; download it again: {reason}"
        ) from None
