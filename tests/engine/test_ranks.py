"""What accelerate is told: precision and sharing of weights, once for a generator however often it is trained."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from rewardkit.engine.finetune import finetune
from rewardkit.engine.zero import NOT_TAKEN, zero_stage
from rewardkit.errors import UsageError
from tests.engine.test_finetune import PROMPTS, bright, config, trained
from tests.engine.toy import Toy


def first_gradient(toy: Toy, folder: Path) -> float:
    finetune(toy, bright(), prompts=PROMPTS, config=config(steps=1, learning_rate=1e-12), output_dir=folder)
    norm: float = json.loads((folder / "log.jsonl").read_text())["gradient_norm"]
    return norm


def test_a_second_training_of_a_generator_has_a_precision_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = first_gradient(Toy(), tmp_path / "plain")
    toy = Toy()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    mixed = first_gradient(toy, tmp_path / "mixed")
    assert first_gradient(toy, tmp_path / "mixed again") == pytest.approx(mixed, rel=1e-6)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert first_gradient(toy, tmp_path / "plain again") == pytest.approx(plain, rel=1e-6)
    assert mixed != pytest.approx(plain, rel=1e-6)
    assert torch.is_autocast_enabled("cpu") is False


@pytest.fixture
def deepspeed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, unused in NOT_TAKEN.items():
        monkeypatch.setenv(f"ACCELERATE_{name}", unused)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")


@pytest.mark.usefixtures("deepspeed")
@pytest.mark.parametrize(("name", "value"), [*dict.fromkeys(NOT_TAKEN, "cpu").items(), ("GRADIENT_CLIPPING", "1")])
def test_settings_of_deepspeed_that_are_not_followed_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert zero_stage() == 2
    monkeypatch.setenv(f"ACCELERATE_{name}", value)
    setting = name.removeprefix("DEEPSPEED_").lower()
    with pytest.raises(UsageError, match=rf"^fine-tuning takes zero_stage alone .*: leave out {setting} = {value}$"):
        zero_stage()


@pytest.mark.usefixtures("deepspeed")
@pytest.mark.parametrize("stage", ["", "4", "two"])
def test_a_stage_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", stage)
    with pytest.raises(UsageError, match=rf"needs a zero_stage of DeepSpeed: got {stage or 'none'}, take 0, 1, 2, 3$"):
        zero_stage()


@pytest.mark.usefixtures("deepspeed")
def test_stages_that_share_only_the_optimiser_say_that_it_is_not_shared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        trained(tmp_path, steps=1)
    assert [record.getMessage() for record in caplog.records if record.name == "rewardkit.engine.ranks"] == [
        "zero_stage 2: a LoRA's optimiser is small and is not sharded; stage 3 shares weights"
    ]
