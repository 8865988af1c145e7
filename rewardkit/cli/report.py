"""`rewardkit report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    scores: Annotated[Path, typer.Argument(help="Rows from `score -o`.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The page. [default: beside the rows, .html]")] = None,
    thumbnails: Annotated[
        int, typer.Option(help="Videos shown with pictures; the best and worst where there are more.")
    ] = 200,
) -> None:
    """Write one HTML page with scores, curves and the very frames that were scored."""
    from rewardkit.bench.report import write_report
    from rewardkit.scoring.table import ScoreTable

    table = ScoreTable.read(scores)
    page = out or scores.with_suffix(".html")
    write_report(table, table.header, page, thumbnails=thumbnails)
    typer.echo(page)
