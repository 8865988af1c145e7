"""Injects every fault that the tests know, several times over, and records what each cost.

    python benchmarks/faults.py [--rounds 3] [--only KEYWORD]

Runs the slow tests that note a fault (tests/faults.py) and reads what they noted: rows or steps lost and doubled, and
seconds until the work went on. A round takes about ten minutes on two cores; rounds add up in results/faults.json.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from recording import ROOT, about, record, recorded

PLACES = (
    "tests/scoring/test_kill.py",
    "tests/scoring/test_faults.py",
    "tests/scoring/test_ray.py",
    "tests/engine/test_faults.py",
    "tests/engine/test_launched.py",
    "tests/engine/test_disk.py",
    "tests/engine/test_checkpoints.py",
    "tests/weights/test_hub_faults.py",
    "tests/weights/test_hub_content.py",
)


def one_round(only: str | None) -> list[dict[str, Any]]:
    """What the tests of a round noted, and whether they passed."""
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder, "noted.xml")
        words = ["-m", "slow or not slow", "-q", "-p", "no:cacheprovider", "-o", "junit_family=legacy"]
        chosen = ["-k", only] if only else []
        command = [sys.executable, "-m", "pytest", *words, *chosen, f"--junitxml={noted}", *PLACES]
        subprocess.run(command, cwd=ROOT, check=False)
        found = []
        for case in ElementTree.parse(noted).iter("testcase"):
            facts = {str(p.get("name")): str(p.get("value")) for p in case.iter("property")}
            if {"fault", "ranks"} & facts.keys() and case.find("skipped") is None:
                passed = case.find("failure") is None and case.find("error") is None
                found.append({**facts, "test": case.get("name"), "passed": passed})
        return found


def table(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By fault: runs, those that failed, what was lost and doubled in all, seconds to recover."""
    faults: dict[str, dict[str, Any]] = {}
    for fault in dict.fromkeys(run["fault"] for run in runs if "fault" in run):
        own = [run for run in runs if run.get("fault") == fault]
        seconds = [float(run["seconds"]) for run in own if "seconds" in run]
        faults[fault] = {
            "runs": len(own),
            "failed": sum(not run["passed"] for run in own),
            "lost": sum(int(run.get("lost", 0)) for run in own),
            "doubled": sum(int(run.get("doubled", 0)) for run in own),
            "seconds": [round(statistics.median(seconds), 2), max(seconds)] if seconds else None,
        }
    return faults


def differences(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Of trainings by several processes from that of one: the largest of any round."""
    found: dict[str, float] = {}
    for run in runs:
        if "ranks" in run:
            found[run["ranks"]] = max(found.get(run["ranks"], 0.0), float(run["difference"]))
    return found


def main() -> None:
    """Injects, records, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="tests whose name fits, as pytest's -k; the other faults stay as recorded")
    chosen = parser.parse_args()
    runs = [run for _ in range(chosen.rounds) for run in one_round(chosen.only)]
    faults = {**recorded("faults").get("faults", {}), **table(runs)}
    ranks = {**recorded("faults").get("ranks", {}), **differences(runs)}
    for what, facts in {**faults, **ranks}.items():
        print(what, facts)
    record("faults", {**about(chosen.rounds), "faults": faults, "ranks": ranks})


if __name__ == "__main__":
    main()
