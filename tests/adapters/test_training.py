"""Every backbone trained through the one engine: by one file of settings, and with the right gradient."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import rewardkit as rk
from rewardkit.cli import app
from rewardkit.engine.examples import WordCache
from rewardkit.engine.finetune import finetune
from rewardkit.engine.generate import generate
from rewardkit.engine.lora import LoraSettings, lora_weights
from rewardkit.engine.objectives import Draft, RewardGradient
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.engine.statistics import PromptStatistics
from rewardkit.engine.trial import Bench, Group
from tests.adapters.backbones import CASES, NAMES, PROMPTS, kind_of, noise, short, with_lora

CPU = torch.device("cpu")
SETTINGS = """
reward: tests.judges:Brightness[frames=segments:2]
frames: 25
height: 32
width: 32
steps: 3
batch_size: 2
walk_steps: 4
learning_rate: 0.01
objective: {kind: reward, start: base, tau: 0.5, guidance: 3.0}
lora: {rank: 2}
guards: {every: 0}
memory: low
"""


def check_that_one_command_trains(name: str, folder: Path, device: str) -> None:
    """From a model on disk to the file of a LoRA, by the one file of settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind_of(name).tiny(kind_of(name).kinds[0]).plain().save_pretrained(folder / "model")
    (folder / "settings.yaml").write_text(SETTINGS)
    (folder / "prompts.txt").write_text("\n".join(PROMPTS))
    words = ["finetune", "--config", str(folder / "settings.yaml"), "--backbone", name]
    words += ["--model", str(folder / "model"), "--prompts", str(folder / "prompts.txt"), "--device", device]
    run = CliRunner().invoke(app, [*words, "--out", str(folder / "run"), "--quiet"], catch_exceptions=False)
    assert run.exit_code == 0
    assert (folder / "run" / "lora" / "lora.safetensors").is_file()
    steps = [line for line in (folder / "run" / "log.jsonl").read_text().splitlines() if line]
    assert len(steps) == 3


@pytest.mark.parametrize("name", NAMES)
def test_one_file_of_settings_trains_every_backbone(name: str, tmp_path: Path) -> None:
    check_that_one_command_trains(name, tmp_path, "cpu")


class InDouble(Bench):
    def noise(self, group: Group, what: str = "noise") -> Tensor:
        return super().noise(group, what).double()


def value(objective: RewardGradient, bench: Bench, group: Group) -> Tensor:
    ((loss,),) = map(list, objective.updates(bench, [group], PromptStatistics()))
    return loss.value


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_gradient_is_that_of_finite_differences_and_reaches_the_lora_alone(name: str, kind: str) -> None:
    backbone = kind_of(name).tiny(kind)
    shape = short(backbone)
    words = WordCache(backbone, PROMPTS, CPU)
    with_lora(backbone, LoraSettings(rank=2))
    for network in backbone.networks().values():
        network.double()
    weights = list(lora_weights(backbone).values())
    judge = rk.create_reward("tests.judges:Brightness[frames=segments:2]")
    bench = InDouble(backbone, judge, backbone.levels(2, shape), shape, CPU)
    group = Group(PROMPTS, words(PROMPTS), None, ["a", "b"], "c")
    objective = Draft(gradient_steps="tail:2", guidance=3.0)  # type: ignore[arg-type]
    value(objective, bench, group).backward()
    gradient = [weight.grad for weight in weights]
    assert all(part is not None and part.isfinite().all() for part in gradient)
    assert sum(bool(part.any()) for part in gradient if part is not None) == len(weights)
    trained = set(map(id, weights))
    others = [w for network in backbone.networks().values() for w in network.parameters()]
    assert all(weight.grad is None for weight in others if id(weight) not in trained)
    random = torch.Generator().manual_seed(5)
    along = [torch.randn(weight.shape, generator=random, dtype=torch.float64) for weight in weights]
    slope = sum(float((part * way).sum()) for part, way in zip(gradient, along, strict=True) if part is not None)
    ends = []
    with torch.no_grad():
        for step in (1e-4, -2e-4):
            for weight, way in zip(weights, along, strict=True):
                weight += step * way
            ends.append(float(value(objective, bench, group)))
    assert abs(slope) > 1e-6
    assert (ends[0] - ends[1]) / 2e-4 == pytest.approx(slope, rel=1e-2)


@pytest.mark.slow  # processors without instructions for bfloat16 take long
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_frozen_weights_in_bfloat16_leave_the_lora_in_float32(name: str, kind: str) -> None:
    """As models of this size are trained."""
    backbone = kind_of(name).tiny(kind)
    shape = short(backbone)
    for network in backbone.networks().values():
        network.to(torch.bfloat16)
    words = WordCache(backbone, PROMPTS, CPU)
    weights = with_lora(backbone, LoraSettings(rank=2))
    judge = rk.create_reward("tests.judges:Brightness[frames=segments:2]")
    bench = Bench(backbone, judge, backbone.levels(2, shape), shape, CPU)
    group = Group(PROMPTS, words(PROMPTS), None, ["a", "b"], "c")
    value(Draft(gradient_steps="tail:2", guidance=3.0), bench, group).backward()  # type: ignore[arg-type]
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in weights.values())
    frozen = {w.dtype for d in backbone.denoisers().values() for w in d.parameters() if not w.requires_grad}
    assert torch.bfloat16 in frozen


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_reward_moves_up_in_twenty_steps(name: str, tmp_path: Path) -> None:
    backbone = kind_of(name).tiny(kind_of(name).kinds[0])
    shape = short(backbone)
    start = noise(backbone, shape)

    def brightness() -> float:
        films = generate(backbone, PROMPTS, steps=4, guidance=3.0, noise=start, shape=shape)
        return float(films.mean())

    before = brightness()
    settings = FinetuneConfig.model_validate(
        {
            "objective": {"kind": "draft", "gradient_steps": "tail:4", "guidance": 3.0},
            "lora": {"rank": 2},
            "guards": {"every": 0},
            "steps": 20,
            "batch_size": 2,
            "walk_steps": 4,
            "learning_rate": 0.05,
            "warmup": 0,
        }
    )
    reward = rk.create_reward("tests.judges:Brightness[frames=segments:2]")
    finetune(backbone, reward, prompts=PROMPTS, config=settings, output_dir=tmp_path, shape=shape)
    assert brightness() > before + 2e-4
