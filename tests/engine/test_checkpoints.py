"""Checkpoints: damage of any kind is noticed, the newest good one is used, and nothing is half replaced."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from rewardkit.engine.checkpoints import FILES, OPTIMISER, STATE, Checkpoint
from rewardkit.engine.durable import SUMS
from rewardkit.engine.examples import Example
from rewardkit.engine.finetune import Finetuning
from rewardkit.engine.guards import GuardSettings
from rewardkit.engine.lora import FILE
from rewardkit.errors import BadCheckpointError, OutputError
from tests.engine.test_finetune import PROMPTS, bright, config, same, trained
from tests.engine.toy import Toy
from tests.faults import Record, note


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip(path: Path, place: float = 0.99) -> None:
    """One bit near the end, past the header of tensors, which can still be read."""
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)


DAMAGES: tuple[Callable[[Path], None], ...] = (cut, empty, flip, Path.unlink)


def go_on(folder: Path, **changes: object) -> Finetuning:
    return Finetuning(Toy(), bright(), [Example(prompt) for prompt in PROMPTS], config(**changes), folder)


def held(training: Finetuning) -> dict[str, Tensor]:
    """What a training would go on with."""
    now = Checkpoint.of(training.weights, training.optimiser, training._last.state)
    return {**now.lora, **now.moments}


@pytest.fixture(scope="module")
def four_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training with checkpoints of steps 2 and 4."""
    folder = tmp_path_factory.mktemp("training")
    trained(folder, steps=4)
    return folder


@pytest.fixture
def folder(four_steps: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(four_steps, tmp_path / "run"))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*FILES, SUMS])
def test_the_newest_good_checkpoint_is_used_and_the_damaged_one_named(
    folder: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], None], record_property: Record
) -> None:
    note(record_property, "training: checkpoint cut, flipped or with a file missing")
    damage(folder / "checkpoints" / "000004" / name)
    with caplog.at_level(logging.WARNING):
        training = go_on(folder)
    assert training.step == 2
    (record,) = caplog.records
    said = record.getMessage()
    assert record.levelno == logging.WARNING
    assert "000004 is damaged: " in said
    assert said.endswith("it is set aside as damaged-000004, and step 2 is used")
    assert "\n" not in said


def test_an_empty_folder_is_no_checkpoint(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for file in (folder / "checkpoints" / "000004").iterdir():
        file.unlink()
    assert go_on(folder).step == 2
    assert "000004 is damaged: " in caplog.text


def test_a_copy_that_somebody_made_is_left_alone(folder: Path) -> None:
    copy = shutil.copytree(folder / "checkpoints" / "000002", folder / "checkpoints" / "000009-copy")
    assert go_on(folder).step == 4
    assert Path(copy).is_dir()


@pytest.mark.parametrize("name", FILES)
def test_a_fall_back_ends_in_the_bits_of_an_undisturbed_training(tmp_path: Path, folder: Path, name: str) -> None:
    flip(folder / "checkpoints" / "000004" / name)
    assert same(trained(folder), trained(tmp_path / "whole"))
    rows = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert rows == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_replaces_nothing(folder: Path, name: str) -> None:
    """Even where the damage is in the file that is read last."""
    training = go_on(folder)
    before = held(training)
    flip(training.checkpoints.path(2) / name)
    with pytest.raises(BadCheckpointError, match="000002 is damaged: "):
        training.checkpoints.read(2, training.weights).put(training.weights, training.optimiser)
    assert same(before, held(training))


def test_where_all_are_damaged_nothing_begins_anew(folder: Path) -> None:
    for step in ("000002", "000004"):
        flip(folder / "checkpoints" / step / FILE)
    with pytest.raises(
        BadCheckpointError, match=r"^no checkpoint in \S+ can be read \(.*000004.*; .*000002.*\): [^\n]+$"
    ):
        go_on(folder)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"000002", "000004"}
    assert len((folder / "log.jsonl").read_text().splitlines()) == 4


def test_damaged_checkpoints_do_not_count_among_those_that_are_kept(folder: Path) -> None:
    flip(folder / "checkpoints" / "000004" / OPTIMISER)
    trained(folder, steps=3, keep=1)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"000003", "damaged-000004"}


def test_without_sums_a_flipped_bit_goes_unnoticed(folder: Path) -> None:
    """Shows that the tests above can fail."""
    path = folder / "checkpoints" / "000004"
    whole = held(go_on(folder))
    as_before(path)
    flip(path / FILE)
    training = go_on(folder)
    assert training.step == 4
    assert not same(whole, held(training))


def as_before(path: Path) -> None:
    """A checkpoint of the time before sums."""
    (path / SUMS).unlink()
    state = json.loads((path / STATE).read_text())
    del state["sums"]
    (path / STATE).write_text(json.dumps(state))


def test_checkpoints_of_before_are_gone_on_with(tmp_path: Path, folder: Path) -> None:
    for step in ("000002", "000004"):
        as_before(folder / "checkpoints" / step)
    assert go_on(folder).step == 4
    assert same(trained(folder), trained(tmp_path / "whole"))


def test_anyone_can_check_the_sums(folder: Path) -> None:
    path = folder / "checkpoints" / "000004"
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=path, check=True, capture_output=True)
    flip(path / STATE)
    assert subprocess.run(["sha256sum", "--check", SUMS], cwd=path, capture_output=True, check=False).returncode == 1


def test_a_checkpoint_of_another_lora_is_refused(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder / "checkpoints", tmp_path / "other"))
    training = go_on(tmp_path / "new", lora={"rank": 3})
    with pytest.raises(BadCheckpointError, match=r"lora.safetensors holds \d tensors that do not fit this LoRA$"):
        Checkpoint.read(other / "000004", training.weights)


def test_everything_is_on_the_disk_before_a_checkpoint_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may then come at any moment. Flushing and renaming are watched, not replaced."""
    done: list[str] = []
    flush, rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        flush(descriptor)
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)

    def replace(path: Path, target: Path) -> Path:
        done.append(f"{path.name} -> {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    go_on(tmp_path).save()
    named = done.index(".draft -> 000000")
    assert {*FILES, SUMS, ".draft"} <= set(done[:named])
    assert done[named - 1] == ".draft"
    assert done[named + 1] == "checkpoints"


def test_a_deletion_that_broke_off_leaves_no_half_checkpoint(folder: Path) -> None:
    gone = folder / "checkpoints" / ".gone"
    gone.mkdir()
    (gone / FILE).write_bytes(b"half")
    trained(folder, keep=1)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"000006"}


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.engine.test_checkpoints import go_on
training, rename, at = go_on(Path(sys.argv[1])), Path.replace, int(sys.argv[2])
left = iter(range(at))

def replace(path, target):
    if path.parent.name == "checkpoints" and next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)

Path.replace = replace
training._last = training._checkpoint()  # as after a look at a step that is saved already
training.save()
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 1])
def test_a_process_killed_while_it_replaces_the_only_checkpoint_leaves_it(folder: Path, at: int) -> None:
    shutil.rmtree(folder / "checkpoints" / "000002")
    command = [sys.executable, "-c", KILLED, str(folder), str(at)]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode == -signal.SIGKILL
    assert not at or not (folder / "checkpoints" / "000004").exists()  # it was in the middle
    assert go_on(folder).step == 4
    assert {path.name for path in (folder / "checkpoints").glob("[!.]*")} == {"000004"}


@pytest.mark.parametrize("name", ["settings.json", "log.jsonl"])
@pytest.mark.parametrize("written", [b"\0\0\0\n", b"\xff\xfe\n", b"[]\n"])
def test_a_damaged_file_of_the_run_is_named(folder: Path, name: str, written: bytes) -> None:
    (folder / name).write_bytes(written)
    with pytest.raises(OutputError, match=rf"^\S+{name} is damaged at b'[^\n]+': put it right, or delete it$"):
        go_on(folder)
    assert (folder / name).read_bytes() == written


def test_a_look_that_was_broken_off_is_taken_before_the_training_goes_on(tmp_path: Path) -> None:
    guards = GuardSettings(every=2, prompts=1, action="warn")
    trained(tmp_path / "whole", guards=guards)
    training = go_on(tmp_path / "broken", guards=guards)
    for report in training.steps():
        if report.step == 2:
            break
    training.save()  # as after SIGTERM: the step is complete, its look is not
    trained(tmp_path / "broken", guards=guards)
    looks = [(tmp_path / name / "looks.jsonl").read_text() for name in ("whole", "broken")]
    assert looks[0] == looks[1]


def test_a_training_that_a_guard_stopped_stays_stopped(tmp_path: Path) -> None:
    """As one that is killed between its last checkpoint and its LoRA."""
    guards = GuardSettings(every=5, prompts=3, most_saturated=0.02)
    ends = [trained(tmp_path, guards=guards, steps=60, learning_rate=0.3) for _ in range(2)]
    assert same(*ends)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) < 60
