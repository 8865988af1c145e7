"""Under which commit, versions and machine something was measured."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from rewardkit.bench.suites import Suite
from rewardkit.device import choose_device
from rewardkit.scoring.identity import versions

UNKNOWN = "not known: this rewardkit does not run from a git checkout"


def provenance(suite: Suite) -> dict[str, Any]:
    """Command, commit, versions, device and suite, for a result."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": commit(),
        "versions": versions(),
        "device": device_in_words(choose_device(suite.device)),
        "platform": platform.platform(),
        "finished": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "suite": suite.model_dump(mode="json"),
    }


def device_in_words(device: torch.device) -> str:
    """`cuda, NVIDIA H100`, or `cpu, x86_64, 2 cores`."""
    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name(device)}"
    return f"{device.type}, {platform.machine()}, {os.cpu_count()} cores"


def commit() -> str:
    """Of the checkout that this package runs from, and whether its code was changed since."""
    here = Path(__file__).resolve().parent.parent
    head = _git(here, "rev-parse", "HEAD")
    if head is None or _git(here, "ls-files", "--error-unmatch", "__init__.py") is None:
        return UNKNOWN
    return head + (" with changes" if _git(here, "status", "--short", "--", "*.py", "*.toml") else "")


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
