"""`rewardkit demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BLIND_SPOT = (
    "The file names tell each clip's quality. Watermarks score high, since their sharp edges pass for detail, and\n"
    "grain costs a flat drawing little: closed-form rewards judge pixels, not content."
)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for clips, rows and report.")] = Path("demo"),
) -> None:
    """Draw sample clips of known quality, score them, and write the report. Needs no weights and no network."""
    from rewardkit.bench.report import write_report
    from rewardkit.cli.progress import ScoreProgress
    from rewardkit.cli.tables import echo_scores
    from rewardkit.errors import UsageError
    from rewardkit.miniworld.clips import write_clips
    from rewardkit.scoring.folder import score_folder

    mark = out / ".rewardkit-demo"
    if out.exists() and not mark.exists() and any(out.iterdir()):
        raise UsageError(f"{out} holds other files, which the demo might overwrite: give a new folder with --out")
    manifest = write_clips(out / "clips")
    mark.touch()
    with ScoreProgress(quiet=False) as progress:
        table = score_folder(manifest, prompts="auto", out=out / "scores.jsonl", overwrite=True, progress=progress)
    page = out / "report.html"
    write_report(table, table.header, page)
    echo_scores(table.best(len(table)))
    typer.echo(BLIND_SPOT)
    typer.echo(f"rows: {out / 'scores.jsonl'}\nreport: {page}")
