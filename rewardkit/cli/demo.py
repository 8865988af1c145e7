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
    steps: Annotated[int, typer.Option(min=1, help="Of the fine-tuning.")] = 40,
    films: Annotated[int, typer.Option(min=1, help="Prompts of each split, before and after.")] = 16,
) -> None:
    """Score sample clips of known quality, fine-tune the mini world's generator, and report both.

    Needs no weights but its own, and no network. Takes some minutes; a fine-tuning that was interrupted goes on.
    """
    from rewardkit.bench.pages.report import write_report
    from rewardkit.bench.proof import CONFIG, headline, prove
    from rewardkit.cli.progress import Bar, ScoreProgress
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
    typer.echo(f"rows: {out / 'scores.jsonl'}\nreport: {page}\n")
    with Bar(quiet=False) as bar:
        result, measured, finetuned = prove(
            out,
            CONFIG.model_copy(update={"steps": steps}),
            each=films,
            show=lambda step: bar.at("steps", step.step, steps, f"score {step.facts['score']:.3f}"),
            progress=lambda done, total: bar.at("films", done, total),
        )
    for reason in result.stopped:
        typer.echo(f"stopped by a guard: {reason}", err=True)
    typer.echo(headline(measured))
    typer.echo("A mini world proves the machinery; it tells nothing of big models.")
    typer.echo(f"LoRA: {result.lora}\nreport: {finetuned}")
