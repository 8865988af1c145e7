"""Do the readers of strangers' files keep their promises on a hundred thousand spoiled files?

    python benchmarks/fuzz.py [TARGET ...] [--cases 1000] [--seed 0] [--atheris]

Targets and promises are those of `tests/fuzz`: a reader gives its result or one of our errors, within seconds and
little memory. Case number n of a target is a seed of `tests/fuzz/seeds` with changes, the same on every machine. With
`--atheris`, files for our own readers come from a fuzzer instead that keeps what reaches new code (`pip install
atheris`); what libav, Pillow and torch read goes on as before.

Cases are read in another process, one after the other. Where it dies or is silent for too long, the case is a finding
and a new process goes on behind it. What was found lies in `.work/fuzz/TARGET/found-*`; put it into the target's seeds,
where the tests read it from then on. Growth is the slope of resident memory over the second half of a process's cases;
what atheris keeps of inputs that reached new code counts with it.

Writes results/fuzz.json; with names, what the file has of other targets stays.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from typing import Any

from recording import ROOT, about, record, recorded

sys.path.insert(0, str(ROOT))

from fuzz_parts.watch import Watch

from tests.fuzz.contract import SECONDS
from tests.fuzz.targets import TARGETS

READER = ROOT / "benchmarks" / "fuzz_parts" / "reader.py"
SLOWED = 5
"""Times as long as otherwise takes code that a fuzzer follows."""

WORK = ROOT / "benchmarks" / ".work" / "fuzz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="TARGET", help=f"one of {', '.join(TARGETS)}; all unless given")
    parser.add_argument("--cases", type=int, default=1000, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="of the changes")
    parser.add_argument("--atheris", action="store_true", help="follow the code of our own readers")
    words = parser.parse_args()
    if unknown := set(words.names) - {*TARGETS, "all"}:
        parser.error(f"no target {', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    named = words.names if words.names and "all" not in words.names else TARGETS
    known: dict[str, Any] = recorded("fuzz").get("targets", {})
    for name in named:
        known[name] = about(1) | fuzz(name, words.cases, words.seed, words.atheris and TARGETS[name].in_python)
    record("fuzz", {"targets": {name: known[name] for name in TARGETS if name in known}})


def fuzz(name: str, cases: int, seed: int, follow: bool) -> dict[str, object]:
    """Has so many cases read and says what came of them."""
    shutil.rmtree(WORK / name, ignore_errors=True)
    (WORK / name).mkdir(parents=True)
    seconds = SECONDS * (SLOWED if follow else 1)
    words = (sys.executable, READER, name, WORK / name, cases, seed, seconds, *["follow"] * follow)
    watch = Watch([str(word) for word in words], WORK / name, cases, 2 * seconds)
    watch.run()
    found = {"seed": seed, "by": "atheris" if follow else "changed seeds"} | watch.summary()
    print(f"{name:10} {found['cases']} cases in {found['seconds']} s, {found['cases_a_second']} a second; ", end="")
    print(f"{found['growth_kib_a_thousand_cases']} KiB a thousand; {found['outcomes']}")
    for finding in watch.findings.values():
        print(f"  FOUND {finding.times} times, first in case {finding.case}: {finding.what}\n        {finding.file}")
    return found


if __name__ == "__main__":
    main()
