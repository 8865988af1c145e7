"""What a file holds, by its sha256, and how much that is."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

BYTES_AT_ONCE = 1 << 24


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hex; remembered until the file changes."""
    state = os.stat(path)
    return _sha256(str(path.resolve()), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: str, size: int, changed: int) -> str:
    del size, changed  # only tell one state of the file from another
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BYTES_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()


def in_words(size: int) -> str:
    """Bytes as `1.97 GB` or `34 kB`, in powers of 1000."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"
