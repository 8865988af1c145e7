"""Rows as Parquet, and back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import UnionType
from typing import IO, Any, get_args, get_origin

from rewardkit.errors import MissingExtraError
from rewardkit.scoring.rows import ScoreRow

ROWS_PER_GROUP = 4096


def write_parquet(rows: Iterable[ScoreRow], to: Path | IO[bytes]) -> None:
    """Writes rows; `parts` as JSON, and bytes of file names that are no text as `\\udcXX`.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    pyarrow, parquet = needs_pyarrow()
    schema, remaining = _schema(), iter(rows)
    with parquet.ParquetWriter(to, schema) as writer:
        while chunk := [_parquet_record(row) for row in islice(remaining, ROWS_PER_GROUP)]:
            writer.write_table(pyarrow.Table.from_pylist(chunk, schema))


def _schema() -> Any:
    pyarrow, _ = needs_pyarrow()
    kinds: dict[object, object] = {
        float: pyarrow.float64(),
        int: pyarrow.int64(),
        bool: pyarrow.bool_(),
        str: pyarrow.string(),
    }
    kinds |= {list[float]: pyarrow.list_(pyarrow.float64()), list[int]: pyarrow.list_(pyarrow.int64())}
    columns = {name: _kind(field.annotation) for name, field in ScoreRow.model_fields.items()}
    return pyarrow.schema([(name, kinds.get(kind, pyarrow.string())) for name, kind in columns.items()])


def parquet_rows(content: bytes) -> Iterator[ScoreRow]:
    """The rows of a file that `write_parquet` wrote.

    Raises:
        ValueError: it is none.
        MissingExtraError: pyarrow is not installed.
    """
    _, parquet = needs_pyarrow()
    file = parquet.ParquetFile(io.BytesIO(content))
    columns = {column.name: column.type for column in file.schema_arrow}
    if len(columns) != len(file.schema_arrow) or columns != {column.name: column.type for column in _schema()}:
        raise ValueError("its columns are not those of rows")
    for group in file.iter_batches(ROWS_PER_GROUP):
        for record in group.to_pylist():
            yield ScoreRow.model_validate({**record, "parts": json.loads(record["parts"])})


def _kind(annotation: object) -> object:
    """The type of a field without its None."""
    options = [option for option in get_args(annotation) if option is not type(None)]
    return options[0] if len(options) == 1 and get_origin(annotation) is UnionType else annotation


def _parquet_record(row: ScoreRow) -> dict[str, object]:
    record = row.model_dump() | {"parts": json.dumps(row.model_dump()["parts"])}
    return {key: _utf8(value) if isinstance(value, str) else value for key, value in record.items()}


def _utf8(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()  # file names may hold bytes that are no text


def needs_pyarrow() -> tuple[Any, Any]:
    """pyarrow, which ships no types, and its part for Parquet.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("Parquet", "pyarrow", "parquet") from None
    return pyarrow, parquet
