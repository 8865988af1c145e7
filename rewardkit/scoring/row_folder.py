"""Rows as a folder of files, here or in a store, into which many machines may write."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType

from pydantic import ValidationError

from rewardkit import storage
from rewardkit.errors import OutputError, first_line
from rewardkit.scoring.journal import CountedRows, Status, check_same, row_line
from rewardkit.scoring.parquet import parquet_rows, write_parquet
from rewardkit.scoring.rows import ScoreHeader, ScoreRow, ShardFormat

HEADER, PREFIX = "header.json", "rows-"
ROWS_A_FILE, SECONDS_A_FILE = 1000, 30.0


class RowFolder:
    """An open folder of rows. Use as a context manager; a file is written whole, of 1,000 rows or half a minute's.

    What a run had not written when it was killed is made again. Runs that score different videos may write into one
    folder at the same time, from any machine; of the same videos there would be two rows, of which `merge` takes one.

    Attributes:
        status: for every row that was there and counts, key to status.
    """

    def __init__(self, place: str, header: ScoreHeader, overwrite: bool, shards: ShardFormat = "jsonl") -> None:
        """Opens a folder, with what is there if it was made by the same reward.

        Raises:
            OutputError: it cannot be written, or holds something else.
        """
        self.place, self._shards = place.rstrip("/"), shards
        self.status: dict[str, Status] = {}
        self._waiting: list[ScoreRow] = []
        self._since = time.monotonic()
        if overwrite:
            for file in (*row_files(self.place), f"{self.place}/{HEADER}"):
                storage.delete(file)
        if not storage.files_in(self.place):
            content = header.model_dump_json(indent=2) + "\n"
            storage.write_bytes(f"{self.place}/{HEADER}", content.encode())
        self.header = folder_header(self.place)
        check_same(self.place, self.header, header)

    def __enter__(self) -> RowFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()

    def keep_only(self, wanted: Mapping[str, str], retry_failed: bool) -> None:
        """Drops the rows that do not count, see CountedRows, then knows the rest."""
        counted = CountedRows(self.header.cwd, wanted, retry_failed)
        for file in row_files(self.place):
            rows = list(_rows_of(file))
            kept = [row for row in rows if counted.take(row)]
            if not kept:
                storage.delete(file)
            elif len(kept) < len(rows):
                storage.write_bytes(file, _content(kept, file))
        self.status = counted.status

    def append(self, row: ScoreRow) -> None:
        """Takes a row, and writes a file where there are enough.

        Raises:
            OutputError: it cannot be written; its rows are made again by the next run.
        """
        self._waiting.append(row)
        if len(self._waiting) >= ROWS_A_FILE or time.monotonic() - self._since >= SECONDS_A_FILE:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            file = f"{self.place}/{PREFIX}{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.{self._shards}"
            storage.write_bytes(file, _content(self._waiting, file))
            self._waiting = []
        self._since = time.monotonic()


def names_folder(out: str) -> bool:
    """Whether rows for `out` go into a folder of files and not into one."""
    return storage.is_url(out) or out.endswith("/") or storage.is_folder(out)


def row_files(place: str) -> list[str]:
    """The files of rows in a folder."""
    return [file for file in storage.files_in(place) if file.rpartition("/")[2].startswith(PREFIX)]


def folder_rows(place: str) -> Iterator[ScoreRow]:
    """The rows of a folder, file by file.

    Raises:
        OutputError: a file cannot be read, or holds something else.
    """
    for file in row_files(place):
        yield from _rows_of(file)


def folder_header(place: str) -> ScoreHeader:
    """The header of a folder of rows.

    Raises:
        OutputError: it is missing or not a header.
    """
    try:
        return ScoreHeader.model_validate_json(storage.read_bytes(f"{place.rstrip('/')}/{HEADER}"))
    except (FileNotFoundError, NotADirectoryError):
        raise OutputError(f"{place} is a folder without a {HEADER} of rows: give another one") from None
    except (OSError, ValidationError) as error:
        raise OutputError(f"cannot read {place}/{HEADER}: {first_line(error)}") from None


def _rows_of(file: str) -> Iterator[ScoreRow]:
    try:
        content = storage.read_bytes(file)
        if file.endswith(".parquet"):
            yield from parquet_rows(content)
        else:
            for line in content.splitlines():
                yield ScoreRow.model_validate(json.loads(line))
    # pyarrow raises the last two over values and types that it has no Python for
    except (OSError, ValueError, RecursionError, TypeError, NotImplementedError, OverflowError) as error:
        raise OutputError(f"cannot read the rows of {file}: {first_line(error)}") from None


def _content(rows: Iterable[ScoreRow], file: str) -> bytes:
    if file.endswith(".parquet"):
        content = io.BytesIO()
        write_parquet(rows, content)
        return content.getvalue()
    return b"".join(map(row_line, rows))
