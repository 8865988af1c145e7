"""Putting tensors into a model: strictly, one at a time, so that memory holds the weights once."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from rewardkit.errors import BadCheckpointError
from rewardkit.weights.stored import Tensors

ModuleT = TypeVar("ModuleT", bound=nn.Module)
_BUILDING = threading.Lock()


class Placement(NamedTuple):
    """Where weights go, and in what precision."""

    device: torch.device
    dtype: torch.dtype


def filled(
    who: str,
    build: Callable[[], ModuleT],
    tensors: Tensors,
    path: Path,
    placement: Placement,
    drop: Sequence[str] = (),
) -> ModuleT:
    """The model that `build` makes, with the weights of `tensors`, frozen and in evaluation mode.

    It is built without memory for its parameters; each tensor is read, converted and put in place before the next.
    `tensors` is empty afterwards.

    Args:
        who: the reward, for the error.
        build: makes the model.
        tensors: from `read_tensors`, under the model's own names.
        path: where they come from, for the error.
        placement: floating-point weights take this dtype, save for single numbers, which stay at float32 or wider: the
            logit scale of CLIP, rounded to bfloat16, would be 1 % off. All go to this device.
        drop: shell patterns of names that the checkpoint may hold and the model does not need.

    Raises:
        BadCheckpointError: a name is missing, left over or of another shape.
    """
    with parameters_on_meta():
        model = build()
    wanted = model.state_dict(keep_vars=True)
    extra = [name for name in tensors if name not in wanted]
    for name in extra:
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in drop):
            del tensors[name]
    _check(who, path, {name: value.shape for name, value in wanted.items()}, tensors)
    for name in wanted:
        _put(model, name, tensors.pop(name).read(), placement)
    for module in model.modules():  # what no checkpoint holds, such as masks
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.device != placement.device:
                module._buffers[name] = buffer.to(placement.device)
    return model.requires_grad_(False).eval()


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Modules built in here have parameters without memory; buffers are real, since no checkpoint holds them all."""
    register = nn.Module.register_parameter

    def on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            parameter = nn.Parameter(parameter.data.to("meta"), requires_grad=False)
        register(module, name, parameter)

    with _BUILDING:
        nn.Module.register_parameter = on_meta  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            nn.Module.register_parameter = register  # type: ignore[method-assign]


def _check(who: str, path: Path, wanted: dict[str, torch.Size], tensors: Tensors) -> None:
    missing = [name for name in wanted if name not in tensors]
    extra = [name for name in tensors if name not in wanted]
    wrong = [name for name in wanted if name in tensors and tensors[name].shape != wanted[name]]
    if not (missing or extra or wrong):
        return
    found = []
    if missing:
        found.append(f"{len(missing)} are missing, such as {missing[0]}")
    if extra:
        found.append(f"{len(extra)} are unknown to it, such as {extra[0]}")
    if wrong:
        shapes = f"{tuple(tensors[wrong[0]].shape)} instead of {tuple(wanted[wrong[0]])}"
        found.append(f"{len(wrong)} have another shape, such as {wrong[0]}: {shapes}")
    raise BadCheckpointError(
        f"{path} is not a checkpoint of {who}: of the {len(wanted)} tensors expected {'; '.join(found)}"
    )


def _put(model: nn.Module, name: str, value: Tensor, placement: Placement) -> None:
    owner, _, own = name.rpartition(".")
    module = model.get_submodule(owner)
    dtype = placement.dtype if value.ndim else torch.promote_types(placement.dtype, torch.float32)
    placed = value.to(placement.device, dtype if value.is_floating_point() else value.dtype)
    if own in module._parameters:
        module._parameters[own] = nn.Parameter(placed, requires_grad=False)
    else:
        module._buffers[own] = placed
