"""Runs a benchmark of the command line from start to end and keeps what it found.

    python benchmarks/side_by_side.py rewards|backbones|methods|wan|ablations|rates [--work FOLDER]

The first three are the suites that come with the package; others lie in suites/. Rows, films and page
stay in the work folder, where an interrupted run goes on; `results/side_by_side_NAME.json` is its result.json.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from recording import RESULTS, ROOT

from rewardkit.cli import app

SUITES = ROOT / "benchmarks" / "suites"
COMMANDS = {
    "rates": ["methods", str(SUITES / "rates.toml")],
    "rewards": ["rewards"],
    "backbones": ["backbones"],
    "methods": ["methods"],
    "wan": ["rewards", str(SUITES / "wan.toml")],
    "ablations": ["methods", str(SUITES / "ablations.toml")],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=COMMANDS)
    parser.add_argument("--work", type=Path, default=ROOT / "benchmarks" / ".work")
    asked = parser.parse_args()
    out = asked.work / asked.name
    ended = app(["benchmark", *COMMANDS[asked.name], "--out", str(out)], standalone_mode=False)
    if ended not in (None, 0, 1):  # 1: something was left out, as the result says
        sys.exit(ended)
    kept = shutil.copyfile(out / "result.json", RESULTS / f"side_by_side_{asked.name}.json")
    print(f"written: {kept.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
