"""Readers of strangers' files on the files that broke them once, and on a few hundred spoiled ones.

`python benchmarks/fuzz.py` reads as many more as one likes.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS, kind_of, run, seeds, spoil

FILES = sorted(path.relative_to(SEEDS).as_posix() for path in SEEDS.glob("*/*"))


@pytest.mark.parametrize("file", FILES)
def test_a_seed_is_read_or_refused_in_a_sentence(tmp_path: Path, file: str) -> None:
    target, _, name = file.partition("/")
    found = run(target, tmp_path, kind_of(name), seeds(target)[name])
    if name.startswith("bad-"):
        assert found != "ok", "whoever reads it must refuse it"
    elif not name.startswith("found-"):
        assert found == "ok", "it is a good file"


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_spoiled_file_is_read_or_refused_in_a_sentence(tmp_path: Path, name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(sorted(seeds(name))), "seed")
    draw = Random(data.draw(st.integers(0, 2**32), "changes"))
    run(name, tmp_path, kind_of(seed), spoil(name, seed, seeds(name)[seed], draw))


def test_seeds_are_small() -> None:
    assert sum((SEEDS / file).stat().st_size for file in FILES) < 200_000
