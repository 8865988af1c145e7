"""Python processes that work for this one: how they are started, what they say, how they ended."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import IO

import rewardkit

START = "import sys; sys.path.append(sys.argv[1]); import {module}; {module}.main()"
"""Our package is found where it is here, behind all else, so that nothing that lies beside it hides a module."""


def command(module: str, *words: str) -> list[str]:
    """What starts a process that runs `main` of a module of ours; `words` are at the end of its `sys.argv`."""
    # -P: nor does the folder that one happens to be in
    return [
        sys.executable,
        "-P",
        "-c",
        START.format(module=module),
        str(Path(rewardkit.__file__).parent.parent),
        *words,
    ]


def answers_only() -> IO[bytes]:
    """This process's stdout for answers; what libraries print goes to stderr from then on."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def how_it_ended(code: int) -> str:
    """An exit code, or a signal by its name."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
