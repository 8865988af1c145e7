"""The ablations of InstructVideo's paper in the mini world, and a run that is hacked on purpose.

    python benchmarks/miniworld/ablate.py tau|gradient-steps|segments|attenuation|rank|hack [--steps 40] [--each 16]

Each variant is the demo's fine-tuning with one thing changed, judged on the same prompts and noise. The table goes to
stdout, the numbers to benchmarks/results/ablation_NAME.json. An interrupted ablation goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rewardkit.bench.before_after import ALL
from rewardkit.bench.proof import CONFIG, HELD_OUT, MOTION, REWARD, RIGHT, TRAINED, WATERMARK, prove
from rewardkit.engine.settings import FinetuneConfig

FOLDER = Path(__file__).parent
RESULTS = FOLDER.parent / "results"
COLUMNS = (TRAINED, HELD_OUT, WATERMARK, "sharpness", MOTION, RIGHT)


class Variant(NamedTuple):
    """What is changed in the demo's fine-tuning."""

    config: Mapping[str, Any] = {}
    objective: Mapping[str, Any] = {}
    reward: str = REWARD


def with_frames(frames: str, weights: str) -> str:
    return f"{TRAINED}[frames={frames};weights={weights}]"


ABLATIONS: dict[str, dict[str, Variant]] = {
    "tau": {f"tau {tau}": Variant(objective={"tau": tau}) for tau in (0.2, 0.4, 0.6, 0.8, 1.0)},
    "gradient-steps": {
        name: Variant(objective={"gradient_steps": name}) for name in ("last", "tail:2", "tail:4", "random:1")
    },
    "segments": {
        f"{count} frames": Variant(reward=with_frames(f"segments:{count}", "attenuate:1.0")) for count in (1, 2, 4, 8)
    },
    "attenuation": {
        weights: Variant(reward=with_frames("segments:4", weights))
        for weights in ("equal", "attenuate:0.5", "attenuate:1.0", "attenuate:2.0")
    },
    "rank": {f"rank {rank}": Variant(config={"lora": {"rank": rank}}) for rank in (1, 4, 16)},
    "hack": {
        "rate 0.01, no attenuation, long": Variant(
            config={"learning_rate": 1e-2, "steps": 300, "guards": {"every": 10, "prompts": 8, "seeds": 2}},
            reward=with_frames("segments:4", "equal"),
        )
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ablation", choices=ABLATIONS)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--each", type=int, default=16, help="prompts a split")
    parser.add_argument("--work", type=Path, default=FOLDER / ".cache" / "ablations")
    asked = parser.parse_args()
    rows = {
        name: result(asked.work / f"{asked.ablation}-{number}", variant, asked.steps, asked.each, name)
        for number, (name, variant) in enumerate(ABLATIONS[asked.ablation].items())
    }
    print(table(rows))
    found = {
        "command": f"python benchmarks/miniworld/ablate.py {' '.join(sys.argv[1:])}",
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip(),
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "rows": rows,
    }
    path = RESULTS / f"ablation_{asked.ablation}.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def result(folder: Path, variant: Variant, steps: int, each: int, name: str) -> dict[str, Any]:
    """What `prove` measures with this variant; read again where it was finished."""
    kept = folder / "result.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    settings = CONFIG.model_dump() | {"steps": steps} | variant.config
    settings["objective"] = CONFIG.objective.model_dump() | variant.objective
    config = FinetuneConfig.model_validate(settings)
    ended, measured, _ = prove(
        folder,
        config,
        reward=variant.reward,
        each=each,
        show=lambda step: print(
            f"{name}: step {step.step} {step.facts['score']:.3f} {step.seconds} s", file=sys.stderr
        ),
    )
    found = {
        "steps": ended.steps,
        "stopped": ended.stopped,
        "looks": [look.model_dump() for look in ended.looks],
        "changes": {measure: change.model_dump() for measure, change in measured.changes[ALL].items()},
    }
    kept.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return found


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Differences with their intervals, as Markdown."""
    lines = [f"| | {' | '.join(COLUMNS)} | |", f"|---|{'---|' * (len(COLUMNS) + 1)}"]
    for name, row in rows.items():
        cells = []
        for column in COLUMNS:
            change = row["changes"][column]
            low, high = change["difference_interval"]
            cells.append(f"{change['mean_after']:.3f} ({change['difference']:+.3f}; {low:+.3f} to {high:+.3f})")
        stopped = f"stopped at step {row['steps']}: {'; '.join(row['stopped'])}" if row["stopped"] else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {stopped} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
