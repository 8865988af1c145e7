"""Experiment trackers: what they are told, when they end, and what is said of those that are not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import accelerate
import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from packaging.version import Version

import rewardkit as rk
from rewardkit.engine.examples import Example
from rewardkit.engine.finetune import Finetuning, finetune
from rewardkit.engine.guards import GuardSettings
from rewardkit.errors import UsageError
from tests.engine.test_finetune import PROMPTS, bright, config, fails
from tests.engine.toy import Toy

Told = list[tuple[str, Any, int | None]]


class Diary(GeneralTracker):
    """Keeps what it is told, as a tracker with a server would."""

    name = "diary"
    requires_logging_directory = True
    kept: ClassVar[Told] = []

    def __init__(self, project: str, folder: Path) -> None:
        super().__init__()
        self.place = f"{project} {folder}"

    @property
    def tracker(self) -> str:
        return self.place

    def start(self) -> None:
        self.kept.append(("start", self.place, None))

    def store_init_configuration(self, values: dict[str, object]) -> None:
        self.kept.append(("settings", values, None))

    def log(self, values: dict[str, object], step: int | None = None, **more: object) -> None:
        self.kept.append(("log", values, step))

    def finish(self) -> None:
        self.kept.append(("finish", self.place, None))


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> Told:
    if Version(accelerate.__version__) < Version("1.15"):
        pytest.skip("this accelerate knows no trackers but its own")
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "diary", Diary)
    monkeypatch.setattr(Diary, "kept", [])
    return Diary.kept


def test_trackers_are_told_every_step_and_look(tmp_path: Path, diary: Told) -> None:
    settings = config(steps=2, trackers=("diary",), guards=GuardSettings(every=2, prompts=1, action="warn"))
    held_out = {"contrast": rk.create_reward("contrast")}
    finetune(Toy(), bright(), prompts=PROMPTS, config=settings, output_dir=tmp_path, held_out=held_out)
    place = f"rewardkit {tmp_path / 'trackers'}"
    assert [(what, step) for what, _, step in diary] == [
        ("start", None), ("settings", None), ("log", 0), ("log", 1), ("log", 2), ("log", 2), ("finish", None),
    ]  # fmt: skip
    assert diary[0][1] == diary[-1][1] == place
    (_, told, _), (_, base, _), (_, first, _) = diary[1:4]
    assert told["lora/rank"] == 2
    assert told["objective/kind"] == "reward"
    assert {type(value) for value in told.values()} <= {bool, int, float, str}
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    assert first["log/facts/score"] == line["facts"]["score"]
    assert first["log/gradient_norm"] == line["gradient_norm"]
    assert first["log/learning_rate"] == line["learning_rate"]
    look = json.loads((tmp_path / "looks.jsonl").read_text().splitlines()[0])
    assert base["looks/held_out/contrast"] == look["held_out"]["contrast"]
    assert base["looks/motion"] == look["motion"]


def test_trackers_end_with_a_training_that_breaks_off_or_is_left(tmp_path: Path, diary: Told) -> None:
    with pytest.raises(RuntimeError, match="the machine is gone"):
        finetune(
            Toy(), fails(3, "raise"), prompts=PROMPTS, config=config(trackers=("diary",)), output_dir=tmp_path / "run"
        )
    assert [what for what, _, _ in diary] == ["start", "settings", "log", "log", "finish"]
    diary.clear()
    examples = [Example(prompt) for prompt in PROMPTS]
    for _ in Finetuning(Toy(), bright(), examples, config(trackers=("diary",)), tmp_path / "own loop").steps():
        break
    assert [what for what, _, _ in diary] == ["start", "settings", "log", "finish"]


def test_trackers_that_are_not_there_are_named_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accelerate.tracking._available_trackers", [])
    for name, message in (
        ("tensorbord", r"^no tracker is called 'tensorbord': did you mean tensorboard"),
        ("wandb", r"^the tracker wandb needs a package that is not installed: pip install wandb$"),
    ):
        with pytest.raises(UsageError, match=message):
            finetune(Toy(), bright(), prompts=PROMPTS, config=config(trackers=(name,)), output_dir=tmp_path / "run")
        assert not (tmp_path / "run").exists()
