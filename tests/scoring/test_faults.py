"""Scoring while disks fill up, clocks jump and memory ends; what each cost is kept as a property of its test."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import rewardkit as rk
from rewardkit.scoring.folder import score_folder
from rewardkit.scoring.table import ScoreTable
from rewardkit.video import Decoders
from tests.disks import make_read_only, tiny_disk
from tests.faults import Record, count, note
from tests.scoring.films import save_film, save_films
from tests.scoring.test_folder import BRIGHT, facts

ROOT = Path(__file__).parent.parent.parent
COUNT = 400

pytestmark = pytest.mark.slow


def by_path(table: ScoreTable) -> dict[object, dict[str, object]]:
    rows = facts(table)
    assert len({row["path"] for row in rows}) == len(rows)
    return {row["path"]: row for row in rows}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "films"
    save_films(folder, COUNT)
    return folder


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv", "rows"])
def test_a_disk_that_fills_up_keeps_the_rows_that_fit(
    films: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """Room for some of the rows; then the disk is made larger, and the same call goes on."""
    monkeypatch.setattr("rewardkit.scoring.row_folder.ROWS_A_FILE", 50)
    expected = by_path(score_folder(films, BRIGHT))
    with tiny_disk(tmp_path / "disk", 80) as disk:
        out = disk / name
        if name == "rows":
            out.mkdir()
        with pytest.raises(rk.OutputError, match="No space left on device"):
            score_folder(films, BRIGHT, out=out)
        kept = len(ScoreTable.read(out))
        assert 0 < kept < COUNT
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        again = []
        start = time.perf_counter()
        score_folder(films, BRIGHT, out=out, progress=lambda row, done, total: again.append(row))
        seconds = time.perf_counter() - start
        paths = [row.path for row in ScoreTable.read(out)]
        count(record_property, "full disk while rows are written", map(str, expected), paths, seconds)
        assert by_path(ScoreTable.read(out)) == expected
        assert len(again) - 1 == COUNT - kept  # none twice; the first call is with None


def test_a_disk_that_cannot_be_written_is_said_before_anything_is_scored(
    films: Path, tmp_path: Path, record_property: Record
) -> None:
    note(record_property, "read-only output")
    with tiny_disk(tmp_path / "disk", 1000) as disk:
        (disk / "rows").mkdir()
        score_folder(films, BRIGHT, out=disk / "old.jsonl", limit=3)
        make_read_only(disk)
        for name in ("s.jsonl", "s.csv", "rows", "old.jsonl"):
            seen: list[object] = []
            with pytest.raises(rk.OutputError, match="Read-only file system"):
                score_folder(films, BRIGHT, out=disk / name, progress=lambda *told, seen=seen: seen.append(told))
            assert not seen
        assert len(ScoreTable.read(disk / "old.jsonl")) == 3


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_page_that_cannot_be_written_leaves_the_old_one(
    films: Path, tmp_path: Path, fault: str, record_property: Record
) -> None:
    note(record_property, f"{fault} disk while a report is written")
    table = score_folder(films, BRIGHT)
    with tiny_disk(tmp_path / "disk", 60) as disk:
        page = disk / "report.html"
        page.write_text("the old one")
        if fault == "read-only":
            make_read_only(disk)
        with pytest.raises(rk.OutputError, match=r"No space left|Read-only") as said:
            rk.write_report(table, table.header, page)
        assert "\n" not in str(said.value)
        assert page.read_text() == "the old one"
        assert [file.name for file in disk.iterdir()] == ["report.html"]


CLOCK = """
import random, sys, time
draw, real = random.Random(0), time.time
def jumping():
    return real() + draw.choice([-9e8, 0, 86400, 9e8])
time.time = jumping
time.time_ns = lambda: int(jumping() * 1e9)
from rewardkit.scoring.folder import score_folder
score_folder(sys.argv[1], "tests.judges:Brightness", out=sys.argv[2], limit=int(sys.argv[3]))
"""


@pytest.mark.parametrize("name", ["s.jsonl", "rows"])
def test_a_clock_that_jumps_changes_no_row(films: Path, tmp_path: Path, name: str, record_property: Record) -> None:
    note(record_property, "clock that jumps by days and years while scoring")
    out = tmp_path / name
    if name == "rows":
        out.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for limit in (150, COUNT):
        words = [sys.executable, "-c", CLOCK, str(films), str(out), str(limit)]
        subprocess.run(words, check=True, cwd=ROOT, env=environment, timeout=120)
    assert by_path(ScoreTable.read(out)) == by_path(score_folder(films, BRIGHT))


def test_a_film_that_is_too_large_for_memory_is_a_row_and_the_others_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """The process that reads may take 1 GB more than it has when it starts; the film needs 600 MB twice."""
    save_films(tmp_path / "films", 6)
    np.lib.format.open_memmap(tmp_path / "films" / "3.npy", "w+", np.uint8, (200, 3, 1000, 1000)).flush()
    started = Decoders._start

    def limited(self: Decoders) -> object:
        process = started(self)
        pages = int(Path(f"/proc/{process._child.pid}/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + 10**9
        resource.prlimit(process._child.pid, resource.RLIMIT_AS, (most, most))
        return process

    monkeypatch.setattr(Decoders, "_start", limited)
    start = time.perf_counter()
    reward = rk.create_reward(BRIGHT, frames="all")
    rows = {
        Path(row.path).stem: row for row in score_folder(tmp_path / "films", reward, limits=rk.Limits(isolate=True))
    }
    note(record_property, "out of memory in decode, in a process of its own", time.perf_counter() - start)
    assert rows["3"].error_kind == "memory"
    assert [rows[name].status for name in "01245"] == ["ok"] * 5


def test_a_decoder_that_crashes_on_a_film_takes_no_other_along(tmp_path: Path, record_property: Record) -> None:
    """Processes are killed as the system kills them when memory ends, as long as the run lasts."""
    for number in range(60):
        save_film(tmp_path / "films" / f"{number}.npy", number / 100)
    killed: list[int] = []

    def kill_some(row: rk.ScoreRow | None, done: int, total: int) -> None:
        if done % 10 == 5:
            for pid in decoding():
                os.kill(pid, 9)
                killed.append(pid)

    def decoding() -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words, parent = (folder / "cmdline").read_bytes(), (folder / "stat").read_text().rpartition(")")[2]
            except OSError:
                continue
            if b"decoder_process" in words and parent.split()[1] == str(os.getpid()):
                found.append(int(folder.name))
        return found

    out = tmp_path / "s.jsonl"
    limits = rk.Limits(isolate=True)
    judge = "tests.scoring.slow_judge:Slow"
    score_folder(tmp_path / "films", judge, out=out, progress=kill_some, limits=limits, num_workers=2, batch_size=6)
    assert killed
    failed = ScoreTable.read(out).failed()
    assert {row.error_kind for row in failed} <= {"crash"}
    start = time.perf_counter()
    table = score_folder(tmp_path / "films", judge, out=out, retry_failed=True, limits=limits)
    seconds = time.perf_counter() - start
    expected = by_path(score_folder(tmp_path / "films", judge))
    paths = [row.path for row in table]
    count(record_property, "SIGKILL of processes that decode", map(str, expected), paths, seconds)
    assert by_path(table) == expected
    assert json.loads(out.read_text().splitlines()[0])["status"] == "ok"
