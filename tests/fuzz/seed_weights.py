"""Weights in every format that is read, and what pretends to be some, for `write_seeds.py`."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from tests.fuzz.targets import LORA, RAN


def torch_file(content: object, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


class Code:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (RAN,)


def checkpoints() -> dict[str, bytes]:
    weights = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2).half(), "steps": torch.tensor(7)}
    wrapped = {"state_dict": OrderedDict(weights), "epoch": 3, "best": np.float64(0.5)}
    plain = torch_file(weights)
    script = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(3, 2), torch.rand(1, 3)), script)
    return {
        "plain.safetensors": save(weights),
        "plain.pt": plain,
        "wrapped.pth": torch_file(wrapped),
        "old.pth": torch_file(wrapped, zipped=False),
        "squeezed.pt": squeezed(plain),
        "script.pt": script.getvalue(),
        "bad-code.pt": torch_file({"state_dict": weights, "hook": Code()}),
        "bad-code-old.pth": torch_file({"state_dict": weights, "hook": Code()}, zipped=False),
        "bad-code-pickle.pkl": pickle.dumps(Code(), protocol=2),
        "bad-code-script.pt": archive(pickle.dumps(Code(), protocol=2), script=True),
        "bad-tuples.pt": archive(TUPLES),
        "bad-tuples-old.pth": TUPLES,
        "bad-tuples-script.pt": archive(TUPLES, script=True),
        "bad-memo-script.pt": archive(b"\x80\x02)r\xff\xff\xff\x7f.", script=True),
        "bad-stack.pth": b"\x80\x02.",
        "bad-zeros.pt": squeezed(archive(bytes(1 << 23))),
        "bad-header.safetensors": (1 << 60).to_bytes(8, "little") + b"{}",
    } | {f"bad-{name}.safetensors": header(tensor) for name, tensor in WRONG.items()}


WRONG: dict[str, dict[str, Any]] = {
    "beyond": {"dtype": "F32", "shape": [2, 3], "data_offsets": [1 << 40, (1 << 40) + 24]},
    "backwards": {"dtype": "F32", "shape": [2, 3], "data_offsets": [24, 0]},
    "negative": {"dtype": "F32", "shape": [-2, -3], "data_offsets": [0, 24]},
    "overflow": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 24]},
}
"""Tensors that are not in a file."""


def header(tensor: dict[str, Any]) -> bytes:
    words = json.dumps({"a": {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]}, "b": tensor}).encode()
    return len(words).to_bytes(8, "little") + words + bytes(24)


def squeezed(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as plain, zipfile.ZipFile(file, "w") as small:
        for name in plain.namelist():
            small.writestr(zipfile.ZipInfo(name), plain.read(name), zipfile.ZIP_DEFLATED)
    return file.getvalue()


def archive(pickled: bytes, script: bool = False) -> bytes:
    """What `torch.save` or TorchScript would make of a pickle without tensors."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr(zipfile.ZipInfo("x/data.pkl"), pickled)
        members.writestr(zipfile.ZipInfo("x/byteorder"), "little")
        members.writestr(zipfile.ZipInfo("x/version"), "3\n")
        if script:
            members.writestr(zipfile.ZipInfo("x/constants.pkl"), pickle.dumps(()))
    return file.getvalue()


def tuples(count: int) -> bytes:
    """A pickle whose last tuple, a key, is 2^count empty ones, in tuples of two."""
    doubled = b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(count))
    return b"\x80\x02](" + b")q\x00" + doubled + b"e}h" + bytes([count]) + b"K\x01s\x86."


TUPLES = tuples(60)


def training() -> dict[str, bytes]:
    lora = {name: torch.ones(shape) for name, shape in LORA.items()}
    moments = {f"{number}.step": torch.tensor(1.0) for number in range(len(lora))}
    for name in ("exp_avg", "exp_avg_sq"):
        moments |= {f"{number}.{name}": torch.ones(shape) for number, shape in enumerate(LORA.values())}
    state = {"step": 1, "statistics": {"a red circle": [1.0, 2.0]}, "looks": []}
    return {
        "good.lora.safetensors": save(lora, {"step": "1"}),
        "good.optimiser.safetensors": save(moments),
        "good.state.json": json.dumps(state).encode(),
    }
