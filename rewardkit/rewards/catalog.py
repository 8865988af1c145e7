"""The rewards there are: listed, described and created by name."""

from __future__ import annotations

from rewardkit.device import choose_device, choose_dtype
from rewardkit.errors import RewardkitError, UsageError
from rewardkit.registry import REWARDS
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward, TemporalReward


def list_rewards(pattern: str = "*") -> list[str]:
    """Names of the installed rewards that match a shell pattern such as `*hps*`, sorted."""
    return REWARDS.names(pattern)


def reward_info(name: str) -> RewardCard:
    """The card of a reward: source, licences, score range, prompt limit, differentiable, ... Loads no weights.

    Raises:
        UnknownNameError: no reward of that name, with suggestions.
    """
    card = getattr(REWARDS.load(name), "card", None)
    if not isinstance(card, RewardCard):
        raise UsageError(f"{name} says nothing of itself: give it `card = RewardCard(name=..., needs_prompt=...)`")
    return card


def create_model(name: str, device: str = "auto", dtype: str = "auto") -> ImageReward | TemporalReward:
    """The reward model called `name`, frozen, on its device.

    Raises:
        UnknownNameError: no reward of that name, with suggestions.
        UsageError: the name stands for something that is not a reward model, or cannot be built.
    """
    reward_info(name)
    build = REWARDS.load(name)
    if not callable(build):
        raise UsageError(f"{name} is a {type(build).__name__}; expected a class or function that gives a reward model")
    try:
        model: object = build()
    except RewardkitError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"cannot build {name}: {type(error).__name__}: {error}") from error
    if not isinstance(model, ImageReward | TemporalReward):
        raise UsageError(f"{name} gives a {type(model).__name__}; expected an ImageReward or a TemporalReward")
    model.to(device=choose_device(device), dtype=choose_dtype(dtype))
    model.freeze()
    return model


def create_image_reward(name: str, device: str = "auto", dtype: str = "auto") -> ImageReward:
    """The image reward called `name`: pictures (n, 3, h, w) and n prompts in, n scores out.

    Raises:
        UnknownNameError: no reward of that name, with suggestions.
        UsageError: the reward judges whole videos; `create_reward` makes those.
    """
    model = create_model(name, device, dtype)
    if not isinstance(model, ImageReward):
        raise UsageError(f"{name} judges frames together, not pictures: use create_reward({name!r})")
    return model
