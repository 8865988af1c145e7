"""Video rewards: a sampler, a reward model and a reducer put together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from rewardkit.errors import RewardFailedError, UsageError
from rewardkit.pixels import as_float
from rewardkit.reducers.aggregation import AGGREGATIONS, Aggregation
from rewardkit.reducers.attenuation import WEIGHTS, FrameWeights
from rewardkit.reducers.plan import FramePlan
from rewardkit.reducers.reward import Reward, RewardDetail
from rewardkit.reducers.sampling import SAMPLERS, FrameSampler
from rewardkit.rewards.interface import FrozenModel, ImageReward, TemporalReward
from rewardkit.spec import parse_part


class VideoReward(Reward):
    """An image reward over the frames that `frames` chooses, each weighted by `weights`, put together by `reduce`.

    Example:
        `VideoReward(img, frames=Segments(4), weights=Attenuate(1.0), reduce=Mean())` is InstructVideo's reward.
    """

    def __init__(
        self,
        image_reward: ImageReward,
        frames: FrameSampler | str | None = None,
        weights: FrameWeights | str = "equal",
        reduce: Aggregation | str = "mean",
    ) -> None:
        super().__init__()
        image_reward.freeze()
        self.image_reward = image_reward
        self.frames = parse_part(FrameSampler, image_reward.card.frames if frames is None else frames, SAMPLERS)
        self.weights = parse_part(FrameWeights, weights, WEIGHTS)
        self.reduce = parse_part(Aggregation, reduce, AGGREGATIONS)
        if str(self.weights) != "equal" and not self.reduce.uses_weights:
            raise UsageError(
                f"{self.reduce} cannot use frame weights: "
                "take weights='equal', or reduce by mean, softmin or logmeanexp"
            )

    @property
    def name(self) -> str:
        """The image reward's name."""
        return self.image_reward.card.name

    @property
    def spec(self) -> str:
        """`name[frames=...;weights=...;reduce=...]`, without what is default."""
        return spec_with(self.image_reward, frames=self.frames, weights=self.weights, reduce=self.reduce)

    def models(self) -> list[FrozenModel]:
        """The image reward."""
        return [self.image_reward]

    def plan_one(self, num_frames: int, generator: torch.Generator) -> FramePlan:
        """What the sampler chooses."""
        return FramePlan(self.frames.indices(num_frames, generator)[None], torch.tensor([num_frames]))

    def judge(
        self,
        frames: Shaped[Tensor, "batch planned 3 height width"],
        prompts: Sequence[str] | None,
        plan: FramePlan,
        batch_size: int | None,
    ) -> RewardDetail:
        """Scores every planned frame, then reduces."""
        batch, count = frames.shape[:2]
        images = frames.flatten(0, 1)
        texts = [prompt for prompt in prompts for _ in range(count)] if prompts is not None else None
        step = batch_size or len(images)
        scored = [
            checked(self.image_reward, images[i : i + step], texts[i : i + step] if texts is not None else None)
            for i in range(0, len(images), step)
        ]
        per_frame = torch.cat(scored).view(batch, count)
        weights = self.weights.weights(plan.index, plan.num_frames).to(per_frame)
        score, preprocess = self.reduce.reduce(per_frame, weights), self.image_reward.preprocess_of(images)
        return RewardDetail(score, plan.index, per_frame, weights, preprocess=preprocess)


class TemporalVideoReward(Reward):
    """A reward model that judges the frames that `frames` chooses together."""

    def __init__(self, temporal_reward: TemporalReward, frames: FrameSampler | str | None = None) -> None:
        super().__init__()
        temporal_reward.freeze()
        self.temporal_reward = temporal_reward
        self.frames = parse_part(FrameSampler, temporal_reward.card.frames if frames is None else frames, SAMPLERS)

    @property
    def name(self) -> str:
        """The reward model's name."""
        return self.temporal_reward.card.name

    @property
    def spec(self) -> str:
        """`name[frames=...]`, without what is default."""
        return spec_with(self.temporal_reward, frames=self.frames)

    def models(self) -> list[FrozenModel]:
        """The reward model."""
        return [self.temporal_reward]

    def plan_one(self, num_frames: int, generator: torch.Generator) -> FramePlan:
        """What the sampler chooses."""
        return FramePlan(self.frames.indices(num_frames, generator)[None], torch.tensor([num_frames]))

    def judge(
        self,
        frames: Shaped[Tensor, "batch planned 3 height width"],
        prompts: Sequence[str] | None,
        plan: FramePlan,
        batch_size: int | None,
    ) -> RewardDetail:
        """Scores the planned frames of each video together."""
        step = max(1, (batch_size or frames.shape[0] * frames.shape[1]) // frames.shape[1])
        scored = [
            checked(
                self.temporal_reward,
                frames[i : i + step],
                prompts[i : i + step] if prompts is not None else None,
            )
            for i in range(0, len(frames), step)
        ]
        preprocess = self.temporal_reward.preprocess_of(frames)
        return RewardDetail(torch.cat(scored), plan.index, preprocess=preprocess)


def checked(
    model: ImageReward | TemporalReward,
    pixels: Shaped[Tensor, "item ... 3 height width"],
    prompts: Sequence[str] | None,
) -> Float[Tensor, " item"]:
    """What `model` gives for `pixels`, refused unless it is one number an item."""
    scores: object = model(pixels if model.takes_bytes else as_float(pixels), prompts)
    if not isinstance(scores, Tensor) or scores.shape != pixels.shape[:1] or not scores.is_floating_point():
        got = f"{scores.dtype} of shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise RewardFailedError(f"{model.card.name} must give {len(pixels)} numbers, one an item: it gave {got}")
    return as_float(scores)


def spec_with(model: FrozenModel, **choices: object) -> str:
    """The spec of a reward: its name, and in brackets every setting and every choice that is not the default.

    Files are not in it: what they hold is in the weights' sha256.
    """
    defaults = {"frames": model.card.frames, "weights": "equal", "reduce": "mean"}
    words = [f"{key}={value}" for key, value in model.settings.items()]
    words += [f"{key}={choice}" for key, choice in choices.items() if str(choice) != defaults[key]]
    return f"{model.card.name}[{';'.join(words)}]" if words else model.card.name
