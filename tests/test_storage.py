"""Files in stores: what is listed, fetched, written and refused; `memory://` is fsspec's own store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

import rewardkit as rk
from rewardkit import storage


@pytest.fixture
def store() -> Iterator[fsspec.AbstractFileSystem]:
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


@pytest.mark.parametrize(
    ("manifest", "name", "out"),
    [
        ("clips/m.csv", "a.mp4", False),
        ("clips/m.csv", "deep/../a.mp4", False),
        ("clips/m.csv", "../a.mp4", True),
        ("clips/m.csv", "/etc/passwd", True),
        ("clips/m.csv", "https://example.org/a.mp4", True),
        ("clips/m.csv", "linked/a.mp4", True),
        ("clips/m.csv", "link.mp4", True),
        ("s3://b/clips/m.csv", "a.mp4", False),
        ("s3://b/clips/m.csv", "s3://b/clips/a.mp4", False),
        ("s3://b/clips/m.csv", "s3://b/clips2/a.mp4", True),
        ("s3://b/clips/m.csv", "../a.mp4", True),
        ("s3://b/clips/m.csv", "deep/../../a.mp4", True),
        ("s3://b/clips/m.csv", "s3://other/clips/a.mp4", True),
    ],
)
def test_names_that_lead_out_of_a_folder_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: str, name: str, out: bool
) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "linked").symlink_to(tmp_path)
    (tmp_path / "clips" / "link.mp4").symlink_to("/etc/hostname")
    monkeypatch.chdir(tmp_path)
    assert storage.leads_out(manifest, name) is out


def test_what_is_written_is_listed_and_read(store: fsspec.AbstractFileSystem) -> None:
    storage.write_bytes("memory://b/deep/a.txt", b"12345")
    storage.write_bytes("memory://b/b.txt", b"1")
    assert storage.files_in("memory://b/deep") == ["memory:///b/deep/a.txt"]
    assert [[file.url for file in files] for files in storage.walk("memory://b")] == [
        ["memory:///b/b.txt"],
        ["memory:///b/deep/a.txt"],
    ]
    assert storage.read_bytes("memory://b/deep/a.txt", most=2) == b"12"
    with storage.here("memory://b/deep/a.txt") as copy:
        assert Path(copy).read_bytes() == b"12345"
    assert not Path(copy).exists()
    storage.delete("memory://b/deep/a.txt")
    assert storage.files_in("memory://b/deep") == []


def test_a_file_that_was_changed_has_another_state(store: fsspec.AbstractFileSystem) -> None:
    storage.write_bytes("memory://b/a", b"1")
    before = storage.stat("memory://b/a")
    storage.write_bytes("memory://b/a", b"2")
    assert storage.stat("memory://b/a") != before
    assert storage.stat("memory://b/none") is None


def test_what_is_not_there_is_said_by_its_address(store: fsspec.AbstractFileSystem) -> None:
    said = r"'memory://b/no\.mp4' cannot be fetched: there is no such file"
    with pytest.raises(rk.UnreadableVideoError, match=said), storage.here("memory://b/no.mp4"):
        pass
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("memory://b/no.mp4")
    with pytest.raises(rk.UsageError, match="'nonsense://b/a' cannot be looked at"):
        storage.stat("nonsense://b/a")


def test_a_store_whose_package_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda path: (_ for _ in ()).throw(ImportError("Install s3fs")))
    with pytest.raises(rk.MissingExtraError, match=r"s3://b/a needs s3fs: pip install 'rewardkit\[s3\]'"):
        storage.stat("s3://b/a")


def test_a_local_file_is_no_copy(tmp_path: Path) -> None:
    with storage.here(str(tmp_path)) as same:
        assert same == str(tmp_path)
    assert storage.absolute("a.mp4", "/root") == "/root/a.mp4"
    assert storage.absolute("s3://b/a.mp4", "/root") == "s3://b/a.mp4"
    assert storage.absolute("a.mp4") == os.path.abspath("a.mp4")
