"""Rows in a folder of files, here and in a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

import rewardkit as rk
from rewardkit.scoring import row_folder
from rewardkit.scoring.folder import score_folder
from rewardkit.scoring.merging import merge_rows
from rewardkit.scoring.row_folder import RowFolder, folder_rows, row_files
from rewardkit.scoring.table import ScoreTable
from tests.scoring.films import save_film, save_films
from tests.scoring.test_folder import BRIGHT, facts
from tests.scoring.test_journal import header, row


@pytest.fixture(params=["local", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        (tmp_path / "rows").mkdir()
        yield str(tmp_path / "rows")
    else:
        yield "memory://bucket/rows"
        files = fsspec.filesystem("memory")
        if files.exists("/bucket"):
            files.rm("/bucket", recursive=True)


@pytest.mark.parametrize("shards", ["jsonl", "parquet"])
def test_rows_come_back_as_they_were(place: str, shards: row_folder.ShardFormat) -> None:
    rows = [row("/a"), row("/b", "error"), row("/日本")]
    with RowFolder(place, header(), overwrite=False, shards=shards) as folder:
        for one in rows:
            folder.append(one)
    assert [file.rpartition(".")[2] for file in row_files(place)] == [shards]
    assert list(folder_rows(place)) == rows
    assert list(ScoreTable.read(place)) == rows


def test_a_file_is_written_once_it_has_enough_rows(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_folder, "ROWS_A_FILE", 3)
    with RowFolder(place, header(), overwrite=False) as folder:
        for number in range(7):
            folder.append(row(f"/{number}"))
        assert len(list(folder_rows(place))) == 6
    assert len(list(folder_rows(place))) == 7
    assert len(row_files(place)) == 3


def test_rows_that_do_not_count_are_taken_out_of_their_files(place: str) -> None:
    for rows in ([row("/a"), row("/b")], [row("/c", "error"), row("/a")], [row("/d", "error")]):
        with RowFolder(place, header(), overwrite=False) as folder:
            for one in rows:
                folder.append(one)
    with RowFolder(place, header(), overwrite=False) as folder:
        folder.keep_only({"/a": "/a", "/b": "changed", "/d": "/d"}, retry_failed=True)
        assert folder.status == {"/a": "ok", "/c": "error"}
    assert sorted(one.path for one in folder_rows(place)) == ["/a", "/c"]
    assert len(row_files(place)) == 2


def test_rows_of_another_reward_or_of_nobody_are_left_alone(place: str, tmp_path: Path) -> None:
    with RowFolder(place, header(), overwrite=False) as folder:
        folder.append(row("/a"))
    with pytest.raises(rk.OutputError, match="made by other settings"):
        RowFolder(place, header("other"), overwrite=False)
    with RowFolder(place, header("other"), overwrite=True):
        assert list(folder_rows(place)) == []
    save_films(tmp_path / "films", 2)
    with pytest.raises(rk.OutputError, match=r"is a folder without a header\.json of rows"):
        score_folder(tmp_path / "films", BRIGHT, out=tmp_path / "films")


def test_two_machines_write_into_one_folder_and_merge_takes_each_video_once(place: str, tmp_path: Path) -> None:
    films = [str(save_film(tmp_path / f"{n}.npy", n / 30)) for n in range(8)]
    (tmp_path / "2.npy").write_bytes(b"broken")
    for share in (films[:5], films[3:]):
        score_folder(share, BRIGHT, out=place)
    assert len(list(folder_rows(place))) == 8  # the second knew the first's rows
    with RowFolder(place, ScoreTable.read(place).header or header(), overwrite=False) as folder:
        folder.append(next(iter(folder_rows(place))))  # as two runs at the same time would
    merged = merge_rows([place], tmp_path / "all.jsonl")
    assert sorted(r.path for r in merged) == films
    assert len(merged.failed()) == 1
    expected = {r["path"]: r for r in facts(score_folder(films, BRIGHT))}
    assert {r["path"]: r for r in facts(merged)} == expected


def test_merge_takes_the_row_that_worked_and_refuses_two_rewards(tmp_path: Path) -> None:
    places = [str(tmp_path / name) for name in ("one", "two", "other")]
    for place, made_by, one in zip(places, "ffg", (row("/a", "error"), row("/a"), row("/b")), strict=True):
        (tmp_path / place).mkdir()
        with RowFolder(place, header(made_by), overwrite=False) as folder:
            folder.append(one)
    assert [r.status for r in merge_rows(places[:2], tmp_path / "all.csv")] == ["ok"]
    assert (tmp_path / "all.csv").read_text().count("\n") == 2
    with pytest.raises(rk.OutputError, match="made by other settings"):
        merge_rows(places, tmp_path / "more.jsonl")


def test_videos_of_a_store_are_found_fetched_and_scored(tmp_path: Path) -> None:
    levels = save_films(tmp_path / "films", 4)
    files = fsspec.filesystem("memory")
    try:
        files.put(str(tmp_path / "films"), "/bucket/films", recursive=True)
        files.pipe_file("/bucket/films/2.npy", b"broken")
        files.pipe_file("/bucket/films/1.txt", b"a cat")
        files.pipe_file("/bucket/films/m.csv", b"path,prompt\n0.npy,a dog\n")
        rows = list(score_folder("memory://bucket/films", BRIGHT))
        assert [r.path for r in rows] == [f"memory:///bucket/films/{n}.npy" for n in range(4)]
        assert [r.status for r in rows] == ["ok", "ok", "error", "ok"]
        assert [r.prompt for r in rows] == [None, "a cat", None, None]
        assert "memory:///bucket/films/2.npy" in (rows[2].error or "")
        here = list(score_folder(tmp_path / "films", BRIGHT))
        assert [r.score for r in rows if r.score] == [r.score for n, r in enumerate(here) if n != 2]
        assert levels[0] < levels[1]
        assert [r.prompt for r in score_folder("memory://bucket/films/m.csv", BRIGHT)] == ["a dog"]
        matched = list(score_folder("memory://bucket/films/*.npy", BRIGHT, limit=2))
        assert [r.prompt for r in matched] == [None, "a cat"]  # the pattern does not name the text beside
    finally:
        files.rm("/bucket", recursive=True)


def test_a_manifest_may_not_lead_out_of_its_folder_unless_allowed(tmp_path: Path) -> None:
    save_films(tmp_path / "films", 1)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "m.csv").write_text("path,prompt\n../films/0.npy,a cat\n")
    with pytest.raises(rk.UsageError, match=r"'\.\./films/0\.npy' leads out of the manifest's folder.*--allow-outside"):
        score_folder(tmp_path / "lists" / "m.csv", BRIGHT)
    assert len(score_folder(tmp_path / "lists" / "m.csv", BRIGHT, allow_outside=True)) == 1
