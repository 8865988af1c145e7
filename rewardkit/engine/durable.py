"""Files that outlast a power cut, and folders that tell when a file in them is no longer what it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

SUMS = "SHA256SUMS"


def flush(path: Path) -> None:
    """Returns once a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_sums(folder: Path, names: Sequence[str]) -> None:
    """Writes each file's SHA-256 beside it, for `check_sums` and `sha256sum --check`."""
    (folder / SUMS).write_text("".join(_line(folder / name) for name in names), encoding="utf-8")


def check_sums(folder: Path, names: Sequence[str]) -> None:
    """Checks that each file is what it was.

    Raises:
        ValueError: one is not.
        OSError: one is not there.
    """
    said = (folder / SUMS).read_text(encoding="utf-8").splitlines(keepends=True)
    for name in names:
        if _line(folder / name) not in said:
            raise ValueError(f"{name} has another SHA-256 than {SUMS} says")


def _line(path: Path) -> str:
    with path.open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n"
