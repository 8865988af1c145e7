"""Scoring from and to an object store: a server on this machine that speaks S3."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rewardkit.scoring.folder import score_folder
from rewardkit.scoring.table import ScoreTable
from tests.scoring.films import save_films
from tests.scoring.test_folder import BRIGHT, facts

moto = pytest.importorskip("moto.server")
s3fs = pytest.importorskip("s3fs")
ROOT = Path(__file__).parent.parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::Warning")]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{port}"  # what a server keeps outlives it
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def rewardkit(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "rewardkit", *words],
        cwd=ROOT, env=environment, text=True, capture_output=True, timeout=200, check=False,
    )  # fmt: skip


def test_a_bucket_is_scored_by_both_engines_into_a_bucket(bucket: str, tmp_path: Path) -> None:
    save_films(tmp_path / "films", 40)
    (tmp_path / "films" / "7.npy").write_bytes(b"broken")
    (tmp_path / "films" / "3.txt").write_text("a cat")
    s3fs.S3FileSystem().put(str(tmp_path / "films"), f"{bucket}/films", recursive=True)
    for limit, engine in (("15", "local"), ("40", "ray")):
        told = ["-r", BRIGHT, "--limit", limit, "--engine", engine, "--shards", "parquet"]
        done = rewardkit("score", f"{bucket}/films", "-o", f"{bucket}/rows/", *told)
        assert done.returncode == 1, done.stderr  # of the broken one
    assert "15 of 40 videos have their row already" in done.stderr
    merged = rewardkit("merge", f"{bucket}/rows/", "-o", str(tmp_path / "all.jsonl"))
    assert merged.returncode == 0, merged.stderr
    rows = {Path(row["path"]).name: row for row in facts(ScoreTable.read(tmp_path / "all.jsonl"))}
    here = {Path(row["path"]).name: row for row in facts(score_folder(tmp_path / "films", BRIGHT))}
    assert rows.keys() == here.keys()
    for name, row in here.items():
        assert rows[name]["path"] == f"{bucket}/films/{name}"
        assert rows[name]["prompt"] == ("a cat" if name == "3.npy" else None)
        assert {**row, "key": 0, "path": 0, "error": 0} == {**rows[name], "key": 0, "path": 0, "error": 0}
    assert f"{bucket}/films/7.npy" in str(rows["7.npy"]["error"])


def test_a_video_that_was_changed_in_the_bucket_is_scored_again(bucket: str, tmp_path: Path) -> None:
    save_films(tmp_path / "films", 3)
    files = s3fs.S3FileSystem()
    files.put(str(tmp_path / "films"), f"{bucket}/films", recursive=True)
    score_folder(f"{bucket}/films", BRIGHT, out=f"{bucket}/rows")
    files.put(str(tmp_path / "films" / "0.npy"), f"{bucket}/films/2.npy")
    files.invalidate_cache()
    made: list[str] = []
    score_folder(
        f"{bucket}/films", BRIGHT, out=f"{bucket}/rows", progress=lambda row, *_: made.append(row.path if row else "")
    )
    assert made == ["", f"{bucket}/films/2.npy"]
    header = json.loads(files.cat(f"{bucket}/rows/header.json"))
    assert header["reward"] == "brightness"


def test_a_bucket_that_is_not_there_is_one_sentence(bucket: str) -> None:
    done = rewardkit("score", "s3://nobody/films", "-r", BRIGHT)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "s3://nobody/films" in done.stderr
