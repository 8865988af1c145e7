"""The rows of a run as one table: iterate, summarise, save as CSV or Parquet."""

from __future__ import annotations

import csv
import heapq
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from rewardkit.errors import MissingExtraError, OutputError, UsageError
from rewardkit.files import replacing
from rewardkit.scoring.journal import header_path, read_header, read_rows
from rewardkit.scoring.rows import ScoreHeader, ScoreRow

TABLE_SUFFIXES = (".csv", ".parquet")
ROWS_PER_GROUP = 4096


class Summary(BaseModel):
    """A run in numbers; `mean` is over the videos that were scored, None where there are none."""

    rows: int
    ok: int
    failed: int
    truncated_prompts: int
    mean: float | None
    reward: str | None


class ScoreTable:
    """Rows in memory or in a file, all or those with `keys`; a file is read anew each time, so it takes no memory."""

    def __init__(self, rows: list[ScoreRow] | Path, keys: frozenset[str] | None = None) -> None:
        self._rows = rows
        self._keys = keys

    @classmethod
    def read(cls, path: str | Path) -> ScoreTable:
        """The table that `score_folder` wrote to `path`.

        Raises:
            UsageError: there is no such file.
        """
        path = Path(path)
        journal = journal_path(path)
        if not journal.is_file():
            raise UsageError(f"no scores in {path}: no such file as {journal}")
        return cls(journal)

    @property
    def header(self) -> ScoreHeader | None:
        """What all rows share; None for rows in memory, or where the header file is gone."""
        if isinstance(self._rows, Path) and header_path(self._rows).exists():
            return read_header(self._rows)
        return None

    def __iter__(self) -> Iterator[ScoreRow]:
        rows = read_rows(self._rows) if isinstance(self._rows, Path) else iter(self._rows)
        return (row for row in rows if self._keys is None or row.key in self._keys)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def scored(self) -> Iterator[tuple[float, ScoreRow]]:
        """Score and row of every video that has one."""
        return ((row.score, row) for row in self if row.score is not None)

    def failed(self) -> list[ScoreRow]:
        """The rows with status `error`."""
        return [row for row in self if row.status == "error"]

    def mean(self) -> float:
        """The mean score of the videos that were scored.

        Raises:
            UsageError: none was.
        """
        mean = self.summary().mean
        if mean is None:
            raise UsageError("no video was scored, so there is no mean")
        return mean

    def best(self, count: int) -> list[ScoreRow]:
        """The `count` rows with the highest scores, best first."""
        return [row for _, row in heapq.nlargest(count, self.scored(), key=lambda pair: pair[0])]

    def worst(self, count: int) -> list[ScoreRow]:
        """The `count` rows with the lowest scores, worst first."""
        return [row for _, row in heapq.nsmallest(count, self.scored(), key=lambda pair: pair[0])]

    def summary(self) -> Summary:
        """Counts and mean."""
        rows = ok = truncated = 0
        total, reward = 0.0, None
        for row in self:
            rows, reward = rows + 1, row.reward
            truncated += row.prompt_truncated
            if row.score is not None:
                ok, total = ok + 1, total + row.score
        mean = total / ok if ok else None
        return Summary(rows=rows, ok=ok, failed=rows - ok, truncated_prompts=truncated, mean=mean, reward=reward)

    def save(self, path: Path) -> None:
        """Writes the rows to `path` as CSV or Parquet, whole or not at all.

        Raises:
            MissingExtraError: Parquet without pyarrow.
            OutputError: it cannot be written.
        """
        write = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
        with replacing(path) as draft:
            write(self, draft)


def journal_path(out: Path) -> Path:
    """Where rows are collected for `out`: there, or beside it where its format cannot be appended to."""
    return out.with_name(f"{out.name}.jsonl") if out.suffix.lower() in TABLE_SUFFIXES else out


def check_suffix(out: Path) -> None:
    """Refuses formats that rows cannot be written in.

    Raises:
        OutputError: unknown suffix.
        MissingExtraError: Parquet without pyarrow.
    """
    if out.suffix.lower() not in (".jsonl", *TABLE_SUFFIXES):
        raise OutputError(f"cannot write rows as {out.name}: take a name that ends in .jsonl, .csv or .parquet")
    if out.suffix.lower() == ".parquet":
        _pyarrow()


def _write_csv(rows: Iterable[ScoreRow], path: Path) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ScoreRow.model_fields)
        for row in rows:
            writer.writerow(_cell(value) for value in row.model_dump().values())


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _write_parquet(rows: Iterable[ScoreRow], path: Path) -> None:
    pyarrow, parquet = _pyarrow()
    kinds: dict[object, object] = {
        float: pyarrow.float64(),
        int: pyarrow.int64(),
        bool: pyarrow.bool_(),
        str: pyarrow.string(),
    }
    kinds |= {list[float]: pyarrow.list_(pyarrow.float64()), list[int]: pyarrow.list_(pyarrow.int64())}
    columns = {name: _kind(field.annotation) for name, field in ScoreRow.model_fields.items()}
    schema = pyarrow.schema([(name, kinds.get(kind, pyarrow.string())) for name, kind in columns.items()])
    remaining = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while chunk := [_parquet_record(row) for row in islice(remaining, ROWS_PER_GROUP)]:
            writer.write_table(pyarrow.Table.from_pylist(chunk, schema))


def _kind(annotation: object) -> object:
    """The type of a field without its None."""
    options = [option for option in get_args(annotation) if option is not type(None)]
    return options[0] if len(options) == 1 and get_origin(annotation) is UnionType else annotation


def _parquet_record(row: ScoreRow) -> dict[str, object]:
    record = row.model_dump() | {"parts": json.dumps(row.model_dump()["parts"])}
    return {key: _utf8(value) if isinstance(value, str) else value for key, value in record.items()}


def _utf8(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()  # file names may hold bytes that are no text


def _pyarrow() -> tuple[Any, Any]:  # pyarrow ships no types
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("writing Parquet", "pyarrow", "parquet") from None
    return pyarrow, parquet
