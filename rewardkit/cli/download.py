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
    from rewardkit.rewards.catalog import published_files, reward_files

    files = {name: published_files(name) for name in names}
    missing: list[MissingWeightsError] = []
    for name, published in files.items():
        if not published:
            has = (
                "comes with its weights: there is nothing to fetch" if reward_files(name) else "has no weights to fetch"
            )
            typer.echo(f"{name} {has}", err=True)
        for source in published.values():
            try:
                typer.echo(source.locate(name))
            except MissingWeightsError as error:  # the other files may still come
                missing.append(error)
                typer.secho(f"error: {error}", fg="red", err=True)
    if missing:
        raise typer.Exit(MissingWeightsError.exit_code)
