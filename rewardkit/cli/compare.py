"""`rewardkit compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewardkit.cli.options import AsJson

if TYPE_CHECKING:
    from rewardkit.scoring.bootstrap import Interval
    from rewardkit.scoring.change import Change
    from rewardkit.scoring.comparison import Comparison


def compare(
    before: Annotated[Path, typer.Argument(help="Rows of the first set, from `score -o`.")],
    after: Annotated[Path, typer.Argument(help="Rows of the second set, scored with the same reward.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare two scored sets, paired by prompt: win rate, mean change, worst regressions."""
    from rewardkit.cli.tables import echo_json
    from rewardkit.scoring import comparison
    from rewardkit.scoring.table import ScoreTable

    tables = [ScoreTable.read(path) for path in (before, after)]
    rows = [list(table) for table in tables]
    headers = [table.header for table in tables]
    if len({header.fingerprint for header in headers if header is not None}) > 1:
        typer.secho(
            "warning: the two sets were scored with other code, weights, seed or precision; see their headers",
            fg="yellow",
            err=True,
        )
    compared = comparison.compare(*rows, names=names_of(before, after), seed=seed)
    if as_json:
        echo_json(compared.model_dump())
    else:
        _show(compared)


def names_of(before: Path, after: Path) -> tuple[str, str]:
    """What tells the two files apart: their names, their folders' names, or only that one comes first."""
    for names in ((before.stem, after.stem), (before.resolve().parent.name, after.resolve().parent.name)):
        if names[0] != names[1]:
            return names
    return "before", "after"


def _show(compared: Comparison) -> None:
    from rewardkit.cli.tables import echo_table

    before, after = compared.names
    typer.echo(compared.verdict)
    typer.echo(compared.pairing)
    echo_table(
        ("reward", "pairs", "wins", "ties", "win rate (95 %)", before, after, "change (95 %)"),
        [_change_cells(change) for change in (compared.total, *compared.parts)],
        right=("pairs", "wins", "ties", before, after),
    )
    if compared.worst:
        typer.echo("worst regressions")
        echo_table(
            ("change", before, after, "video", "prompt"),
            [
                (
                    f"{pair.difference:+.4f}",
                    f"{pair.before:.4f}",
                    f"{pair.after:.4f}",
                    pair.after_path,
                    pair.prompt or "",
                )
                for pair in compared.worst
            ],
            right=("change", before, after),
        )


def _change_cells(change: Change) -> tuple[str, ...]:
    def between(interval: Interval | None, form: str) -> str:
        return "" if interval is None else f" ({interval[0]:{form}} to {interval[1]:{form}})"

    return (
        change.name,
        str(change.pairs),
        str(change.wins),
        str(change.ties),
        f"{change.win_rate:.0%}{between(change.win_rate_interval, '.0%')}",
        f"{change.mean_before:.4f}",
        f"{change.mean_after:.4f}",
        f"{change.difference:+.4f}{between(change.difference_interval, '+.4f')}",
    )
