"""The process that reads cases, and says of each what came of it: a line of JSON on stdout.

python reader.py TARGET FOLDER CASES SEED SECONDS [follow] FIRST
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import sys
from pathlib import Path
from random import Random
from typing import IO, Any

from rewardkit.processes import answers_only
from tests.fuzz.contract import BrokenPromiseError, resident

MEMORY_EVERY = 250
FOLLOWED = ["rewardkit", "yaml", "tomllib", "csv", "json", "pickle", "zipfile"]
LONGEST = 1 << 13


def main() -> None:
    name, work, cases, seed, seconds, *follow, first = sys.argv[1:]
    answers = answers_only()
    with _instrumented() if follow else contextlib.nullcontext():
        targets: Any = importlib.import_module("tests.fuzz.targets")
    reader = Reader(targets, name, Path(work), float(seconds), answers)
    if follow:
        _follow(reader, targets, name, range(int(first), int(cases)), int(seed))
    for number in range(int(first), int(cases)):
        reader.read(number, *targets.case(name, int(seed), number))


class Reader:
    """Reads cases of a target."""

    def __init__(self, targets: Any, name: str, work: Path, seconds: float, answers: IO[bytes]) -> None:
        self.work = work
        self._targets, self._name, self._seconds, self._answers = targets, name, seconds, answers
        (work / "cases").mkdir(exist_ok=True)
        targets.load(name, work / "cases")
        self._say(ready=True)

    def read(self, number: int, kind: str, content: bytes) -> None:
        """Reads one, which lies in `current` meanwhile in case it ends this process."""
        (self.work / "current").write_bytes(kind.encode() + b"\n" + content)
        facts: dict[str, object] = {"case": number}
        try:
            facts["outcome"] = self._targets.run(self._name, self.work / "cases", kind, content, self._seconds)
        except BrokenPromiseError as error:
            file = f"found-{number}.{kind}"
            (self.work / file).write_bytes(content)
            facts |= {"outcome": "broken", "broken": str(error), "file": file}
        if number % MEMORY_EVERY == 0:
            gc.collect()
            facts["resident"] = resident()
        self._say(**facts)

    def _say(self, **facts: object) -> None:
        self._answers.write(json.dumps(facts).encode() + b"\n")
        self._answers.flush()


def _instrumented() -> contextlib.AbstractContextManager[object]:
    """What is imported in here tells atheris which of its branches are taken."""
    import atheris

    instrumented: contextlib.AbstractContextManager[object] = atheris.instrument_imports(include=FOLLOWED)
    return instrumented


def _follow(reader: Reader, targets: Any, name: str, numbers: range, seed: int) -> None:
    """Reads what atheris makes of the seeds; the first byte of an input is its kind. Ends the process."""
    import atheris

    kinds = sorted({targets.kind_of(one) for one in targets.seeds(name)})
    corpus = reader.work / "corpus"
    corpus.mkdir(exist_ok=True)
    for one, content in targets.seeds(name).items():
        (corpus / one).write_bytes(bytes([kinds.index(targets.kind_of(one))]) + content)
    left = iter(numbers)

    def read(data: bytes) -> None:
        number = next(left, None)
        if number is None:
            os._exit(0)
        reader.read(number, kinds[data[0] % len(kinds)] if data else kinds[0], data[1:])

    def change(data: bytes, longest: int, drawn: int) -> bytes:
        draw = Random(drawn)
        if not data or draw.random() < 0.5:
            return bytes(atheris.Mutate(data, longest))
        changed: bytes = targets.spoil(name, f"x.{kinds[data[0] % len(kinds)]}", data[1:], draw)
        return (data[:1] + changed)[:longest]

    options = [f"-seed={seed + numbers.start + 1}", f"-max_len={LONGEST}", "-rss_limit_mb=0", "-runs=-1"]
    atheris.Setup([sys.argv[0], str(corpus), *options], read, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
