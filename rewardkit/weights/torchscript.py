"""The numbers of a TorchScript archive, without the code that comes with them.

OpenAI's CLIP files are such archives. `torch.jit.load` would compile and may run what they contain; here only the
pickle of attributes is walked, with every class replaced by an empty shell, and the raw numbers are read beside it.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from rewardkit.weights.stored import Stored, Tensors

MOST_MODULES, LONGEST_NAME = 100_000, 1000
"""Beyond these, modules are in each other over and over."""

DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}


def is_torchscript(path: Path) -> bool:
    """Whether a zip file is a TorchScript archive: it holds constants, which a file of `torch.save` does not."""
    with zipfile.ZipFile(path) as archive:
        return any(PurePosixPath(name).name == "constants.pkl" for name in archive.namelist())


def read_torchscript(path: Path) -> Tensors:
    """Every tensor in the archive, named by the modules that hold it.

    Raises:
        pickle.UnpicklingError: the archive names a function that rebuilds something else than a tensor.
    """
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if PurePosixPath(name).name == "data.pkl")
        with archive.open(pickled) as file:
            root = _Attributes(file, path, str(PurePosixPath(pickled).parent)).load()
    return _tensors_in(root)


class _Shell:
    """Stands in for a class of the archive: takes its attributes, has no behaviour."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.attributes = dict(state)


class _Attributes(pickle._Unpickler):
    """Reads attributes; the only functions it can name rebuild a tensor or an ordered dictionary.

    It is the unpickler in Python: the one in C makes as much room as the greatest number that a memo is given, up to 32
    gigabytes for a file of ten bytes.
    """

    def __init__(self, file: Any, path: Path, folder: str) -> None:
        super().__init__(file)
        self._path, self._folder = path, folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Shell
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        if module == "torch.jit._pickle" and name in ("build_intlist", "build_doublelist", "build_boollist"):
            return list
        raise pickle.UnpicklingError(f"Unsupported global: {module}.{name}")

    def persistent_load(self, identity: Any) -> Callable[[], Tensor]:
        _, dtype, key, _, count = identity
        if not isinstance(key, str):  # writing a list of lists as text may take for ever
            raise pickle.UnpicklingError(f"Unsupported storage: its name is a {type(key).__name__}")

        def storage() -> Tensor:
            with zipfile.ZipFile(self._path) as archive:
                raw = bytearray(archive.read(f"{self._folder}/data/{key}"))
            return torch.frombuffer(raw, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)

        return storage


def _tensor(
    storage: Callable[[], Tensor], offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> Stored:
    return Stored(torch.Size(shape), lambda: storage().as_strided(shape, stride, offset))


def _tensors_in(root: object) -> Tensors:
    tensors: Tensors = {}
    waiting, seen = [("", root)], 0
    while waiting:
        prefix, value = waiting.pop()
        seen += 1
        if seen > MOST_MODULES or len(prefix) > LONGEST_NAME:
            raise pickle.UnpicklingError("Unsupported modules, which hold each other")
        if isinstance(value, Stored):
            tensors[prefix] = value
        elif isinstance(value, _Shell):
            inside = [(f"{prefix}.{name}" if prefix else name, one) for name, one in value.attributes.items()]
            waiting += reversed(inside)
    return tensors
