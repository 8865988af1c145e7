"""Video rewards from one line: `0.7*hpsv2.1[frames=segments:4;reduce=min] + 0.3*flicker`."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping
from typing import NamedTuple

from rewardkit.device import choose_device, choose_dtype
from rewardkit.errors import UsageError
from rewardkit.reducers.aggregation import Aggregation
from rewardkit.reducers.attenuation import FrameWeights
from rewardkit.reducers.normalisation import SCALES, Normalised, Scale
from rewardkit.reducers.reward import Reward
from rewardkit.reducers.sampling import FrameSampler
from rewardkit.reducers.video_reward import TemporalVideoReward, VideoReward
from rewardkit.reducers.weighted_sum import WeightedSum
from rewardkit.registry import REWARDS
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.catalog import create_model, reward_info
from rewardkit.rewards.interface import ImageReward, TemporalReward
from rewardkit.rewards.release import setting_names
from rewardkit.spec import check_line, parse_part

TERM = re.compile(
    r"""\s* (?: (?P<coefficient> [-+]? (?: \d+ (?: \.\d* )? | \.\d+ ) (?: [eE]-?\d+ )? ) \s* \* \s* )?
        (?P<name> [^\[\]*\s] (?: [^\[\]*]* [^\[\]*\s] )? ) (?: \s* \[ (?P<options> [^\[\]]* ) \] )? \s*""",
    re.VERBOSE,
)
OPTIONS = ("frames", "weights", "reduce", "normalise")


def create_reward(
    reward: str | Reward | ImageReward | TemporalReward,
    frames: FrameSampler | str | None = None,
    weights: FrameWeights | str | None = None,
    reduce: Aggregation | str | None = None,
    normalise: Scale | str | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> Reward:
    """The video reward that a line describes.

    A line is one reward or a weighted sum of rewards; a name is a registered reward, `module:Attribute` or
    `file.py:Attribute`. What stands in a reward's brackets goes before the arguments given here; beside the choices
    below that can be any setting of the reward itself: `hpsv2.1[checkpoint=my.pt;preprocess=diff]`. `frames`, `weights`
    and `reduce` are for image rewards; a reward that judges videos as a whole has only `frames`, and inside a sum
    with image rewards it keeps its own unless its brackets say otherwise.

    Args:
        reward: the line, or a reward or reward model made by hand.
        frames: which frames, default as the reward's card says (mostly `uniform:8`).
        weights: how much each frame counts, default `equal`.
        reduce: how frames become one number, default `mean`.
        normalise: `fixed:MEAN,STD` or `running`; default none.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        dtype: precision of the reward models' weights.

    Raises:
        UnknownNameError: no reward, sampler, weighting or aggregation of that name, with suggestions.
        UsageError: the line cannot be read, or its choices do not fit together.
        MissingWeightsError: weights are not on this machine and cannot be fetched.
        BadCheckpointError: a file holds something else than the weights it should.

    Example:
        `create_reward("hpsv2.1", frames="segments:4", weights="attenuate:1.0")` is InstructVideo's reward.
    """
    given: dict[str, object] = {"frames": frames, "weights": weights, "reduce": reduce, "normalise": normalise}
    chosen = {key: value for key, value in given.items() if value is not None}
    if isinstance(reward, Reward):
        if chosen:
            raise UsageError(f"{reward.spec} is put together already: {', '.join(chosen)} cannot be changed")
        return _moved(reward, device, dtype)
    if isinstance(reward, ImageReward | TemporalReward):
        return _moved(_assemble(reward, chosen), device, dtype)
    terms = [_parse_term(text) for text in _split_terms(reward)]
    different = {term.model: term for term in terms}  # one that stands twice is loaded once
    models = {key: create_model(term.name, device, dtype, dict(term.settings)) for key, term in different.items()}
    mixed = len({isinstance(model, ImageReward) for model in models.values()}) == 2
    rewards = []
    for term in terms:
        model = models[term.model]
        for_all = {"normalise": normalise} if normalise is not None else {}
        defaults = for_all if mixed and isinstance(model, TemporalReward) else chosen
        rewards.append((term.coefficient, _assemble(model, {**defaults, **term.choices})))
    if len(rewards) == 1 and rewards[0][0] == 1:
        return rewards[0][1]
    return WeightedSum(rewards)


def _moved(reward: Reward, device: str, dtype: str) -> Reward:
    """A reward made by hand, on the device and in the precision asked for; `auto` leaves it as it is."""
    if device != "auto":
        reward.to(choose_device(device))
    if dtype != "auto":
        for model in reward.models():
            model.to(choose_dtype(dtype))
    return reward


def named_cards(line: str) -> list[RewardCard]:
    """The cards of the rewards that a line names; loads no weights.

    Raises:
        UnknownNameError, UsageError: as `create_reward`.
    """
    return [reward_info(_parse_term(text).name) for text in _split_terms(line)]


def _assemble(model: ImageReward | TemporalReward, chosen: dict[str, object]) -> Reward:
    choices = dict(chosen)
    scale = choices.pop("normalise", None)
    if isinstance(model, TemporalReward):
        unusable = sorted(choices.keys() - {"frames"})
        if unusable:
            raise UsageError(f"{model.card.name} judges frames together: it has no {' or '.join(unusable)}")
    leaf = VideoReward if isinstance(model, ImageReward) else TemporalVideoReward
    reward: Reward = leaf(model, **choices)  # type: ignore[arg-type]
    return reward if scale is None else Normalised(reward, parse_part(Scale, scale, SCALES))  # type: ignore[arg-type]


class Term(NamedTuple):
    """One reward of a line.

    Attributes:
        choices: how frames are chosen and put together.
        settings: what the reward model itself is built with.
    """

    coefficient: float
    name: str
    choices: Mapping[str, str]
    settings: tuple[tuple[str, str], ...]

    @property
    def model(self) -> Hashable:
        """What tells one reward model from another."""
        return self.name, self.settings


def _parse_term(text: str) -> Term:
    match = TERM.fullmatch(text)
    if match is None:
        raise UsageError(
            f"cannot read the reward {text.strip()!r}: write a name such as technical, 0.7*technical, "
            "or technical[frames=segments:4;reduce=min]"
        )
    name, choices, settings = match["name"], dict[str, str](), dict[str, str]()
    known = setting_names(REWARDS.load(name)) if match["options"] else []
    for option in filter(str.strip, (match["options"] or "").split(";")):
        key, _, value = (word.strip() for word in option.partition("="))
        if key not in (*OPTIONS, *known) or not value:
            raise UsageError(
                f"{name} cannot read {option.strip()!r}: options are {', '.join([*OPTIONS, *known])}, as key=value"
            )
        (choices if key in OPTIONS else settings)[key] = value
    coefficient = float(match["coefficient"] or 1)
    if not math.isfinite(coefficient):
        raise UsageError(f"{name} cannot count {match['coefficient']} times: the number is too large")
    return Term(coefficient, name, choices, tuple(sorted(settings.items())))


def _split_terms(line: str) -> list[str]:
    """The terms of a sum. Names may hold a minus, so a difference needs spaces around it: `a - 0.5*b`."""
    check_line(line)
    marked = re.sub(r"\s-\s+(\d|\.)", r" + -\1", line)
    marked = re.sub(r"\s-\s+", " + -1*", marked)
    return re.split(r"\+(?![^\[]*\])", marked)
