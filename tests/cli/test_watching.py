"""What `rewardkit score` says to programs that watch it, and to a scheduler that ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.scoring.films import save_films

ROOT = Path(__file__).parent.parent.parent


def start(*words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "rewardkit", "score", *words], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_every_line_is_json_and_the_last_sums_up(tmp_path: Path) -> None:
    save_films(tmp_path / "films", 6)
    (tmp_path / "films" / "2.npy").write_bytes(b"broken")
    with start(
        str(tmp_path / "films"), "-r", "tests.judges:Brightness", "-o", f"{tmp_path}/s.csv", "--log-json"
    ) as run:
        out, said = run.communicate(timeout=120)
    assert run.returncode == 1
    assert out == ""
    lines = [json.loads(line) for line in said.splitlines()]
    assert {"time", "level", "event"} <= set.intersection(*(set(line) for line in lines))
    (failure,) = [line for line in lines if line["event"] == "failure"]
    assert failure["kind"] == "video"
    assert failure["path"].endswith("2.npy")
    progress = [line for line in lines if line["event"] == "progress"]
    assert (progress[-1]["done"], progress[-1]["total"], progress[-1]["failed"]) == (6, 6, {"video": 1})
    assert lines[-1]["event"] == "summary"
    assert (lines[-1]["ok"], lines[-1]["new"]["videos"]) == (5, 6)
    assert lines[-1]["new"]["decode_ms"] > 0


def test_a_scheduler_that_ends_a_run_leaves_whole_rows_and_a_way_to_go_on(tmp_path: Path) -> None:
    save_films(tmp_path / "films", 200)
    (tmp_path / "rows").mkdir()
    judge = "tests.scoring.slow_judge:Slow"
    with start(str(tmp_path / "films"), "-r", judge, "-o", f"{tmp_path}/rows", "--batch-size", "6") as run:
        time.sleep(1)
        while not any((tmp_path / "rows").iterdir()):
            assert run.poll() is None
            time.sleep(0.05)
        time.sleep(1)
        sent = time.monotonic()
        run.send_signal(signal.SIGTERM)
        _, said = run.communicate(timeout=30)
    assert time.monotonic() - sent < 30
    assert run.returncode == 130
    assert "go on with: rewardkit score" in said
    (rows,) = (tmp_path / "rows").glob("rows-*.jsonl")  # which were waiting in memory
    assert 0 < len(rows.read_text().splitlines()) < 200
