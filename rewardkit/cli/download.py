"""`rewardkit download`."""

from __future__ import annotations

from typing import Annotated

import typer

from rewardkit.cli.options import complete_reward


def download(
    names: Annotated[list[str], typer.Argument(help="Rewards.", autocompletion=complete_reward)],
) -> None:
    """Fetch the weights of rewards into the hub's cache (HF_HOME), for use without a network later."""
    from rewardkit.errors import MissingWeightsError
    from rewardkit.rewards.catalog import reward_files
    from rewardkit.weights.source import PackageFile

    files = {name: reward_files(name).values() for name in names}
    missing: list[MissingWeightsError] = []
    for name, sources in files.items():
        published = [source for source in sources if not isinstance(source, PackageFile)]
        if not published:
            has = "comes with its weights: there is nothing to fetch" if sources else "has no weights to fetch"
            typer.echo(f"{name} {has}", err=True)
        for source in published:
            try:
                typer.echo(source.locate(name))
            except MissingWeightsError as error:  # the other files may still come
                missing.append(error)
                typer.secho(f"error: {error}", fg="red", err=True)
    if missing:
        raise typer.Exit(MissingWeightsError.exit_code)
