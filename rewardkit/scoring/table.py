"""The rows of a run as one table: iterate, summarise, save as CSV or Parquet."""

from __future__ import annotations

import csv
import heapq
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel

from rewardkit.errors import OutputError, UsageError
from rewardkit.files import no_formula, replacing
from rewardkit.scoring.journal import header_path, read_header, read_rows
from rewardkit.scoring.parquet import needs_pyarrow, write_parquet
from rewardkit.scoring.row_folder import folder_header, folder_rows, names_folder
from rewardkit.scoring.rows import ScoreHeader, ScoreRow

TABLE_SUFFIXES = (".csv", ".parquet")


class Summary(BaseModel):
    """A run in numbers; `mean` is over the videos that were scored, None where there are none."""

    rows: int
    ok: int
    failed: int
    truncated_prompts: int
    mean: float | None
    reward: str | None


class ScoreTable:
    """Rows in memory, in a file or in a folder of files, all or those with `keys`; files are read anew each time."""

    def __init__(self, rows: list[ScoreRow] | str | Path, keys: frozenset[str] | None = None) -> None:
        self._rows = rows
        self._keys = keys

    @classmethod
    def read(cls, path: str | Path) -> ScoreTable:
        """The table that `score_folder` wrote to `path`: a file, or a folder of files, here or in a store.

        Raises:
            UsageError: there is no such file.
            OutputError: the folder holds no rows.
        """
        if names_folder(str(path)):
            folder_header(str(path))
            return cls(str(path))
        journal = journal_path(Path(path))
        if not journal.is_file():
            raise UsageError(f"no scores in {path}: no such file as {journal}")
        return cls(journal)

    @property
    def header(self) -> ScoreHeader | None:
        """What all rows share; None for rows in memory, or where the header file is gone."""
        if isinstance(self._rows, str):
            return folder_header(self._rows)
        if isinstance(self._rows, Path) and header_path(self._rows).exists():
            return read_header(self._rows)
        return None

    def __iter__(self) -> Iterator[ScoreRow]:
        return (row for row in self._all() if self._keys is None or row.key in self._keys)

    def _all(self) -> Iterator[ScoreRow]:
        if isinstance(self._rows, str):
            return folder_rows(self._rows)
        return read_rows(self._rows) if isinstance(self._rows, Path) else iter(self._rows)

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
        write = _write_csv if path.suffix.lower() == ".csv" else write_parquet
        with replacing(path) as draft:
            write(self, draft)


def journal_path(out: Path) -> Path:
    """Where rows are collected for `out`: there, or beside it where its format cannot be appended to."""
    return out.with_name(f"{out.name}.jsonl") if out.suffix.lower() in TABLE_SUFFIXES else out


def check_suffix(out: Path) -> None:
    """Refuses names of files that rows cannot be written in.

    Raises:
        OutputError: unknown suffix, or a file in a store.
        MissingExtraError: Parquet without pyarrow.
    """
    if out.suffix.lower() not in (".jsonl", *TABLE_SUFFIXES):
        raise OutputError(f"cannot write rows as {out.name}: take a name that ends in .jsonl, .csv or .parquet")
    if out.suffix.lower() == ".parquet":
        needs_pyarrow()


def _write_csv(rows: Iterable[ScoreRow], path: Path) -> None:
    """One line a row; lists as JSON, numbers in full, and texts so that no spreadsheet runs one as a formula."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)  # lines end as RFC 4180 says; with others a carriage return would not be quoted
        writer.writerow(ScoreRow.model_fields)
        for row in rows:
            writer.writerow(_cell(value) for value in row.model_dump().values())


def _cell(value: object) -> object:
    if isinstance(value, str):
        return no_formula(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
