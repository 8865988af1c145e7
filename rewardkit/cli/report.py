"""`rewardkit report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    scores: Annotated[Path, typer.Argument(help="Rows from `score -o`, or the folder of a fine-tuning or benchmark.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The page. [default: beside the rows, .html]")] = None,
    thumbnails: Annotated[
        int, typer.Option(help="Videos shown with pictures; the best and worst where there are more.")
    ] = 200,
) -> None:
    """Write one HTML page: of scores with the very frames that were scored, of a fine-tuning, or of a benchmark."""
    from rewardkit.bench.pages.benchmark_page import write_page
    from rewardkit.bench.pages.report import write_report
    from rewardkit.bench.pages.training_report import write_training_report
    from rewardkit.bench.result import RESULT, Result
    from rewardkit.scoring.table import ScoreTable

    if (scores / RESULT).is_file():
        page = out or scores / "report.html"
        write_page(Result.read(scores), scores, page)
        typer.echo(page)
        return
    if scores.is_dir():
        page = out or scores / "report.html"
        write_training_report(scores, page)
        typer.echo(page)
        return
    table = ScoreTable.read(scores)
    page = out or scores.with_suffix(".html")
    write_report(table, table.header, page, thumbnails=thumbnails)
    typer.echo(page)
