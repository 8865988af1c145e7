import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from rewardkit.bench import memory, provenance
from rewardkit.bench.memory import PeakMemory

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def test_the_commit_is_that_of_the_checkout() -> None:
    asked = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    told = provenance.commit()
    assert told.removesuffix(" with changes") == asked.stdout.strip() if asked.returncode == 0 else provenance.UNKNOWN


def test_an_installed_package_does_not_take_a_repository_around_it_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    place = tmp_path / "site-packages" / "rewardkit" / "bench" / "provenance.py"
    place.parent.mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(place))
    assert provenance.commit() == provenance.UNKNOWN


def test_the_peak_is_what_was_held_at_once_and_is_forgotten_by_the_next_start() -> None:
    meter, most = PeakMemory(CPU), 200 * 2**20
    meter.start()
    block = np.ones(most, np.uint8)
    del block
    peak = meter.peak()
    if peak is None:
        pytest.skip("this system tells no peak")
    assert 0.98 * most <= peak < 1.3 * most  # a page or two that were held before are used again
    meter.start()
    assert (meter.peak() or 0) < most / 4


def test_where_nothing_can_be_measured_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "FORGET", tmp_path / "none" / "clear_refs")
    meter = PeakMemory(CPU)
    meter.start()
    assert meter.peak() is None
