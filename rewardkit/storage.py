"""Files that lie elsewhere: `s3://`, `gs://` and whatever else fsspec knows, beside those of this machine.

Paths are text here, because `pathlib` makes one slash of two. Local files are read and written by Python itself.
"""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewardkit.errors import (
    MissingExtraError,
    OutputError,
    RewardkitError,
    UnreadableVideoError,
    UsageError,
    first_line,
)
from rewardkit.files import replacing

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
EXTRAS = {"s3fs": "s3", "gcsfs": "gs"}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a store, and what tells its content from another: size, and tag or time of change."""

    url: str
    state: tuple[int, str]


def is_url(path: str | Path) -> bool:
    """Whether a path is an address such as `s3://bucket/clip.mp4`."""
    return ADDRESS.match(str(path)) is not None


def absolute(path: str, root: str = "") -> str:
    """The same path, as it is called from every folder; a relative one starts from `root`."""
    return path if is_url(path) else os.path.abspath(os.path.join(root, path))


def beside(path: str, name: str) -> str:
    """`name` as it is called from the folder that `path` lies in."""
    if is_url(name) or not is_url(path):
        return name if is_url(name) else os.path.join(os.path.dirname(path), name)
    return f"{path.rpartition('/')[0]}/{name}"


def leads_out(path: str, name: str) -> bool:
    """Whether `name`, beside `path`, is in no folder below: it climbs, starts elsewhere, or is a link to elsewhere."""
    if is_url(path):
        top = path.rpartition("/")[0]
        whole = beside(path, name)
        inside = whole.removeprefix(f"{top}/")
        return not whole.startswith(f"{top}/") or posixpath.normpath(inside).startswith(("../", "/"))
    if is_url(name):
        return True
    folder = os.path.realpath(os.path.dirname(path))
    return os.path.commonpath([folder, os.path.realpath(os.path.join(folder, name))]) != folder


def is_folder(path: str) -> bool:
    """Whether there is a folder, here or in a store."""
    if not is_url(path):
        return os.path.isdir(path)
    with _explained(path, "be looked at", UsageError):
        files, inside = _store(path)
        return bool(files.isdir(inside))


def walk(url: str) -> Iterator[list[StoredFile]]:
    """The files of every folder below a folder of a store, folder by folder; hidden ones are left out.

    Raises:
        UsageError: it cannot be listed.
    """
    with _explained(url, "be listed", UsageError):
        files, inside = _store(url)
        for _, _, found in files.walk(inside, detail=True, on_error="raise"):
            yield [_stored(files, facts) for name, facts in sorted(found.items()) if name and not name.startswith(".")]


def files_in(folder: str) -> list[str]:
    """The visible files of a folder, here or in a store, by name; none where there is no folder.

    Raises:
        OutputError: it cannot be listed.
    """
    with _explained(folder, "be listed", OutputError):
        if not is_url(folder):
            names = sorted(os.listdir(folder)) if os.path.lexists(folder) else []
            return [os.path.join(folder, name) for name in names if not name.startswith(".")]
        files, inside = _store(folder)
        files.invalidate_cache(inside)  # other machines write there, too
        try:
            return sorted(str(files.unstrip_protocol(facts["name"])) for facts in files.ls(inside, detail=True))
        except FileNotFoundError:
            return []


def matching(pattern: str) -> list[StoredFile]:
    """The files of a store whose address fits a pattern such as `s3://bucket/*.mp4`.

    Raises:
        UsageError: they cannot be listed.
    """
    with _explained(pattern, "be listed", UsageError):
        files, inside = _store(pattern)
        found: dict[str, dict[str, Any]] = files.glob(inside, detail=True)
        return [_stored(files, facts) for _, facts in sorted(found.items()) if facts["type"] == "file"]


def stat(url: str) -> StoredFile | None:
    """A file of a store; None where there is none."""
    with _explained(url, "be looked at", UsageError):
        files, inside = _store(url)
        try:
            facts = files.info(inside)
        except FileNotFoundError:
            return None
        return _stored(files, facts) if facts["type"] == "file" else None


def read_bytes(path: str, most: int | None = None) -> bytes:
    """What is in a file, or its first so many bytes.

    Raises:
        FileNotFoundError, OSError: as `open` does; whatever a store raises is an OSError.
    """
    if not is_url(path):
        with open(path, "rb") as file:
            return file.read() if most is None else file.read(most)
    try:
        files, inside = _store(path)
        content: bytes = files.cat_file(inside, end=most)
    except (OSError, RewardkitError):
        raise
    except Exception as error:  # stores raise what their libraries do
        raise OSError(first_line(error)) from error
    return content


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file whole or not at all, with the folders above it.

    Raises:
        OutputError: it cannot be written.
    """
    if not is_url(path):
        with replacing(Path(path)) as draft:
            draft.write_bytes(content)
        return
    with _explained(path, "be written", OutputError):
        files, inside = _store(path)
        files.makedirs(posixpath.dirname(inside), exist_ok=True)
        files.pipe_file(inside, content)


def delete(path: str) -> None:
    """Takes a file away, if it is there.

    Raises:
        OutputError: it cannot be taken away.
    """
    with _explained(path, "be deleted", OutputError):
        files, inside = _store(path)
        if files.exists(inside):
            files.rm_file(inside)


@contextmanager
def here(path: str) -> Iterator[str]:
    """A file or folder as one of this machine, which is a copy if it lies in a store, and then gone afterwards.

    Raises:
        UnreadableVideoError: it is not there or cannot be fetched; in what is raised inside, the copy has its address.
    """
    if not is_url(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="rewardkit-") as folder:
        copy = os.path.join(folder, posixpath.basename(path.rstrip("/")) or "video")
        with _explained(path, "be fetched", UnreadableVideoError):
            files, inside = _store(path)
            files.get(inside, copy, recursive=bool(files.isdir(inside)))
        try:
            yield copy
        except UnreadableVideoError as error:
            raise type(error)(str(error).replace(copy, path)) from None


def _store(path: str) -> tuple[Any, str]:
    """The file system of an address, and what the file is called there. fsspec has no types."""
    import fsspec

    return fsspec.core.url_to_fs(path)  # type: ignore[no-any-return]


def _stored(files: Any, facts: dict[str, Any]) -> StoredFile:
    told = (facts.get(name) for name in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "updated", "created"))
    changed = next((str(value) for value in told if value is not None), "")
    return StoredFile(str(files.unstrip_protocol(facts["name"])), (int(facts["size"] or 0), changed))


@contextmanager
def _explained(path: str, what: str, kind: type[RewardkitError]) -> Iterator[None]:
    """One sentence of ours for whatever a store raises."""
    try:
        yield
    except RewardkitError:
        raise
    except ImportError as error:
        package = next((name for name in EXTRAS if name in str(error).lower()), None)
        if package is None:
            raise UsageError(f"{path} needs a package of fsspec that is not installed: {first_line(error)}") from None
        raise MissingExtraError(path, package, EXTRAS[package]) from None
    except FileNotFoundError:
        raise kind(f"{path!r} cannot {what}: there is no such file, folder or bucket") from None
    except Exception as error:  # noqa: BLE001 - stores raise what their libraries do
        raise kind(f"{path!r} cannot {what}: {first_line(error)}") from None
