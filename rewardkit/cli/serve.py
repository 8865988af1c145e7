"""`rewardkit serve`."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(
    judge: Annotated[str, typer.Argument(help="A function in a file of yours: FILE.py:FUNCTION.")],
    host: Annotated[
        str, typer.Option(help="Address to listen at; this one is for this machine only, others need REWARDKIT_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8765,
) -> None:
    """Serve a judge of your own over HTTP, for the reward `remote`. Stop it with Ctrl-C."""
    from rewardkit.serving import scorer_server

    raise typer.Exit(scorer_server.serve(judge, host, port))
