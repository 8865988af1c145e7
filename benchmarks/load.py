"""Scores a hundred thousand clips with each engine, and watches memory and time.

    python benchmarks/load.py [--videos 100000] [--engines local isolated ray]

Eight small clips (64x96, 4 frames, h264) stand under a hundred thousand names; the reward, `exposure` of the first
frame, is next to nothing, so that what is left is the engine. Recorded, in a fresh process for each engine:
milliseconds a video; of these what a thread spends on decoding and the reward, as rows say; memory of all processes
(PSS, in which shared pages count once) and resident memory of this one, by videos done.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from growth_parts.scoring import make_clips
from recording import ROOT, about, record, recorded

POINTS = 20
ENGINES = ("local", "isolated", "ray")


def score(clips: Path, engine: str, out: Path) -> dict[str, object]:
    """Scores all clips, and gives what was seen."""
    from rewardkit import Limits, ScoreRow, create_reward, score_folder

    reward = create_reward("exposure", frames="first", device="cpu")
    points: list[dict[str, float]] = []
    work = 0.0
    start = time.perf_counter()

    def watch(row: ScoreRow | None, done: int, total: int) -> None:
        nonlocal work
        if row is None:
            return
        work += (row.decode_ms or 0.0) + (row.model_ms or 0.0)
        if done == 1 or done % max(1, total // POINTS) == 0:
            seconds = round(time.perf_counter() - start, 2)
            points.append({"videos": done, "seconds": seconds, "own": resident(os.getpid()), "all": proportional()})

    table = score_folder(
        clips,
        reward,
        out=out,
        overwrite=True,
        device="cpu",
        num_workers="auto" if engine == "ray" else 2,
        engine="ray" if engine == "ray" else "local",
        limits=Limits(isolate=engine == "isolated"),
        progress=watch,
    )
    summary = table.summary()
    first, last = points[0], points[-1]
    each = (last["seconds"] - first["seconds"]) / (last["videos"] - first["videos"]) * 1000
    return {
        "videos": summary.rows,
        "failed": summary.failed,
        "until_first_row_s": first["seconds"],
        "ms_a_video": round(each, 3),
        "work_ms_a_video": round(work / summary.rows, 3),
        "points": points,
    }


def resident(pid: int) -> float:
    """Megabytes of a process, shared pages included."""
    return round(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6, 1)


def proportional() -> float:
    """Megabytes of this process and all that it has started; of shared pages each has its part."""
    total = 0
    for pid in family(os.getpid()):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has just ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(total * 1024 / 1e6, 1)


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def main() -> None:
    """Measures the engines asked for, and records them beside the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        clips, engine, out = chosen.one
        print(json.dumps(score(Path(clips), engine, Path(out))))
        return
    engines = recorded("load").get("engines", {})
    with tempfile.TemporaryDirectory() as work:
        clips = Path(work, "clips")
        make_clips(clips, chosen.videos, 4, 64, 96)
        for engine in chosen.engines:
            words = [sys.executable, __file__, "--one", str(clips), engine, f"{work}/{engine}.jsonl"]
            done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            engines[engine] = {**about(1), **json.loads(done.stdout.splitlines()[-1])}
            shown = {key: value for key, value in engines[engine].items() if key != "points"}
            print(engine, shown, engines[engine]["points"][:: POINTS // 5], sep="\n  ")
    record("load", {"engines": engines})


if __name__ == "__main__":
    main()
