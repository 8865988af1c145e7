"""The rewards there are: listed, described and created by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rewardkit.device import choose_device, choose_dtype
from rewardkit.errors import RewardkitError, UsageError
from rewardkit.registry import REWARDS
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward, TemporalReward
from rewardkit.rewards.release import Release, read_settings, setting_names
from rewardkit.weights.filling import Placement
from rewardkit.weights.source import PackageFile, Source


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


def reward_files(name: str) -> dict[str, Source]:
    """The files that a reward needs, by the setting that names another path for each; empty for one without weights.

    Raises:
        UnknownNameError: no reward of that name, with suggestions.
    """
    made = REWARDS.load(name)
    return dict(made.files) if isinstance(made, Release) else {}


def published_files(name: str) -> dict[str, Source]:
    """Those files of a reward that somebody else published: all but what comes with a package.

    Raises:
        UnknownNameError: no reward of that name, with suggestions.
    """
    return {key: source for key, source in reward_files(name).items() if not isinstance(source, PackageFile)}


def reward_settings(name: str) -> list[str]:
    """What can be given to a reward in brackets or to `create_model`: files first.

    Raises:
        UnknownNameError: no reward of that name, with suggestions.
    """
    files = list(reward_files(name))
    return files + [setting for setting in setting_names(REWARDS.load(name)) if setting not in files]


def create_model(
    name: str, device: str = "auto", dtype: str = "auto", settings: Mapping[str, object] | None = None
) -> ImageReward | TemporalReward:
    """The reward model called `name`, frozen, on its device.

    Args:
        name: a registered reward, `module:Attribute` or `file.py:Attribute`.
        device: `auto`, `cpu`, `cuda`, ...
        dtype: precision of the weights; heads and scores stay float32.
        settings: what the reward's own builder takes, such as `checkpoint`, `tokenizer` or `preprocess`.

    Raises:
        UnknownNameError: no reward of that name, with suggestions.
        UsageError: the name stands for something that is not a reward model, or cannot be built so.
        MissingWeightsError: its weights are not on this machine and cannot be fetched.
        BadCheckpointError: a file holds something else than its weights.
    """
    reward_info(name)
    made, given = REWARDS.load(name), dict(settings or {})
    where, precision = choose_device(device), choose_dtype(dtype)
    if isinstance(made, Release):
        model: object = made.load(Placement(where, precision), given)
    else:
        model = _built(name, made, given)
    if not isinstance(model, ImageReward | TemporalReward):
        raise UsageError(f"{name} gives a {type(model).__name__}; expected an ImageReward or a TemporalReward")
    if not isinstance(made, Release):
        model.to(device=where, dtype=precision)
    model.settings = {key: str(value) for key, value in given.items() if key not in reward_files(name)}
    model.freeze()
    return model


def _built(name: str, build: object, settings: dict[str, object]) -> object:
    if not callable(build):
        raise UsageError(f"{name} is a {type(build).__name__}; expected a class or function that gives a reward model")
    read = read_settings(name, build, settings)
    try:
        return build(**read)
    except RewardkitError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"cannot build {name}: {type(error).__name__}: {error}") from error


def create_image_reward(
    name: str,
    checkpoint: str | Path | None = None,
    tokenizer: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    **settings: object,
) -> ImageReward:
    """The image reward called `name`: pictures (n, 3, h, w) and n prompts in, n scores out.

    Args:
        name: a registered reward, `module:Attribute` or `file.py:Attribute`.
        checkpoint: a file of yours instead of the published one.
        tokenizer: a vocabulary of yours instead of the published one, where the reward needs one.
        device: `auto`, `cpu`, `cuda`, ...
        dtype: precision of the weights; heads and scores stay float32.
        settings: what else the reward takes: `preprocess="exact"`, `backbone=...`; `rewardkit info NAME` lists them.

    Raises:
        UnknownNameError: no reward of that name, with suggestions.
        UsageError: the reward judges whole videos; `create_reward` makes those.
        MissingWeightsError, BadCheckpointError: as `create_model`.
    """
    files = {"checkpoint": checkpoint, "tokenizer": tokenizer}
    given = {key: value for key, value in files.items() if value is not None}
    model = create_model(name, device, dtype, {**given, **settings})
    if not isinstance(model, ImageReward):
        raise UsageError(f"{name} judges frames together, not pictures: use create_reward({name!r})")
    return model
