"""`rewardkit merge`."""

from __future__ import annotations

from typing import Annotated

import typer


def merge(
    sources: Annotated[list[str], typer.Argument(help="Files and folders of rows, here or in a store.")],
    out: Annotated[str, typer.Option("--out", "-o", help=".jsonl, .csv, .parquet, or a folder of files.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Forget the rows in --out.")] = False,
) -> None:
    """Put the rows of several runs or machines together, each video once."""
    from rewardkit.scoring.merging import merge_rows

    summary = merge_rows(sources, out, overwrite).summary()
    typer.echo(f"{summary.rows} rows in {out}, {summary.failed} of them failed", err=True)
