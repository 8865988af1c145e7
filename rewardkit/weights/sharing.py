"""One copy of a model's weights, however many rewards read them."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from torch import nn

from rewardkit.weights.filling import Placement

ModuleT = TypeVar("ModuleT", bound=nn.Module)

_ALIVE: weakref.WeakValueDictionary[Hashable, nn.Module] = weakref.WeakValueDictionary()
_LOADING = threading.RLock()


def shared(what: Hashable, placement: Placement, load: Callable[[], ModuleT]) -> ModuleT:
    """The model that `what` stands for at `placement`: the one in use already, or a new one from `load`.

    `what` must tell apart everything that makes weights differ: class, architecture, sha256 of the file. Frozen models
    can be shared because nothing changes them. One that was moved or cast since by one of its users is not handed out.
    """
    key = (what, placement)
    with _LOADING:
        found = _ALIVE.get(key)
        if found is None or not _is_at(found, placement):
            found = _ALIVE[key] = load()
    return cast(ModuleT, found)


def _is_at(model: nn.Module, placement: Placement) -> bool:
    weight = next(model.parameters())
    return (weight.device, weight.dtype) == placement
