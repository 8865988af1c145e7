"""Makes all checks in a process of their own: one that crashes or hangs is a finding, and the others go on."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator

from rewardkit.doctor.checks import CHECKS, ONCE_MORE
from rewardkit.doctor.finding import Finding
from rewardkit.processes import command, how_it_ended

PATIENCE = 180.0
"""Seconds for one check. From a slow disk, importing torch takes a minute."""


def examine(patience: float = PATIENCE) -> Iterator[Finding]:
    """One finding a check, in their order, as they are made. Nothing that is wrong with this machine is raised.

    Args:
        patience: seconds after which a check is given up.
    """
    left = list(CHECKS)
    while left:
        for finding in _made_by_one_process(left[0], patience):
            left.pop(0)
            yield finding


def _made_by_one_process(first: str, patience: float) -> Iterator[Finding]:
    """Findings from that check on: to the end, or to the one over which the process ended."""
    names = list(CHECKS)[list(CHECKS).index(first) :]
    words = command("rewardkit.doctor.examiner", first)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as examiner:
        assert examiner.stdout is not None
        try:
            for name in names:
                start, watch = time.monotonic(), threading.Timer(patience, examiner.kill)
                watch.start()
                line = examiner.stdout.readline()
                watch.cancel()
                if not line:
                    late = time.monotonic() - start >= patience
                    yield Finding(name, "bad", _how_it_ended(examiner, patience if late else None), ONCE_MORE)
                    return
                yield Finding(**json.loads(line))
        finally:
            examiner.kill()


def _how_it_ended(examiner: subprocess.Popen[bytes], limit: float | None) -> str:
    code = examiner.wait()
    if limit is not None:
        return f"takes longer than {limit:g} seconds"
    return f"ends the process with {how_it_ended(code)}"
