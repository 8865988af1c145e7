"""Readers of strangers' files on the files that broke them once, and on a few hundred spoiled ones.

`python benchmarks/fuzz.py` reads as many more as one likes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.contract import BrokenPromiseError, outcome
from tests.fuzz.targets import TARGETS, case, kind_of, run, seeds

SEEDS = [(name, seed) for name in TARGETS for seed in seeds(name)]


@pytest.mark.parametrize(("name", "seed"), SEEDS, ids=[f"{name}/{seed}" for name, seed in SEEDS])
def test_a_seed_is_read_or_refused_in_a_sentence(tmp_path: Path, name: str, seed: str) -> None:
    found = run(name, tmp_path, kind_of(seed), seeds(name)[seed])
    assert found == "ok" or not seed.startswith("good")


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100)
@given(number=st.integers(0, 10**9))
def test_a_spoiled_file_is_read_or_refused_in_a_sentence(name: str, number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(name, Path(folder), *case(name, 0, number))


def stumbles() -> object:
    return {}["nothing"]


def dawdles() -> object:
    while True:
        time.sleep(0.01)


def grabs() -> object:
    return len(bytearray(1 << 26))


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (stumbles, "raises KeyError"),
        (dawdles, r"takes longer than 0\.2 s"),
        (grabs, r"takes \d+ MiB"),
    ],
)
def test_a_reader_that_breaks_its_promise_is_noticed(read: Callable[[], object], said: str) -> None:
    with pytest.raises(BrokenPromiseError, match=said):
        outcome(read, 1 << 24, seconds=0.2)
