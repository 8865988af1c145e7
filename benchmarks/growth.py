"""How do time and memory grow with what there is to do?

    python benchmarks/growth.py [--rounds 3] [NAME ...]
    python benchmarks/growth.py --draw

A curve is one thing that grows while all others stay: videos, frames, pixels and batches of scoring a folder; walked
steps, steps with gradient, films, frames and pixels of a step of fine-tuning the mini world. `growth_parts/curves.py`
lists them with what theory says of each, `growth_parts/shape.py` how far from theory a curve may be. One thread
computes and, in scoring, another decodes.

Seconds are medians of rounds in which the points take turns. Memory is measured in other processes: of scoring, in one
for each point, what VmHWM rises above VmRSS before; of a step what torch allocates beyond the weights. Beside the
curves, `workers` is the time of one decoding thread over that of two.

Writes results/growth.json and draws docs/pictures/growth-*.png from it; `--draw` draws alone. With names, only those
are measured, and what the file has of others stays, each with the commit that it was measured at.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from growth_parts import scoring, step
from growth_parts.curves import CURVES
from growth_parts.picture import draw
from growth_parts.shape import CONSTANT_WITHIN, LINEAR_WITHIN, judge
from recording import RESULTS, record
from timing import in_child, in_turn, middle, ratio

from rewardkit.bench.provenance import commit

NAMES = ("workers", *CURVES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; all unless given")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved repeats; the median counts")
    parser.add_argument("--draw", action="store_true", help="draws what is recorded, and measures nothing")
    parser.add_argument("--child", nargs="+", metavar="WORD", help="peaks of memory: FOLDER CURVE LINE POINT ...")
    words = parser.parse_args()
    if unknown := set(words.names) - set(NAMES):
        parser.error(f"no curve {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    torch.set_num_threads(1)
    if words.child:
        folder, name, line, *points = words.child
        print(json.dumps([peak(Path(folder), name, line, int(point)) for point in points]))
        return
    file = RESULTS / "growth.json"
    known: dict[str, Any] = json.loads(file.read_text())["curves"] if file.exists() else {}
    if not words.draw:
        for name in words.names or NAMES:
            with tempfile.TemporaryDirectory() as work:
                known[name] = measure(name, Path(work), words.rounds)
        within = {"linear_within": LINEAR_WITHIN, "constant_within": CONSTANT_WITHIN}
        record("growth", within | {"curves": {name: known[name] for name in NAMES if name in known}})
    draw(known)


def measure(name: str, work: Path, rounds: int) -> dict[str, Any]:
    """A curve, with when and how it was measured."""
    facts = {"commit": commit(), "rounds": rounds, "load_before": round(os.getloadavg()[0], 2)}
    return facts | (workers(work, rounds) if name == "workers" else curve(name, work, rounds))


def workers(work: Path, rounds: int) -> dict[str, Any]:
    """Time of one decoding thread over that of two."""
    scoring.make_clips(work / "wide", 40, frames=81, height=480, width=832)
    times = in_turn({str(n): partial(scoring.decode_and_score, work / "wide", n) for n in (1, 2)}, rounds)
    return {
        "seconds_for_40_clips_of_81_frames_832x480": {number: middle(found) for number, found in times.items()},
        "two_workers_over_one": ratio(times["1"], times["2"]),
    }


def curve(name: str, work: Path, rounds: int) -> dict[str, Any]:
    """Seconds and megabytes of each line at each point, and how both compare with theory."""
    family, grows, points, lines = CURVES[name]
    prepare = partial(scoring.prepare, work) if family == "scoring" else step.prepare
    times = in_turn({f"{line} {point}": prepare(name, line, point) for point in points for line in lines}, rounds)
    found: dict[str, Any] = {}
    for line, theory in lines.items():
        rows = [times[f"{line} {point}"] for point in points]
        seconds = list(map(middle, rows))
        # what the allocator gives out depends on no point before, resident memory does
        together = [points] if family == "step" else [(point,) for point in points]
        peaks = [one for some in together for one in in_child(__file__, work, name, line, *some)]
        megabytes = [one["megabytes"] for one in peaks]
        found[line] = {
            "seconds": seconds,
            "from_to": [[round(min(row), 4), round(max(row), 4)] for row in rows],
            "megabytes": megabytes,
            "processes": [one["process"] for one in peaks if "process" in one],
            "time": judge(theory.seconds, points, seconds)._asdict(),
            "memory": judge(theory.megabytes, points, megabytes)._asdict(),
        }
        print(name, line, json.dumps(found[line]), flush=True)
    return {"family": family, "grows": grows, "points": points, "lines": found}


def peak(work: Path, name: str, line: str, point: int) -> dict[str, float]:
    """Of one point, in this process."""
    return scoring.peak(work, name, line, point) if CURVES[name].family == "scoring" else step.peak(name, line, point)


if __name__ == "__main__":
    main()
