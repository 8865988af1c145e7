import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rewardkit.scoring.table import ScoreTable
from tests.faults import Record, count
from tests.scoring.films import save_films
from tests.scoring.test_folder import facts

ROOT = Path(__file__).parent.parent.parent
FEW, MANY = 60, 400


def start(films: Path, out: Path) -> subprocess.Popen[bytes]:
    words = ["score", str(films), "-r", "tests.scoring.slow_judge:Slow+0*flicker", "-o", str(out), "--quiet"]
    options = ["--frames", "segments:3", "--batch-size", "6", "--num-workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "rewardkit", *words, *options], cwd=ROOT, env=environment, stderr=subprocess.PIPE
    )


def lines(out: Path) -> int:
    return out.read_bytes().count(b"\n") if out.exists() else 0


def kill_after(films: Path, out: Path, rows: int, patience: float) -> bool:
    """Kills a run `patience` seconds after it has added `rows` rows; says whether it was still at work."""
    before = lines(out)
    with start(films, out) as process:
        while process.poll() is None and lines(out) < before + rows:
            time.sleep(0.002)
        time.sleep(patience)
        at_work = process.poll() is None
        process.kill()
        process.communicate()
    return at_work


def make_films(folder: Path, count: int) -> Path:
    save_films(folder, count, frames=9)
    (folder / "7.npy").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_films(tmp_path_factory.mktemp("killed") / "films", FEW)


def run_until_done(films: Path, out: Path) -> None:
    with start(films, out) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors.decode()  # the broken film


def check(films: Path, killed: Path, tmp_path: Path) -> None:
    run_until_done(films, killed)
    run_until_done(films, tmp_path / "whole.jsonl")
    rows = [json.loads(line) for line in killed.read_text().splitlines()]
    assert len(rows) == len({row["path"] for row in rows}) == len(list(films.iterdir()))
    assert facts(ScoreTable.read(killed)) == facts(ScoreTable.read(tmp_path / "whole.jsonl"))


def test_a_killed_run_goes_on_as_if_nothing_had_happened(films: Path, tmp_path: Path) -> None:
    kill_after(films, tmp_path / "killed.jsonl", rows=20, patience=0.01)
    assert 20 <= lines(tmp_path / "killed.jsonl") < FEW
    check(films, tmp_path / "killed.jsonl", tmp_path)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path, record_property: Record) -> None:
    films = make_films(tmp_path / "films", MANY)
    draw = random.Random(0)
    out = tmp_path / "killed.jsonl"
    grew = []
    for kill in range(20):
        before = lines(out)
        starting_up = kill % 4 == 0  # also while importing, while the header is written, before the first row
        patience = draw.uniform(0, 3.5) if starting_up else draw.uniform(0, 0.15)
        assert kill_after(films, out, rows=0 if starting_up else 1, patience=patience)
        grew.append(lines(out) - before)
    assert sum(new > 0 for new in grew) >= 15, grew
    check(films, out, tmp_path)
    paths = [row.path for row in ScoreTable.read(out)]
    count(record_property, "SIGKILL of a run, twenty times", map(str, films.iterdir()), paths, None)


def test_ctrl_c_keeps_the_rows_and_prints_how_to_go_on(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped.jsonl"
    with start(films, out) as process:
        while lines(out) < 5:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "go on with: rewardkit score" in errors.decode()
    check(films, out, tmp_path)
