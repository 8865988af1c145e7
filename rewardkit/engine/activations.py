"""What steps with gradient keep for the way back: measured once, so that a budget can say which are computed again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def bytes_kept(run: Callable[[], Tensor]) -> int:
    """Bytes that were made in a call and that its graph holds, its result included; each storage counts once."""
    with _Made() as made, torch.enable_grad():
        result = run()
    sizes = [storage.nbytes() for storage in map(_alive, made.storages.values()) if storage is not None]
    del result
    return sum(sizes)


def _alive(storage: StorageWeakRef) -> torch.UntypedStorage | None:
    """The storage, if somebody holds it, with the size that it has now: FSDP empties those of gathered weights."""
    found: torch.UntypedStorage | None = torch.UntypedStorage._new_with_weak_ptr(storage.cdata)
    return found


class _Made(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every storage that operations give, without keeping it alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.storages: dict[int, StorageWeakRef] = {}
        self._given: dict[int, StorageWeakRef] = {}  # no other storage gets the address of one that is referred to

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for storage in _storages((args, kwargs)):
            if storage._cdata not in self.storages:
                self._given.setdefault(storage._cdata, StorageWeakRef(storage))  # type: ignore[no-untyped-call]
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage._cdata not in self._given:
                self.storages.setdefault(storage._cdata, StorageWeakRef(storage))  # type: ignore[no-untyped-call]
        return result


def _storages(tree: object) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
