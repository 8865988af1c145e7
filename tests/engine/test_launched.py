"""What users type: `accelerate launch` with the configurations in docs/examples, in several processes on CPUs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from rewardkit.engine.checkpoints import OPTIMISER
from rewardkit.engine.lora import FILE
from tests.faults import Record, note_ranks

ROOT = Path(__file__).parent.parent.parent
CONFIGS = ROOT / "docs" / "examples" / "accelerate"
SETTINGS = {
    "reward": "technical[frames=segments:2]",
    "batch_size": 4,
    "walk_steps": 2,
    "checkpoint_every": 1,
    "frames": 4,
    "guards": {"every": 0},
    "objective": {"kind": "reward", "start": "noise", "guidance": 1.0},
}
needs_deepspeed = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed")


class Launched(NamedTuple):
    """What a training of the mini world came to: the LoRA, the gradient of the first step, and what was printed."""

    lora: dict[str, Tensor]
    gradient: dict[str, Tensor]
    printed: str


def launched(folder: Path, kind: str, processes: int, steps: int) -> Launched:
    (folder / "prompts.txt").write_text("a red ball\na blue square\n")
    (folder / "run.yaml").write_text(yaml.safe_dump(SETTINGS))
    config = ["--config_file", str(CONFIGS / f"{kind}.yaml"), "--num_processes", str(processes)]
    words = ["--config", "run.yaml", "--prompts", "prompts.txt", "--out", "run", "--steps", str(steps)]
    launch = [sys.executable, "-m", "accelerate.commands.launch", *config, "--mixed_precision", "no"]
    launch += ["--main_process_port", "0"]  # any that is free
    done = subprocess.run(
        [*launch, "-m", "rewardkit", "finetune", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'adapters'}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    moments = load_file(folder / "run" / "checkpoints" / "000001" / OPTIMISER)
    gradient = {name: 10 * mean for name, mean in moments.items() if name.endswith(".exp_avg")}  # Adam kept a tenth
    return Launched(load_file(folder / "run" / "lora" / FILE), gradient, done.stdout)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """In one process."""
    return launched(tmp_path_factory.mktemp("alone"), "ddp", 1, steps=2)


def flat(tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def check(found: Launched, alone: Launched, what: str, record: Record) -> None:
    """Adam moves every weight by 1e-5 in the first step and 2e-5 in the second, whatever the size of its gradient:
    where a gradient is itself no more than rounding, a weight may go anywhere. So the mean counts, too.
    """
    moved = flat({name: weight for name, weight in alone.lora.items() if ".lora_B" in name}).abs()
    apart = (flat(found.lora) - flat(alone.lora)).abs()
    note_ranks(record, what, float(apart.max()))
    assert float(moved.mean()) > 1e-5
    assert float(apart.max()) < 1e-5
    assert float(apart.mean()) < 0.01 * float(moved.mean())
    assert float(flat(alone.gradient).norm()) > 1e-4
    torch.testing.assert_close(flat(found.gradient), flat(alone.gradient), atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp2", pytest.param("deepspeed", marks=needs_deepspeed)])
def test_a_shipped_configuration_trains_in_two_processes_as_one_would(
    tmp_path: Path, alone: Launched, record_property: Record, kind: str
) -> None:
    found = launched(tmp_path, kind, 2, steps=2)
    check(found, alone, f"2, mini world, {kind}.yaml", record_property)
    assert found.printed.count("run/lora") == 1, found.printed


@pytest.mark.slow
def test_a_training_of_two_processes_goes_on_in_four(tmp_path: Path, alone: Launched, record_property: Record) -> None:
    launched(tmp_path, "ddp", 2, steps=1)
    check(launched(tmp_path, "ddp", 4, steps=2), alone, "2, then 4, mini world, ddp.yaml", record_property)
    assert [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize("kind", ["ddp", "fsdp2", "deepspeed"])
def test_a_shipped_configuration_says_what_it_is_for(kind: str) -> None:
    first, *_ = (CONFIGS / f"{kind}.yaml").read_text().splitlines()
    assert first.startswith("# ")
    assert len(first) <= 120
