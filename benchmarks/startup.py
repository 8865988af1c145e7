"""How long does a command take to start, and how much of a first score is not torch?

    python benchmarks/startup.py [--rounds 7]

Each call is a whole process, from start to end, as a shell sees it: commands of rewardkit, and `python -c "import ..."`
of torch and of libraries on top of it. All take turns, after a round that does not count (it fills the page cache). A
first score is of four small clips on the CPU, with a reward that has no weights (`technical`) and with a learned one
whose weights come with the package (`miniworld-judge`). What a call takes beyond torch is its time less that of
`import torch` in the same round; the median over rounds counts. Prints a table and writes results/startup.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from recording import record
from timing import in_turn, middle
from video_reading import write_clip

CLIPS, FRAMES, WIDTH, HEIGHT = 4, 16, 128, 96
TORCH = "import torch"
IMPORTS = (TORCH, *(f"import torch, {name}" for name in ("torch._dynamo", "torchvision", "transformers", "open_clip")))
SCORE, SCORE_LEARNED = "score technical", "score miniworld-judge"
COMMANDS = {
    "--help": ["--help"],
    "finetune --help": ["finetune", "--help"],
    "list": ["list"],
    "info technical": ["info", "technical"],
    SCORE: ["score", "clips", "--quiet", "--device", "cpu"],
    SCORE_LEARNED: ["score", "clips", "--quiet", "--device", "cpu", "-r", "miniworld-judge", "--prompt", "a red cat"],
}
GOALS = {"--help": 0.3}
GOALS_BEYOND_TORCH = {SCORE: 3.0, SCORE_LEARNED: 3.0}


def main() -> None:
    """Times all calls and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="all calls in turn; the median counts")
    rounds: int = parser.parse_args().rounds
    load = round(os.getloadavg()[0], 1)
    print(f"{os.cpu_count()} cores, load {load}, {rounds} rounds")
    calls = {code: ["-c", code] for code in IMPORTS}
    calls |= {name: ["-m", "rewardkit", *words] for name, words in COMMANDS.items()}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(CLIPS):
            (Path(folder) / "clips").mkdir(exist_ok=True)
            write_clip(Path(folder) / "clips" / f"{number}.mp4", FRAMES, WIDTH, HEIGHT, number)
        seconds = in_turn({name: partial(call, words, folder) for name, words in calls.items()}, rounds)
    beyond = {name: [a - b for a, b in zip(took, seconds[TORCH], strict=True)] for name, took in seconds.items()}
    show(seconds, beyond)
    result = {
        "seconds": {name: middle(took) for name, took in seconds.items()},
        "seconds_beyond_torch": {name: middle(more) for name, more in beyond.items() if statistics.median(more) > 0},
        "goals": {"seconds": GOALS, "seconds_beyond_torch": GOALS_BEYOND_TORCH},
    }
    record("startup", {"rounds": rounds, "load_before": load, **result})


def call(words: Sequence[str], folder: str) -> None:
    """One process of this Python, which must succeed; without `--out`, a score is new each time."""
    subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)


def show(seconds: dict[str, list[float]], beyond: dict[str, list[float]]) -> None:
    """Prints a line a call."""
    print(f"  {'':28} {'seconds':>9} {'beyond torch':>13}")
    for name, took in seconds.items():
        goals = [f"goal: at most {GOALS[name]} s"] if name in GOALS else []
        goals += [f"goal: at most {GOALS_BEYOND_TORCH[name]} s beyond torch"] if name in GOALS_BEYOND_TORCH else []
        print(f"  {name:28} {statistics.median(took):9.2f} {statistics.median(beyond[name]):13.2f}    {''.join(goals)}")


if __name__ == "__main__":
    main()
