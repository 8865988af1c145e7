"""Trainings in processes of their own that something happens to: signals, a lost process, another number of processes.

What each fault costs is noted, see tests/faults.py.
"""

from __future__ import annotations

import datetime
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
from tests.engine.child import jump
from tests.engine.test_finetune import same
from tests.faults import Record, note, note_ranks

ROOT = Path(__file__).parent.parent.parent
PATIENCE, GRACE = 1.0, 6.0  # seconds; of a real scheduler 20 and 30

STEPS = [1, 2, 3, 4, 5, 6]
Undisturbed = Callable[..., dict[str, Tensor]]

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


def steps(folder: Path) -> list[int]:
    """That the log has."""
    return [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]


def gone_on(folder: Path, asked: float, processes: int = 1, **told: object) -> tuple[dict[str, Tensor], float]:
    """The LoRA of a training that was struck in its fourth step, started again, and the seconds until it had that."""
    child = begin(folder, processes, **told)
    while 4 not in steps(folder):
        assert child.poll() in (None, 0), (folder / "said").read_text()
        time.sleep(0.02)
    seconds = time.monotonic() - asked
    assert child.wait(200) == 0, (folder / "said").read_text()
    assert steps(folder) == STEPS
    return load_file(folder / "lora" / FILE), seconds


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
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The LoRA of a training of six steps in so many processes, of batches of four films or so many."""
    known: dict[tuple[int, int], dict[str, Tensor]] = {}

    def of(processes: int, batch: int = 4) -> dict[str, Tensor]:
        if (processes, batch) not in known:
            known[processes, batch] = ended(tmp_path_factory.mktemp("undisturbed"), processes, batch=batch)
        return known[processes, batch]

    return of


@pytest.mark.parametrize("processes", [1, 2])
def test_a_step_that_outlasts_the_grace_loses_nothing_but_itself(
    tmp_path: Path, undisturbed: Undisturbed, record_property: Record, processes: int
) -> None:
    """The process hangs in C; of two, the one that writes waits for the other in a collective."""
    child = begin(tmp_path, processes, strike=4, rank=processes - 1, every=100, patience=PATIENCE)
    asked = struck(tmp_path)
    child.send_signal(signal.SIGTERM)
    code = end_within(child, GRACE)
    said = (tmp_path / "said").read_text()
    assert code == (BROKEN_OFF if processes == 1 else 1), said  # torchrun has a code of its own
    assert checkpoints(tmp_path) == [3], said
    assert processes > 1 or "step 3 is saved in" in said
    several = "" if processes == 1 else ", two processes"
    found, seconds = gone_on(tmp_path, asked, processes)
    note(record_property, f"training: SIGTERM in a step that hangs{several}", seconds)
    assert same(found, undisturbed(processes))


def test_with_more_patience_than_grace_the_last_checkpoint_counts(
    tmp_path: Path, undisturbed: Undisturbed, record_property: Record
) -> None:
    """Shows that the test above can fail: SIGKILL comes first."""
    child = begin(tmp_path, strike=4, patience=60)
    asked = struck(tmp_path)
    child.send_signal(signal.SIGTERM)
    assert end_within(child, 2) == -signal.SIGKILL
    assert checkpoints(tmp_path) == [2]
    found, seconds = gone_on(tmp_path, asked)
    note(record_property, "training: SIGKILL, 1 step taken again", seconds)
    assert same(found, undisturbed(1))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_all_and_the_same_command_goes_on(
    tmp_path: Path, undisturbed: Undisturbed, record_property: Record, rank: int
) -> None:
    child = begin(tmp_path, 2, strike=4, rank=rank, how="kill", patience=PATIENCE)
    asked = struck(tmp_path)
    assert end_within(child, 60) == 1
    saved = 2 if rank == 0 else 3  # by the first, which is told that the other went
    assert checkpoints(tmp_path)[-1] == saved, (tmp_path / "said").read_text()
    found, seconds = gone_on(tmp_path, asked, 2)
    note(record_property, f"training: SIGKILL of rank {rank} of two, {3 - saved} steps taken again", seconds)
    assert same(found, undisturbed(2))


def difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.parametrize("processes", [2, 4])
def test_the_number_of_processes_changes_rounding_alone(
    undisturbed: Undisturbed, record_property: Record, processes: int
) -> None:
    found = difference(undisturbed(processes), undisturbed(1))
    note_ranks(record_property, f"{processes}", found)
    assert found <= 1e-5


@pytest.mark.parametrize(
    ("before", "after", "batch"), [(2, 1, 4), (2, 4, 4), (1, 2, 4), (4, 2, 4), (2, 3, 12), (3, 2, 12)]
)
def test_a_training_goes_on_in_another_number_of_processes(
    tmp_path: Path, undisturbed: Undisturbed, record_property: Record, before: int, after: int, batch: int
) -> None:
    ended(tmp_path, before, steps=3, batch=batch)
    found = difference(ended(tmp_path, after, batch=batch), undisturbed(1, batch))
    note_ranks(record_property, f"{before}, then {after}", found)
    assert found <= 1e-5
    assert steps(tmp_path) == STEPS


def test_a_clock_that_jumps_by_days_changes_nothing(
    tmp_path: Path, undisturbed: Undisturbed, record_property: Record
) -> None:
    note(record_property, "training: clock that jumps by days and back by a year")
    child = begin(tmp_path, strike=4, days=3, patience=PATIENCE)
    struck(tmp_path)
    child.send_signal(signal.SIGTERM)
    assert end_within(child, GRACE) == BROKEN_OFF
    assert same(ended(tmp_path, days=-400), undisturbed(1))


def test_the_clock_of_the_test_above_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((time, "time"), (time, "time_ns"), (datetime, "datetime")):
        monkeypatch.setattr(module, name, getattr(module, name))  # so that it is put back
    jump(3)
    for now in (time.time, lambda: time.time_ns() / 1e9, lambda: datetime.datetime.now().timestamp()):
        assert abs(now() - now()) > 5 * 86400


def test_a_generator_whose_weights_are_shared_out_can_be_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    ended(whole, 2, again=True)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    ended(shared, 2, again=True)
    again = [load_file(folder / "again" / "lora" / FILE) for folder in (whole, shared)]
    assert difference(*again) < 1e-6
