"""`rewardkit benchmark`."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewardkit.cli.options import AsJson, Quiet, complete_reward

if TYPE_CHECKING:
    from rewardkit.bench.films.entries import Shown
    from rewardkit.bench.result import Result, Table


class What(StrEnum):
    """What is compared."""

    REWARDS = "rewards"
    BACKBONES = "backbones"
    METHODS = "methods"


def benchmark(
    what: Annotated[What, typer.Argument(help="rewards, backbones, or methods (ways to fine-tune).")],
    suite: Annotated[Path | None, typer.Argument(help="TOML or YAML. [default: in the mini world]")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for all of it. [default: benchmark-WHAT]")
    ] = None,
    reward: Annotated[
        list[str] | None,
        typer.Option(
            "--reward", "-r", help="Instead of the suite's; may be given again.", autocompletion=complete_reward
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of bootstraps and drawn frames. [default: 0]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps. [default: auto]")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare rewards, backbones, or ways to fine-tune, from a suite file. Runs again from where it stopped."""
    from rewardkit.bench.pages.figures import check_drawing
    from rewardkit.bench.pages.outputs import write_outputs
    from rewardkit.cli.progress import Bar
    from rewardkit.cli.tables import echo_json

    folder = out or Path(f"benchmark-{what}")
    check_drawing()  # before hours of work
    try:
        with Bar(quiet) as bar:
            result = _run(what, suite, {"rewards": reward, "seed": seed, "device": device}, folder, bar.at)
    except KeyboardInterrupt:
        again = shlex.join(["rewardkit", *sys.argv[1:]])
        typer.echo(f"interrupted; what is done is in {folder}; go on with: {again}", err=True)
        raise typer.Exit(130) from None
    result.save(folder)
    write_outputs(result, folder)
    if as_json:
        echo_json(result.model_dump(mode="json"))
    else:
        for line in result.headline:
            typer.echo(line)
        _show(next(block for block in result.blocks() if block.kind == "table"))
        typer.echo(f"page: {folder / 'report.html'}, tables and figures beside it")
    for line in result.warnings:
        typer.secho(f"warning: {line}", fg="yellow", err=True)
    if result.warnings:
        raise typer.Exit(1)


def _run(what: What, path: Path | None, given: dict[str, object], out: Path, show: Shown) -> Result:
    from rewardkit.bench.backbones import benchmark_backbones
    from rewardkit.bench.methods.benchmark import benchmark_methods
    from rewardkit.bench.rewards.benchmark import benchmark_rewards
    from rewardkit.bench.suites import BackbonesSuite, MethodsSuite, RewardsSuite, read_suite

    match what:
        case What.REWARDS:
            return benchmark_rewards(read_suite(RewardsSuite, path, given), out, show)
        case What.BACKBONES:
            return benchmark_backbones(read_suite(BackbonesSuite, path, given), out, show)
        case What.METHODS:
            return benchmark_methods(read_suite(MethodsSuite, path, given), out, show)


def _show(table: Table) -> None:
    from rewardkit.bench.pages.cells import shown_rows
    from rewardkit.bench.pages.numerals import MISSING
    from rewardkit.cli.tables import echo_table

    rows = [[MISSING if cell.words is None else str(cell.words) for cell in row] for row in shown_rows(table)]
    numbers = [column.name for column in table.columns if column.unit != "text"]
    echo_table([column.name for column in table.columns], rows, right=numbers)
