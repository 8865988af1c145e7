"""`rewardkit benchmark`: rewards, backbones, methods."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewardkit.cli.options import AsJson, Quiet, complete_reward

if TYPE_CHECKING:
    from rewardkit.bench.films.entries import Shown
    from rewardkit.bench.result import Result, Table
    from rewardkit.bench.suites import SuiteT

app = typer.Typer(
    help="Compare rewards, backbones, or ways to fine-tune, from a suite file; without one, in the mini world.",
    no_args_is_help=True,
)
SuiteFile = Annotated[Path | None, typer.Argument(help="TOML or YAML. [default: the one that comes along]")]
Rewards = Annotated[
    list[str] | None,
    typer.Option("--reward", "-r", help="Instead of the suite's; may be given again.", autocompletion=complete_reward),
]
Seed = Annotated[int | None, typer.Option(help="Of bootstraps and drawn frames. [default: 0]")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps. [default: auto]")]


@app.command()
def rewards(
    suite: SuiteFile = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all of it.")] = Path("benchmark-rewards"),
    reward: Rewards = None,
    seed: Seed = None,
    device: Device = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Which reward should I take? Agreement with people, response to defects, stability, cost."""
    from rewardkit.bench.rewards.benchmark import benchmark_rewards
    from rewardkit.bench.suites import RewardsSuite

    given = {"rewards": reward, "seed": seed, "device": device}
    _run(RewardsSuite, suite, given, benchmark_rewards, out, as_json, quiet)


@app.command()
def backbones(
    suite: SuiteFile = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all of it.")] = Path("benchmark-backbones"),
    reward: Rewards = None,
    seed: Seed = None,
    device: Device = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Which backbone should I take? Did the tuning help? The same prompts and seeds through each."""
    from rewardkit.bench.backbones import benchmark_backbones
    from rewardkit.bench.suites import BackbonesSuite

    given = {"rewards": reward, "seed": seed, "device": device}
    _run(BackbonesSuite, suite, given, benchmark_backbones, out, as_json, quiet)


@app.command()
def methods(
    suite: SuiteFile = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all of it.")] = Path("benchmark-methods"),
    reward: Rewards = None,
    seed: Seed = None,
    device: Device = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Which way to fine-tune is best, at equal calls of the denoiser and at equal time?"""
    from rewardkit.bench.methods.benchmark import benchmark_methods
    from rewardkit.bench.suites import MethodsSuite

    given = {"rewards": reward, "seed": seed, "device": device}
    _run(MethodsSuite, suite, given, benchmark_methods, out, as_json, quiet)


def _run(
    kind: type[SuiteT],
    path: Path | None,
    given: Mapping[str, object],
    benchmark: Callable[[SuiteT, Path, Shown], Result],
    out: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    from rewardkit.bench.pages.figures import check_drawing
    from rewardkit.bench.pages.outputs import write_outputs
    from rewardkit.bench.suites import read_suite
    from rewardkit.cli.progress import Bar
    from rewardkit.cli.tables import echo_json

    suite = read_suite(kind, path, given)
    check_drawing()  # before hours of work
    try:
        with Bar(quiet) as bar:
            result = benchmark(suite, out, bar.at)
    except KeyboardInterrupt:
        again = shlex.join(["rewardkit", *sys.argv[1:]])
        typer.echo(f"interrupted; what is done is in {out}; go on with: {again}", err=True)
        raise typer.Exit(130) from None
    result.save(out)
    write_outputs(result, out)
    if as_json:
        echo_json(result.model_dump(mode="json"))
        return
    for line in result.headline:
        typer.echo(line)
    _show(next(block for block in result.blocks() if block.kind == "table"))
    typer.echo(f"page: {out / 'report.html'}, tables and figures beside it")
    for line in result.warnings:
        typer.secho(f"warning: {line}", fg="yellow", err=True)
    if result.warnings:
        raise typer.Exit(1)


def _show(table: Table) -> None:
    from rewardkit.bench.pages.cells import shown_rows
    from rewardkit.bench.pages.numerals import MISSING
    from rewardkit.cli.tables import echo_table

    rows = [[MISSING if cell.words is None else str(cell.words) for cell in row] for row in shown_rows(table)]
    numbers = [column.name for column in table.columns if column.unit != "text"]
    echo_table([column.name for column in table.columns], rows, right=numbers)
