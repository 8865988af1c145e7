"""Disks that are full or cannot be written, for tests that really need one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def tiny_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A disk of so many kilobytes at `folder`; the test is skipped where it may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder))
    if not mounted:
        pytest.skip("may not mount a disk here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def make_read_only(disk: Path) -> None:
    """From now on nothing can be written to a disk of `tiny_disk`."""
    assert _mount("-o", "remount,ro", str(disk))


def make_writable(disk: Path) -> None:
    """Takes that back."""
    assert _mount("-o", "remount,rw", str(disk))


def _mount(*words: str) -> bool:
    try:
        return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
