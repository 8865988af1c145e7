"""Rows on disk that survive a crash: one JSON line a video, written at once; what is there is not made again."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Literal

from pydantic import ValidationError

from rewardkit import storage
from rewardkit.errors import OutputError, first_line
from rewardkit.files import replacing
from rewardkit.scoring.rows import ScoreHeader, ScoreRow

try:
    import fcntl
except ImportError:  # Windows has no flock: there two runs writing one file are not caught
    fcntl = None  # type: ignore[assignment]

Status = Literal["ok", "error"]


def header_path(journal: Path) -> Path:
    """Where the header of a file of rows lies."""
    return journal.with_name(f"{journal.name}.header.json")


def read_header(journal: Path) -> ScoreHeader:
    """The header beside a file of rows.

    Raises:
        OutputError: it is missing or not a header.
    """
    path = header_path(journal)
    try:
        return ScoreHeader.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise OutputError(
            f"{journal} has no header {path.name} beside it: give another --out, or --overwrite"
        ) from None
    except (OSError, ValidationError) as error:
        raise OutputError(f"cannot read {path}: {first_line(error)}; give another --out, or --overwrite") from None


def read_rows(journal: Path) -> Iterator[ScoreRow]:
    """The rows of a file, in order. A last line cut off by a crash is left out.

    Raises:
        OutputError: the file cannot be read, or a line is not a row.
    """
    for number, line in _whole_lines(journal):
        try:
            yield ScoreRow.model_validate(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise OutputError(f"{journal}, line {number} is not a score row: {first_line(error)}") from None


def row_line(row: ScoreRow) -> bytes:
    """A row as one line of JSON; file names that are not UTF-8 are kept as \\udcXX."""
    fields = row.model_dump()
    line = json.dumps(fields, ensure_ascii=False, allow_nan=False)
    try:
        return line.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(fields, allow_nan=False).encode() + b"\n"


class CountedRows:
    """Decides row by row which of those that are there count for a run.

    Not counted are rows of a video whose file or prompt changed, a second row of one video, and, with `retry_failed`,
    failed ones. Rows of videos that are not wanted now count.

    Args:
        root: the folder that relative paths of rows start from.
        wanted: absolute path to key of every video of this run.
        retry_failed: whether failed videos are tried again.
    """

    def __init__(self, root: str, wanted: Mapping[str, str], retry_failed: bool) -> None:
        self.status: dict[str, Status] = {}
        self._root, self._wanted, self._retry_failed = root, wanted, retry_failed
        self._seen: set[str] = set()

    def take(self, row: ScoreRow) -> bool:
        """Whether it counts."""
        video = storage.absolute(row.path, self._root)
        again = self._retry_failed and row.status == "error" and video in self._wanted
        if video in self._seen or self._wanted.get(video, row.key) != row.key or again:
            return False
        self._seen.add(video)
        self.status[row.key] = row.status
        return True


def check_same(place: Path | str, there: ScoreHeader, header: ScoreHeader) -> None:
    """Refuses to put rows beside those of another reward.

    Raises:
        OutputError: those in `place` are.
    """
    if there.fingerprint != header.fingerprint:
        raise OutputError(
            f"{place} holds rows of {there.reward} made by other settings, code or weights than "
            f"{header.reward} now has: give another --out, or --overwrite"
        )


class Journal:
    """An open file of rows. Use as a context manager; `append` returns once the row is with the operating system.

    Attributes:
        status: for every row that was there and counts, key to status.
    """

    def __init__(self, path: Path, header: ScoreHeader, overwrite: bool = False) -> None:
        """Opens `path` for appending, with what is there if it was made by the same reward.

        Raises:
            OutputError: it cannot be written, is being written by another run, or holds rows of another reward.
        """
        self.path = path
        self.status: dict[str, Status] = {}
        self._appended = 0
        if path.exists() and not path.is_file():
            raise OutputError(f"cannot write {path}: it is no regular file")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("ab", buffering=0)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from None
        try:
            self._start(header, overwrite)
        except BaseException:
            self._file.close()
            raise

    def _start(self, header: ScoreHeader, overwrite: bool) -> None:
        self._lock()
        if overwrite:
            self._file.truncate(0)
        if os.fstat(self._file.fileno()).st_size == 0:
            with replacing(header_path(self.path)) as draft:
                draft.write_text(header.model_dump_json(indent=2) + "\n", encoding="utf-8")
            return
        check_same(self.path, read_header(self.path), header)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def header(self) -> ScoreHeader:
        """What the rows that are there share."""
        return read_header(self.path)

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"another run is writing {self.path}: wait for it, or give another --out") from None
        except OSError:  # a file system without locks
            return
        opened = os.fstat(self._file.fileno())
        if not self.path.exists() or not os.path.samestat(opened, self.path.stat()):
            # between opening and locking, the run that held the lock put a new file in place of this one
            raise OutputError(f"another run has just rewritten {self.path}: run the same command again")

    def keep_only(self, wanted: Mapping[str, str], retry_failed: bool) -> None:
        """Drops a torn last line and the rows that do not count, see CountedRows, then knows the rest."""
        counted = CountedRows(self.header.cwd, wanted, retry_failed)
        dropped = {number for number, row in enumerate(read_rows(self.path)) if not counted.take(row)}
        self.status = counted.status
        if dropped:
            self._rewrite_without(dropped)
        else:
            self._file.truncate(sum(len(line) for _, line in _whole_lines(self.path)))  # a torn last line goes

    def _rewrite_without(self, dropped: set[int]) -> None:
        with replacing(self.path) as draft, draft.open("wb") as file:
            file.writelines(line for at, (_, line) in enumerate(_whole_lines(self.path)) if at not in dropped)
        self._file.close()  # it is the old file's handle; the lock goes with it
        self._file = self.path.open("ab", buffering=0)
        self._lock()

    def append(self, row: ScoreRow) -> None:
        """Writes one row whole or not at all.

        Raises:
            OutputError: no space left, or the file cannot be written.
        """
        line = row_line(row)
        end = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise OutputError(
                f"cannot write {self.path}: {error.strerror}; {len(self.status) + self._appended} rows are safe, "
                "make room and run the same command to go on"
            ) from None
        self._appended += 1


def _whole_lines(journal: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with journal.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    yield number, line
    except OSError as error:
        raise OutputError(f"cannot read {journal}: {error.strerror}") from None
