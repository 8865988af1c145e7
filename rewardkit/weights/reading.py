"""Reading the tensors of a checkpoint file. Nothing in the file is ever run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from rewardkit.errors import BadCheckpointError, UsageError
from rewardkit.weights.torchscript import is_torchscript, read_torchscript

Tensors = dict[str, Tensor]
TOPS = ("state_dict", "model", "module", "model_state_dict")
"""Keys under which training scripts keep the weights."""


def read_tensors(who: str, path: Path) -> Tensors:
    """Every tensor of a checkpoint by name, on the CPU, as it is stored.

    Reads safetensors, `torch.save` files (with `weights_only=True`), and TorchScript archives, of which only the
    numbers are taken. What training scripts wrap around the weights (`state_dict`, `model`, `module`) is taken off.

    Raises:
        UsageError: no such file.
        BadCheckpointError: something else than weights: a web page, a cut file, a pickle with code, ...
    """
    if not path.is_file():
        raise UsageError(f"{who}: no checkpoint at {path}")
    reader = _reader(who, path)
    with _explained(who, path):
        found = reader(path)
    return _flat(who, path, found)


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
        return _read_torch
    raise BadCheckpointError(
        f"{who} cannot use {path}: expected safetensors or a file of torch.save, but it begins with {head[:8]!r}"
    )


def _read_safetensors(path: Path) -> object:
    from safetensors.torch import load_file

    return load_file(path, device="cpu")


def _read_zip(path: Path) -> object:
    return read_torchscript(path) if is_torchscript(path) else _read_torch(path)


def _read_torch(path: Path) -> object:
    with torch.serialization.safe_globals(_numpy_scalars()):
        loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


def _numpy_scalars() -> list[Callable[..., object] | tuple[Callable[..., object], str]]:
    """What rebuilds a plain number of numpy, which some official files (HPS_v2.pt) keep beside the weights."""
    import numpy as np

    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, np.dtypes.Float64DType]


@contextmanager
def _explained(who: str, path: Path) -> Iterator[None]:
    """One sentence of ours for whatever a reader raises over a file that is not what it should be."""
    try:
        yield
    except pickle.UnpicklingError as error:
        named = str(error).partition("Unsupported ")[2].partition("\n")[0] or str(error).partition("\n")[0]
        raise BadCheckpointError(
            f"{who} cannot use {path}: besides tensors it holds pickled objects, which are never loaded since they can "
            f"run code ({named.strip()[:120]}); convert it to a plain state dict"
        ) from None
    except (SafetensorError, RuntimeError, zipfile.BadZipFile, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).strip().partition("\n")[0][:160]
        raise BadCheckpointError(
            f"{who} cannot read {path}, perhaps it was cut short; download it again: {reason}"
        ) from None


def _flat(who: str, path: Path, found: object) -> Tensors:
    """The dictionary of tensors inside what was read."""
    for top in TOPS:
        if isinstance(found, dict) and isinstance(found.get(top), dict):
            found = found[top]
    tensors = found if isinstance(found, dict) else {}
    strange = next((key for key, value in tensors.items() if not isinstance(value, Tensor)), None)
    if not tensors or strange is not None:
        kind = f"{type(tensors[strange]).__name__} under {strange!r}" if strange is not None else type(found).__name__
        raise BadCheckpointError(f"{who} cannot use {path}: expected a state dict of tensors, found {kind}")
    return dict(tensors)
