"""A disk that is full, or must not be written to, while a training writes: one sentence, and the last good state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rewardkit.engine.examples import Example
from rewardkit.engine.finetune import Finetuning
from rewardkit.engine.guards import GuardSettings
from rewardkit.engine.objectives import RewardGradient
from rewardkit.errors import OutputError
from tests.disks import make_read_only, make_writable, tiny_disk
from tests.engine.test_finetune import PROMPTS, bright, config, same, trained
from tests.engine.toy import Toy
from tests.faults import Record, note

NOISE = RewardGradient(start="noise", gradient_steps="tail:2", guidance=2.0)
LOOKING = GuardSettings(every=2, prompts=1, action="warn")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of one megabyte."""
    with tiny_disk(tmp_path / "disk", 1024) as path:
        yield path


def fill(folder: Path) -> Path:
    """Takes all the space that is left."""
    path = folder.parent / "filling"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"0" * 4096):
            pass
    return path


def forbid(folder: Path) -> Path:
    make_read_only(folder.parent)
    return folder


def allow(full: Path) -> None:
    """Takes either back."""
    if full.name == "filling":
        full.unlink()
    else:
        make_writable(full.parent)


@pytest.mark.parametrize("harm", [fill, forbid])
def test_a_checkpoint_that_cannot_be_written_keeps_the_last_good_one(
    tmp_path: Path, disk: Path, harm: Callable[[Path], Path], record_property: Record
) -> None:
    what = "full" if harm is fill else "read-only"
    note(record_property, f"training: {what} disk while a checkpoint is written")
    folder, examples = disk / "run", [Example(prompt) for prompt in PROMPTS]
    training = Finetuning(Toy(), bright(), examples, config(objective=NOISE), folder)
    for report in training.steps():
        if report.step == 2:
            training.save()
        if report.step == 3:
            break
    harmed = harm(folder)
    message = r"^cannot write the checkpoint of step 3 to \S+: [^\n]*(No space left on device|Read-only)[^\n]*$"
    with pytest.raises(OutputError, match=message):
        training.save()
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["000002"]
    allow(harmed)
    assert same(trained(folder, objective=NOISE), trained(tmp_path / "whole", objective=NOISE))


@pytest.mark.parametrize("harm", [fill, forbid])
def test_a_log_that_cannot_be_written_is_named(tmp_path: Path, disk: Path, harm: Callable[[Path], Path]) -> None:
    folder = disk / "run"
    trained(folder, steps=2, objective=NOISE)
    longer = config(objective=NOISE, steps=60, checkpoint_every=60)  # its log outgrows the space it has
    training = Finetuning(Toy(), bright(), [Example(prompt) for prompt in PROMPTS], longer, folder)
    harmed = harm(folder)
    with pytest.raises(OutputError, match=r"^cannot write \S+log.jsonl: (No space left on device|Read-only)[^\n]*$"):
        training.run()
    allow(harmed)
    assert same(trained(folder, objective=NOISE), trained(tmp_path / "whole", objective=NOISE))


@pytest.mark.parametrize("harm", [fill, forbid])
def test_a_folder_that_cannot_be_begun_is_named(disk: Path, harm: Callable[[Path], Path]) -> None:
    harm(disk / "run")
    with pytest.raises(
        OutputError, match=r"^cannot write \S+settings.json: (No space left on device|Read-only)[^\n]*$"
    ):
        trained(disk / "run")


@pytest.mark.parametrize(
    ("changes", "name"), [({"guards": LOOKING}, "000000.png"), ({}, r"starts/\S+.safetensors")], ids=["films", "starts"]
)
def test_what_else_finds_no_space_is_named(disk: Path, changes: dict[str, object], name: str) -> None:
    examples = [Example(prompt) for prompt in PROMPTS]
    training = Finetuning(Toy(), bright(), examples, config(**changes), disk / "run")
    fill(disk / "run")
    with pytest.raises(OutputError, match=rf"^cannot write \S+{name}: [^\n]*No space left on device[^\n]*$"):
        training.run()
