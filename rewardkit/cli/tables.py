"""Printing results on stdout, as tables for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

WIDTH_IN_FILES = 160

if TYPE_CHECKING:
    from rewardkit.scoring.rows import ScoreRow


def echo_json(value: object) -> None:
    """Prints one JSON value."""
    typer.echo(json.dumps(value, indent=2, default=str))


def echo_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Prints a table, without a head where no column has a name; columns named in `right` are aligned to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(columns))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell.encode(errors="backslashreplace").decode()) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_IN_FILES
    console.print(table)


def echo_scores(rows: Iterable[ScoreRow]) -> None:
    """Prints one line a video: score, path, prompt, or what went wrong."""
    echo_table(
        ("score", "video", "prompt"),
        [("failed" if r.score is None else f"{r.score:.4f}", r.path, r.error or r.prompt or "") for r in rows],
        right=("score",),
    )
