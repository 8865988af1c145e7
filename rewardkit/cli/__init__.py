"""The command line: each command parses, calls one library function and prints. Importing it loads no torch."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Annotated

import typer

from rewardkit import __version__
from rewardkit.cli import (
    benchmark,
    catalog,
    compare,
    demo,
    doctor,
    download,
    env,
    export,
    finetune,
    generate,
    merge,
    report,
    score,
    serve,
)
from rewardkit.errors import RewardkitError

app = typer.Typer(
    name="rewardkit",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS = (
    score.score, merge.merge, compare.compare, report.report, benchmark.benchmark, generate.generate, finetune.finetune,
    demo.demo, download.download, env.env, doctor.doctor, serve.serve,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)
app.command("export-lora")(export.export)
app.command("list")(catalog.list_known)
app.command("info")(catalog.info)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rewardkit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Reward models for generated video: score folders of videos, fine-tune generators, compare and report."""


def main() -> None:
    """Runs the command line; one of our errors becomes one line on stderr and its exit code."""
    # the process ends anyway: searching all of torch and the towers for garbage takes 0.3 to 0.8 s
    atexit.register(gc.freeze)
    try:
        app()
    except RewardkitError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
