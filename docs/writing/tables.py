"""What all writers of pages share: results, tables, plain words, places between marks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent
ROOT = DOCS.parent
RESULTS = ROOT / "benchmarks" / "results"
NOTE = "<!-- Written by `python docs/write_reference.py`: change the code it reads, not this page. -->"


def result(name: str) -> Any:
    """What a script recorded; None where it has not run."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def as_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def plain(words: str) -> str:
    """Plain words as Markdown that shows them as they are; what is in backticks stays code."""
    pieces = words.split("`")
    pieces[::2] = [re.sub(r"([*_|<\[])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def with_tables(page: Path, tables: Mapping[str, str]) -> str:
    """A page with tables written anew between their marks."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- {name}: written by `python docs/write_reference.py` -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        assert rest, f"{page.name} has no place for {name}"
        text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return text
