"""The process that makes the checks, from the one that is named on: each finding is a line of JSON on stdout.

Started by `examination.py`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

from rewardkit.doctor.checks import CHECKS, make


def main() -> None:
    """Makes the checks."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no finding
    names = list(CHECKS)
    for name in names[names.index(sys.argv[1]) :]:
        answers.write(json.dumps(asdict(make(name))) + "\n")


if __name__ == "__main__":
    main()
