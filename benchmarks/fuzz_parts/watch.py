"""Watches the process that reads cases, and starts another one where it ends too early."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.contract import SECONDS

READER = Path(__file__).parent / "reader.py"
ROOT = READER.parents[2]
SECONDS_TO_START = 120.0
SLOWED = 5
"""Times as long as otherwise takes code that a fuzzer follows."""


@dataclass
class Finding:
    """A promise that was broken; `file` is what broke it first."""

    what: str
    case: int
    file: str
    times: int = 1


class Watch:
    """Reads the cases of one target.

    Attributes:
        findings: by what they say, without numbers.
    """

    def __init__(self, name: str, work: Path, cases: int, seed: int, follow: bool) -> None:
        self._patience = SECONDS * (SLOWED if follow else 1)
        words = (READER, name, work, cases, seed, self._patience, *["follow"] * follow)
        self._words = [sys.executable, *map(str, words)]
        self._work, self._cases = work, cases
        self.findings: dict[str, Finding] = {}
        self._outcomes: Counter[str] = Counter()
        self._resident: list[tuple[int, int]] = []
        self._read, self._seconds = 0, 0.0

    def run(self) -> None:
        """Until all are read."""
        while self._read < self._cases:
            before = self._read
            self._go_on()
            if self._read == before:
                raise SystemExit(f"{' '.join(self._words)} reads nothing: see {self._work / 'stderr'}")

    def summary(self) -> dict[str, Any]:
        """For the record."""
        return {
            "cases": self._read,
            "seconds": round(self._seconds, 1),
            "cases_a_second": round(self._read / self._seconds, 1),
            "outcomes": dict(self._outcomes.most_common()),
            "findings": [asdict(finding) for finding in self.findings.values()],
            "growth_kib_a_thousand_cases": self._growth(),
            "resident_mib": [place >> 20 for _, place in (self._resident[:1] + self._resident[-1:])],
        }

    def _go_on(self) -> None:
        lines: queue.Queue[str] = queue.Queue()
        with (
            (self._work / "stderr").open("ab") as errors,
            subprocess.Popen(
                [*self._words, str(self._read)],
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
                text=True,
            ) as reader,
        ):
            assert reader.stdout is not None
            threading.Thread(target=_pass_on, args=(reader.stdout, lines), daemon=True).start()
            patience, late, resident = SECONDS_TO_START, False, []
            since = time.perf_counter()
            while True:
                try:
                    line = lines.get(timeout=patience)
                except queue.Empty:
                    late = True
                    break
                if not line:
                    break
                answer = json.loads(line)
                if "case" not in answer:
                    since = time.perf_counter()
                else:
                    self._take(answer)
                    resident += [(answer["case"], answer["resident"])] if "resident" in answer else []
                patience = 2 * self._patience
            if late:
                reader.kill()
            code = reader.wait()
        self._seconds += time.perf_counter() - since
        self._resident = max(self._resident, resident, key=len)
        if late or code:
            self._keep_current("is silent for too long" if late else _ended(code))

    def _take(self, answer: dict[str, Any]) -> None:
        self._read = answer["case"] + 1
        self._outcomes[answer["outcome"]] += 1
        if "broken" in answer:
            self._found(answer["broken"], answer["case"], answer["file"])

    def _keep_current(self, how: str) -> None:
        """The case that ended the process is what lies in `current`."""
        kind, _, content = (self._work / "current").read_bytes().partition(b"\n")
        file = f"found-{self._read}.{kind.decode()}"
        (self._work / file).write_bytes(content)
        self._outcomes["broken"] += 1
        self._found(how, self._read, file)
        self._read += 1

    def _found(self, what: str, case: int, file: str) -> None:
        """Keeps the first file of its kind."""
        finding = self.findings.setdefault(re.sub(r"\d+|'.*'|\".*\"", "_", what), Finding(what, case, file, 0))
        finding.times += 1
        if finding.times > 1:
            (self._work / file).unlink()

    def _growth(self) -> float | None:
        """KiB by which a thousand cases raise resident memory, in the second half; None where there are too few."""
        points = np.array(self._resident[len(self._resident) // 2 :], dtype=float)
        if len(points) < 4:
            return None
        return round(float(np.polyfit(points[:, 0], points[:, 1], 1)[0]) * 1000 / 1024, 1)


def _pass_on(lines: Any, to: queue.Queue[str]) -> None:
    for line in lines:
        to.put(line)
    to.put("")


def _ended(code: int) -> str:
    return f"ends the process by {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"
