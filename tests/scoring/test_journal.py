import json
import multiprocessing
import resource
from pathlib import Path

import pytest

from rewardkit import OutputError
from rewardkit.scoring.journal import Journal, header_path, read_rows, row_line
from rewardkit.scoring.rows import ScoreHeader, ScoreRow


def header(fingerprint: str = "f", cwd: str = "/") -> ScoreHeader:
    empty: dict[str, str] = {}
    return ScoreHeader(
        reward="bright", fingerprint=fingerprint, cwd=cwd, configuration={}, versions=empty, weights_sha256=empty,
        device="cpu", dtype="float32", platform="here", created="now",
    )  # fmt: skip


def row(path: str, status: str = "ok", key: str | None = None) -> ScoreRow:
    return ScoreRow(
        key=key or path, path=path, prompt=None, prompt_source="none", reward="bright",
        score=0.5 if status == "ok" else None, status=status, error=None if status == "ok" else "broken",
    )  # fmt: skip


def written(path: Path, *rows: ScoreRow) -> Path:
    with Journal(path, header()) as journal:
        for one in rows:
            journal.append(one)
    return path


def resumed(path: Path, wanted: dict[str, str], retry_failed: bool = False) -> list[str]:
    with Journal(path, header()) as journal:
        journal.keep_only(wanted, retry_failed)
        assert sorted(journal.status) == sorted(r.key for r in read_rows(path))
    return [r.key for r in read_rows(path)]


def test_a_row_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    with Journal(tmp_path / "s.jsonl", header()) as journal:
        journal.append(row("/a"))
        assert [r.path for r in read_rows(tmp_path / "s.jsonl")] == ["/a"]


@pytest.mark.parametrize("path", ["/with\nnewline", "/日本", '/"quoted"', "/not-utf8-\udcff", "/\x00\x1b[31m"])
def test_any_path_survives_as_one_line(tmp_path: Path, path: str) -> None:
    file = written(tmp_path / "s.jsonl", row(path), row("/b"))
    assert file.read_bytes().count(b"\n") == 2
    file.read_bytes().decode()
    assert [r.path for r in read_rows(file)] == [path, "/b"]
    assert json.loads(row_line(row(path)))["path"] == path


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_torn_last_line_is_forgotten(tmp_path: Path, cut: int) -> None:
    file = written(tmp_path / "s.jsonl", row("/a"), row("/b"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    assert [r.key for r in read_rows(file)] == ["/a"]
    assert resumed(file, {"/a": "/a", "/b": "/b"}) == ["/a"]
    assert file.read_bytes() == whole.splitlines(keepends=True)[0]


def test_rows_of_changed_videos_go_and_others_stay(tmp_path: Path) -> None:
    file = written(tmp_path / "s.jsonl", row("/a"), row("/b"), row("/elsewhere"))
    assert resumed(file, {"/a": "changed", "/b": "/b"}) == ["/b", "/elsewhere"]


def test_failed_rows_stay_unless_they_are_to_be_tried_again(tmp_path: Path) -> None:
    file = written(tmp_path / "s.jsonl", row("/a"), row("/b", "error"), row("/c", "error"))
    assert resumed(file, {"/a": "/a", "/b": "/b"}) == ["/a", "/b", "/c"]
    assert resumed(file, {"/a": "/a", "/b": "/b"}, retry_failed=True) == ["/a", "/c"]


def test_a_video_never_has_two_rows(tmp_path: Path) -> None:
    file = written(tmp_path / "s.jsonl", row("/a"), row("/a"), row("/b"))
    assert resumed(file, {"/a": "/a"}) == ["/a", "/b"]


def test_rows_of_another_reward_are_not_mixed_in(tmp_path: Path) -> None:
    file = written(tmp_path / "s.jsonl", row("/a"))
    before = file.read_bytes()
    with pytest.raises(OutputError, match=r"holds rows of bright made by other settings.*--overwrite"):
        Journal(file, header("other"))
    assert file.read_bytes() == before
    with Journal(file, header("other"), overwrite=True):
        assert file.read_bytes() == b""


def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "film.jsonl"
    file.write_bytes(b"precious")
    with pytest.raises(OutputError, match="has no header"):
        Journal(file, header())
    assert file.read_bytes() == b"precious"


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "s.jsonl", row("/a"), row("/b"))
    file.write_bytes(b"{}\n" + file.read_bytes())
    with pytest.raises(OutputError, match="line 1 is not a score row"):
        resumed(file, {})


def test_two_runs_cannot_write_one_file(tmp_path: Path) -> None:
    with Journal(tmp_path / "s.jsonl", header()), pytest.raises(OutputError, match="another run is writing"):
        Journal(tmp_path / "s.jsonl", header())


def _fill(file: Path, results: "multiprocessing.Queue[str]") -> None:
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Journal(file, header()) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        try:
            for number in range(100):
                journal.append(row(f"/{number}"))
        except OutputError as error:
            results.put(str(error))


def test_a_full_disk_leaves_whole_rows_and_says_how_to_go_on(tmp_path: Path) -> None:
    # a limit on the file's size fails a write half-way, as a full disk does
    file = tmp_path / "s.jsonl"
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_fill, args=(file, results))
    process.start()
    sentence = results.get(timeout=60)
    process.join()
    rows = list(read_rows(file))
    assert f"{len(rows)} rows are safe, make room and run the same command to go on" in sentence
    assert [r.key for r in rows] == [f"/{number}" for number in range(len(rows))]
    assert len(rows) >= 3
    assert file.read_bytes().endswith(b"\n"), "the half-written row was taken back"


def test_the_header_lies_beside_the_rows(tmp_path: Path) -> None:
    written(tmp_path / "s.jsonl", row("/a"))
    assert header_path(tmp_path / "s.jsonl") == tmp_path / "s.jsonl.header.json"
    assert json.loads((tmp_path / "s.jsonl.header.json").read_text())["reward"] == "bright"


def test_an_output_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        Journal(tmp_path / "file" / "s.jsonl", header())
    with pytest.raises(OutputError, match="cannot write"):
        Journal(tmp_path, header())
