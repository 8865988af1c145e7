"""Rows of several files and folders as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rewardkit import storage
from rewardkit.errors import OutputError, UsageError
from rewardkit.scoring.journal import check_same
from rewardkit.scoring.output import Out
from rewardkit.scoring.rows import ScoreRow
from rewardkit.scoring.table import ScoreTable


def merge_rows(sources: Sequence[str | Path], out: str | Path, overwrite: bool = False) -> ScoreTable:
    """Writes the rows of all `sources` into `out`, each video once; where one failed and another did not, that one.

    Relative paths of videos become absolute, for the sources may have been written from different folders.

    Args:
        sources: files and folders that `score_folder` wrote, here or in a store.
        out: as of `score_folder`.
        overwrite: forget the rows in `out`.

    Raises:
        UsageError: a source is not there.
        OutputError: rows of different rewards, or `out` holds rows already.
    """
    tables = [ScoreTable.read(source) for source in sources]
    headers = [table.header for table in tables]
    for source, header in zip(sources, headers, strict=True):
        if header is None:
            raise UsageError(f"{source} has no header beside it, so its rows cannot be merged")
        check_same(str(source), header, headers[0] or header)
    assert headers[0] is not None
    rows_to = Out(str(out), "jsonl", overwrite)
    if not overwrite and len(rows_to.there()):
        raise OutputError(f"{out} holds rows already: give another --out, or --overwrite")
    good = {row.key for table in tables for row in table if row.status == "ok"}
    with rows_to.open(headers[0]) as store:
        for row in _once(tables, good):
            store.append(row)
    rows_to.collect()
    return ScoreTable(rows_to.rows)


def _once(tables: Sequence[ScoreTable], good: set[str]) -> Iterator[ScoreRow]:
    seen: set[str] = set()
    for table in tables:
        root = table.header.cwd if table.header else ""
        for row in table:
            if row.key not in seen and (row.status == "ok" or row.key not in good):
                seen.add(row.key)
                yield row.model_copy(update={"path": storage.absolute(row.path, root)})
