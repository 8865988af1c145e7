"""The ablations of InstructVideo's paper in the mini world, and a run that is hacked on purpose.

    python benchmarks/ablate.py tau|gradient-steps|segments|attenuation|rank|hack [--steps 30] [--each 12]

Each variant is the demo's fine-tuning with one thing changed and no guards, judged on the same prompts and noise;
`hack` is five times the demo's rate and no attenuation, with guards that stop it and with guards that only warn. Writes
results/ablation_NAME.json. An interrupted ablation goes on; what several of them share is run once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from recording import record

from rewardkit.bench.before_after import ALL
from rewardkit.bench.proof import CONFIG, REWARD, TRAINED, prove
from rewardkit.engine.finetune import StepReport
from rewardkit.engine.settings import FinetuneConfig

WORK = Path(__file__).parent / "miniworld" / ".cache" / "ablations"
UNGUARDED = {"every": 0}


class Variant(NamedTuple):
    """What is changed in the demo's fine-tuning."""

    config: Mapping[str, Any] = {}
    objective: Mapping[str, Any] = {}
    reward: str = REWARD


def with_frames(frames: str, weights: str) -> str:
    return f"{TRAINED}[frames={frames};weights={weights}]"


def hacked(steps: int, **guards: object) -> Variant:
    """Pushed hard, with some of the demo's guards changed."""
    settings = {"learning_rate": 1e-2, "steps": steps, "guards": CONFIG.guards.model_dump() | guards}
    return Variant(config=settings, reward=with_frames("segments:4", "equal"))


ABLATIONS: dict[str, dict[str, Variant]] = {
    "tau": {f"tau {tau}": Variant(objective={"tau": tau}) for tau in (0.2, 0.4, 0.6, 0.8, 1.0)},
    "gradient-steps": {
        name: Variant(objective={"gradient_steps": name}) for name in ("last", "tail:2", "tail:4", "random:1")
    },
    "segments": {
        f"segments:{count}": Variant(reward=with_frames(f"segments:{count}", "attenuate:1.0")) for count in (1, 2, 4, 8)
    },
    "attenuation": {
        weights: Variant(reward=with_frames("segments:4", weights))
        for weights in ("equal", "attenuate:0.5", "attenuate:1.0", "attenuate:2.0")
    },
    "rank": {f"rank {rank}": Variant(config={"lora": {"rank": rank}}) for rank in (1, 4, 16)},
    "hack": {
        "guarded": hacked(300, every=10),
        "only watched, 100 steps": hacked(100, every=20, action="warn"),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ablation", choices=ABLATIONS)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--each", type=int, default=12, help="prompts a split")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the runs")
    asked = parser.parse_args()
    rows = {
        name: result(asked.work, name, variant, asked.steps, asked.each)
        for name, variant in ABLATIONS[asked.ablation].items()
    }
    record(f"ablation_{asked.ablation}", {"steps": asked.steps, "films": 3 * asked.each, "rows": rows})


def result(work: Path, name: str, variant: Variant, steps: int, each: int) -> dict[str, Any]:
    """What `prove` measures with this variant; read again where it was finished, by whichever ablation."""
    settings = CONFIG.model_dump() | {"steps": steps, "guards": UNGUARDED} | variant.config
    settings["objective"] = CONFIG.objective.model_dump() | variant.objective
    config = FinetuneConfig.model_validate(settings)
    run = f"{config.model_dump_json()} {variant.reward} {each}"
    folder = work / hashlib.sha256(run.encode()).hexdigest()[:12]
    kept = folder / "result.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found

    def show(step: StepReport) -> None:
        print(f"{name}: step {step.step} {step.facts['score']:.3f} {step.seconds} s", file=sys.stderr, flush=True)

    ended, measured, _ = prove(folder, config, reward=variant.reward, each=each, show=show)
    found = {
        "steps": ended.steps,
        "stopped": ended.stopped,
        "looks": [look.model_dump() for look in ended.looks],
        "changes": {measure: change.model_dump() for measure, change in measured.changes[ALL].items()},
    }
    kept.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return found


if __name__ == "__main__":
    main()
