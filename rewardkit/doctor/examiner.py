"""The process that makes the checks, from the one that is named on: each finding is a line of JSON on stdout.

Started by `examination.py`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from rewardkit.doctor.checks import CHECKS, make
from rewardkit.processes import answers_only


def main() -> None:
    """Makes the checks."""
    answers = answers_only()
    names = list(CHECKS)
    for name in names[names.index(sys.argv[-1]) :]:
        answers.write(json.dumps(asdict(make(name))).encode() + b"\n")
        answers.flush()
