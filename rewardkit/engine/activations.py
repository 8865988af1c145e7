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
    held: int = sum(size for storage, size in made.storages.values() if not storage.expired())
    del result
    return held


class _Made(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every storage that operations give, without keeping it alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self._given: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in self.storages:
                self._given.add(leaf.untyped_storage()._cdata)
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                if storage._cdata not in self._given:
                    self.storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes()  # type: ignore[no-untyped-call]
        return result
