"""Options that more than one command has."""

from __future__ import annotations

from typing import Annotated

import typer


def complete_reward(incomplete: str) -> list[str]:
    """Names of rewards that start like this; reads entry points, imports no reward."""
    from rewardkit.registry import REWARDS

    return REWARDS.names(f"{incomplete}*")


def complete_backbone(incomplete: str) -> list[str]:
    """Names of backbones that start like this; imports none."""
    from rewardkit.registry import BACKBONES

    return BACKBONES.names(f"{incomplete}*")


AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]
