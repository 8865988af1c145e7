"""A check that can never fail is none: each promise is broken here once, and noticed."""

import gc
import mmap
import time
from pathlib import Path

import pytest

from rewardkit.errors import UsageError
from tests.fuzz.contract import CLEAR_REFS, BrokenPromiseError, outcome
from tests.fuzz.targets import TARGETS, Target, case, run

MEBIBYTE = 1 << 20


def fail(message: str) -> None:
    raise UsageError(message)


class UnprintableError(UsageError):
    def __str__(self) -> str:
        return "\x1b[2J"


def clear_screen() -> None:
    raise UnprintableError


def test_a_result_and_an_error_of_ours_are_fine() -> None:
    assert outcome(lambda: 1, MEBIBYTE) == "ok"
    assert outcome(lambda: fail("a.csv, line 3: no path"), MEBIBYTE) == "UsageError"


def test_an_error_that_is_not_ours_is_noticed_with_its_place() -> None:
    with pytest.raises(BrokenPromiseError, match=r"raises KeyError at test_contract.py:\d+: \"'x'\""):
        outcome(lambda: {}["x"], MEBIBYTE)


def test_what_a_terminal_cannot_print_is_noticed() -> None:
    with pytest.raises(BrokenPromiseError, match="says what a terminal cannot print"):
        outcome(clear_screen, MEBIBYTE)


def test_an_error_that_says_nothing_is_noticed() -> None:
    with pytest.raises(BrokenPromiseError, match="says 0 characters"):
        outcome(lambda: fail(""), MEBIBYTE)


def test_what_takes_too_long_is_ended_and_noticed() -> None:
    begun = time.monotonic()
    with pytest.raises(BrokenPromiseError, match=r"takes longer than 0.2 s"):
        outcome(lambda: time.sleep(30), MEBIBYTE, seconds=0.2)
    assert time.monotonic() - begun < 10


@pytest.mark.skipif(not CLEAR_REFS.exists(), reason="peaks of memory are read from /proc")
def test_memory_that_is_given_back_is_noticed_all_the_same() -> None:
    gc.collect()  # what is let go of meanwhile would hide it
    with pytest.raises(BrokenPromiseError, match=r"takes \d+ MiB, more than 16"):
        outcome(fill, 16 * MEBIBYTE)


def fill() -> None:
    """Touches 64 MiB that are new to the process: what an allocator has in store would show in no peak."""
    with mmap.mmap(-1, 64 * MEBIBYTE) as memory:
        memory[:: mmap.PAGESIZE] = bytes(64 * MEBIBYTE // mmap.PAGESIZE)


def test_code_that_a_checkpoint_runs_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the unpickler of Python in place of ours, the same seed breaks the promise."""
    import pickle

    from tests.fuzz import targets

    monkeypatch.setattr(targets, "RAN", tmp_path / "ran")
    bomb = pickle.dumps(Touch(tmp_path / "ran"))
    monkeypatch.setattr(targets, "read_tensors", lambda who, path: pickle.loads(path.read_bytes()) or {})
    with pytest.raises(BrokenPromiseError, match=r"raises AssertionError at .*code in a checkpoint was run"):
        run("checkpoint", tmp_path, "pkl", bomb)


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", TARGETS)
def test_a_case_is_the_same_file_each_time(name: str) -> None:
    assert case(name, 3, 14) == case(name, 3, 14)
    assert len({case(name, 3, number) for number in range(20)}) > 10


def test_every_target_says_how_much_memory_a_file_may_take() -> None:
    assert all(isinstance(target, Target) and target.most_bytes >= 16 * MEBIBYTE for target in TARGETS.values())
