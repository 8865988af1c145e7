"""Trainings in processes of their own that something happens to: signals, a lost process, another number of processes.

What each fault costs is noted, see tests/faults.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from rewardkit.engine.interruption import BROKEN_OFF
from rewardkit.engine.lora import FILE
from tests.engine.test_finetune import same
from tests.faults import Record, note, note_ranks

ROOT = Path(__file__).parent.parent.parent
PATIENCE, GRACE = 1.0, 6.0  # seconds; of a real scheduler 20 and 30

STEPS = [1, 2, 3, 4, 5, 6]

pytestmark = pytest.mark.slow


def command(folder: Path, processes: int = 1, **told: object) -> list[str]:
    """Of a training in one process, or in several under torchrun."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    options = [f"--{name}={value}" for name, value in told.items()]
    return [sys.executable, *launch, "-m", "tests.engine.child", str(folder), *options]


def begin(folder: Path, processes: int = 1, **told: object) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    with (folder / "said").open("ab") as said:
        return subprocess.Popen(command(folder, processes, **told), env=environment, cwd=ROOT, stdout=said, stderr=said)


def ended(folder: Path, processes: int = 1, **told: object) -> dict[str, Tensor]:
    """The LoRA of a training that nothing happens to any more."""
    child = begin(folder, processes, **told)
    assert child.wait(200) == 0, (folder / "said").read_text()
    return load_file(folder / "lora" / FILE)


def struck(folder: Path) -> float:
    """Waits until it happened, and gives when."""
    deadline = time.monotonic() + 100
    while not (folder / "struck").exists():
        assert time.monotonic() < deadline, (folder / "said").read_text()
        time.sleep(0.02)
    return time.monotonic()


def end_within(child: subprocess.Popen[bytes], seconds: float) -> int:
    """Its exit code, SIGKILL if it took longer."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def checkpoints(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in (folder / "checkpoints").glob("[0-9]*"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], dict[str, Tensor]]:
    """The LoRA of a training of six steps in so many processes."""
    known: dict[int, dict[str, Tensor]] = {}

    def of(processes: int) -> dict[str, Tensor]:
        if processes not in known:
            known[processes] = ended(tmp_path_factory.mktemp("undisturbed"), processes)
        return known[processes]

    return of


Undisturbed = Callable[[int], dict[str, Tensor]]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_step_that_outlasts_the_grace_loses_nothing_but_itself(
    tmp_path: Path, undisturbed: Undisturbed, record_property: Record, processes: int
) -> None:
    """The process hangs in C; of two, the one that writes waits for the other in a collective."""
    child = begin(tmp_path, processes, strike=4, rank=processes - 1, every=100, patience=PATIENCE)
    asked = struck(tmp_path)
    child.send_signal(signal.SIGTERM)
    code = end_within(child, GRACE)
    ended_after = time.monotonic() - asked
    said = (tmp_path / "said").read_text()
    assert code == (BROKEN_OFF if processes == 1 else 1), said  # torchrun has a code of its own
    assert checkpoints(tmp_path) == [3], said
    assert processes > 1 or "step 3 is saved in" in said
    several = "" if processes == 1 else ", two processes"
    note(record_property, f"training: SIGTERM in a step that hangs{several}", ended_after)
    assert same(ended(tmp_path, processes), undisturbed(processes))


def test_with_more_patience_than_grace_the_last_checkpoint_counts(tmp_path: Path, undisturbed: Undisturbed) -> None:
    """Shows that the test above can fail: SIGKILL comes first."""
    child = begin(tmp_path, strike=4, patience=60)
    struck(tmp_path)
    child.send_signal(signal.SIGTERM)
    assert end_within(child, 2) == -signal.SIGKILL
    assert checkpoints(tmp_path) == [2]
    assert same(ended(tmp_path), undisturbed(1))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_all_and_the_same_command_goes_on(
    tmp_path: Path, undisturbed: Undisturbed, record_property: Record, rank: int
) -> None:
    child = begin(tmp_path, 2, strike=4, rank=rank, how="kill", patience=PATIENCE)
    asked = struck(tmp_path)
    assert end_within(child, 60) == 1
    ended_after = time.monotonic() - asked
    saved = 2 if rank == 0 else 3  # by the first, which is told that the other went
    assert checkpoints(tmp_path)[-1] == saved, (tmp_path / "said").read_text()
    assert same(ended(tmp_path, 2), undisturbed(2))
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == STEPS
    note(record_property, f"training: SIGKILL of rank {rank} of two, {3 - saved} steps taken again", ended_after)


def difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize("processes", [2, 4])
def test_the_number_of_processes_changes_rounding_alone(
    undisturbed: Undisturbed, record_property: Record, processes: int
) -> None:
    found = difference(undisturbed(processes), undisturbed(1))
    note_ranks(record_property, f"{processes}", found)
    assert found <= 1e-5


@pytest.mark.parametrize(("before", "after"), [(2, 1), (2, 4), (1, 2), (4, 2)])
def test_a_training_goes_on_in_another_number_of_processes(
    tmp_path: Path, undisturbed: Undisturbed, record_property: Record, before: int, after: int
) -> None:
    ended(tmp_path, before, steps=3)
    found = difference(ended(tmp_path, after), undisturbed(1))
    note_ranks(record_property, f"{before}, then {after}", found)
    assert found <= 1e-5
    rows = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows == STEPS


def test_a_clock_that_jumps_by_days_changes_nothing(
    tmp_path: Path, undisturbed: Undisturbed, record_property: Record
) -> None:
    note(record_property, "training: clock that jumps by days and back by a year")
    child = begin(tmp_path, strike=4, days=3, patience=PATIENCE)
    struck(tmp_path)
    child.send_signal(signal.SIGTERM)
    assert end_within(child, GRACE) == BROKEN_OFF
    assert same(ended(tmp_path, days=-400), undisturbed(1))


def test_a_generator_whose_weights_are_shared_out_can_be_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    ended(whole, 2, again=True)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    ended(shared, 2, again=True)
    again = [load_file(folder / "again" / "lora" / FILE) for folder in (whole, shared)]
    assert difference(*again) < 1e-6
