"""Watches the process that reads cases, and starts another one where it ends too early."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from recording import ROOT
from timing import MAPPED

from rewardkit.processes import how_it_ended

SECONDS_TO_START = 120.0


@dataclass
class Finding:
    """A promise that was broken; `file` is what broke it first."""

    what: str
    case: int
    file: str
    times: int = 1


class Watch:
    """Has the cases of one target read.

    Attributes:
        findings: by what they say, without numbers.
    """

    def __init__(self, words: Sequence[str], work: Path, cases: int, patience: float) -> None:
        """`words` start a reader, the number of its first case being put behind; `patience`: seconds for a case."""
        self._words, self._work, self._cases, self._patience = words, work, cases, patience
        self.findings: dict[str, Finding] = {}
        self._outcomes: Counter[str] = Counter()
        self._resident: list[tuple[int, int]] = []
        self._read, self._seconds = 0, 0.0

    def run(self) -> None:
        """Until all are read."""
        while self._read < self._cases:
            how = self._go_on()
            if how is not None:
                self._keep_current(how)

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

    def _go_on(self) -> str | None:
        """Has cases read in a new process; what ended it too early."""
        with (self._work / "stderr").open("ab") as errors, self._reader(errors) as reader:
            answers = self._answers(reader)
            if not next(answers, {}).get("ready"):
                raise SystemExit(f"{' '.join(self._words)} does not start: see {self._work / 'stderr'}")
            since, resident = time.perf_counter(), []
            try:
                for answer in answers:
                    self._take(answer)
                    resident += [(answer["case"], answer["resident"])] if "resident" in answer else []
            except queue.Empty:
                reader.kill()
                return "is silent for too long"
            finally:
                self._seconds += time.perf_counter() - since
                self._resident = max(self._resident, resident, key=len)
            code = reader.wait()
        return _ended(code) if code else None

    def _reader(self, errors: IO[bytes]) -> subprocess.Popen[str]:
        # memory that is free goes back to the system, so that what does not is held by somebody
        environment = {**os.environ, **MAPPED, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        words = [*self._words, str(self._read)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True)

    def _answers(self, reader: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
        """What it says; raises queue.Empty where it says nothing for too long."""
        assert reader.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_pass_on, args=(reader.stdout, lines), daemon=True).start()
        patience = SECONDS_TO_START
        while line := lines.get(timeout=patience):
            patience = self._patience
            yield json.loads(line)

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
    return f"ends the process by {how_it_ended(code)}"
