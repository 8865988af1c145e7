"""`rewardkit serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from rewardkit.cli.options import complete_reward


def serve(
    judge: Annotated[str | None, typer.Argument(help="A function in a file of yours: FILE.py:FUNCTION.")] = None,
    reward: Annotated[
        str | None,
        typer.Option("--reward", "-r", help="Serve this reward instead.", autocompletion=complete_reward),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; this one is for this machine only, others need REWARDKIT_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8765,
    device: Annotated[str, typer.Option(help="Of the reward: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Of the reward's weights: auto, float32, bfloat16, float16.")] = "auto",
) -> None:
    """Serve a reward, or a judge of your own, over HTTP. Stop it with Ctrl-C.

    A judge is for the reward `remote`, in an environment of its own; a reward is for trainers that cannot have
    rewardkit in theirs, with the one file scorer_client.py there.
    """
    from rewardkit.reducers.create import create_reward
    from rewardkit.reducers.trainers.serving import judge_of
    from rewardkit.serving import scorer_server

    if (judge is None) == (reward is None):
        raise typer.BadParameter("give a judge, FILE.py:FUNCTION, or a reward with --reward", param_hint="JUDGE")

    def load(name: str) -> scorer_server.Judge:
        if reward is None:
            return scorer_server.load_judge(name)
        return judge_of(create_reward(name, device=device, dtype=dtype))

    raise typer.Exit(scorer_server.serve(judge or reward or "", host, port, load))
