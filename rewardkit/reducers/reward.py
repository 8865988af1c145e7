"""What a video reward is: the interface that single rewards and sums of rewards share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import index
from typing import TYPE_CHECKING, SupportsIndex

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from rewardkit.errors import BadInputError, MissingExtraError
from rewardkit.reducers.plan import FramePlan
from rewardkit.rewards.interface import FrozenModel
from rewardkit.rewards.preprocessing import Way

if TYPE_CHECKING:
    from torchmetrics import Metric

    from rewardkit.reducers.trainers.ddpo import Scores
    from rewardkit.reducers.trainers.trl import Load
    from rewardkit.reducers.weighted_sum import WeightedSum


@dataclass(frozen=True, eq=False)
class RewardDetail:
    """A score and how it came about.

    Attributes:
        score: one number a video.
        frame_index: the frames looked at.
        per_frame: one score a frame, before weights; None where frames are not scored one by one.
        weights: one weight a frame; None where per_frame is None.
        parts: for a sum of rewards, each one's own detail, before its coefficient.
        preprocess: how frames got to the model's size, `exact` (as the official code does) or `diff` (with gradient);
            None where they are judged as they are, and for a sum.
    """

    score: Float[Tensor, " batch"]
    frame_index: Int[Tensor, "batch frame"]
    per_frame: Float[Tensor, "batch frame"] | None = None
    weights: Float[Tensor, "batch frame"] | None = None
    parts: Mapping[str, RewardDetail] = field(default_factory=dict)
    preprocess: Way | None = None

    def cpu(self) -> RewardDetail:
        """The same in main memory, so that reading number by number does not wait for a GPU each time."""
        here = {name: value.cpu() for name, value in vars(self).items() if isinstance(value, Tensor)}
        parts = {name: part.cpu() for name, part in self.parts.items()}
        return replace(self, parts=parts, **here)  # type: ignore[arg-type]


class Reward(nn.Module, ABC):
    """Scores videos: `reward(video, prompts)` gives one number a video, higher is better, with gradient.

    Rewards add up: `0.7 * a + 0.3 * b`.
    """

    @property
    @abstractmethod
    def spec(self) -> str:
        """The reward in one line, as `create_reward` reads it."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name, without the choice of frames and reducer."""

    @abstractmethod
    def models(self) -> list[FrozenModel]:
        """The reward models inside."""

    @abstractmethod
    def plan_one(self, num_frames: int, generator: torch.Generator) -> FramePlan:
        """The frames to decode of one video of `num_frames` frames; `generator`, on the CPU, is that video's own."""

    @abstractmethod
    def judge(
        self,
        frames: Shaped[Tensor, "batch planned 3 height width"],
        prompts: Sequence[str] | None,
        plan: FramePlan,
        batch_size: int | None,
    ) -> RewardDetail:
        """Scores the planned frames; what comes in is checked already. Callers use `detail`."""

    def detail(
        self,
        video: Shaped[Tensor, "batch frame 3 height width"],
        prompts: Sequence[str] | None = None,
        *,
        plan: FramePlan | None = None,
        generator: torch.Generator | None = None,
        batch_size: int | None = None,
    ) -> RewardDetail:
        """Scores with their frames, weights and parts.

        Args:
            video: whole videos, or, with `plan`, exactly the planned frames; float in [0, 1] or uint8. On any device:
                the planned frames go to that of the reward's weights, and the scores come from there.
            prompts: one a video.
            plan: from `self.plan`.
            generator: what random samplers draw from when there is no plan.
            batch_size: pictures given to an image reward at once; None for all.

        Raises:
            BadInputError: wrong shape or range, missing prompts, a video too short for the sampler.
        """
        check_video(self.name, video)
        if prompts is None and self.needs_prompt:
            raise BadInputError(f"{self.name} needs one prompt per video: got none")
        if isinstance(prompts, str):
            raise BadInputError(f"{self.name} needs a list of prompts, one a video: got the text {prompts!r}")
        if prompts is not None and len(prompts) != len(video):
            raise BadInputError(
                f"{self.name} needs one prompt per video: got {len(prompts)} prompts, {len(video)} videos"
            )
        if plan is None:
            plan = self.plan(video.shape[1], len(video), generator)
            video = plan.take(video)
        plan.check(video)
        video = self._brought(video)
        return self.judge(video, prompts, plan.to(video.device), batch_size)

    def plan(
        self, num_frames: SupportsIndex | Sequence[int], batch: int = 1, generator: torch.Generator | None = None
    ) -> FramePlan:
        """The frames to decode of `batch` videos of `num_frames` frames each, or of one video a given length."""
        if isinstance(num_frames, SupportsIndex):
            lengths = [index(num_frames)] * batch
        else:
            lengths = [index(length) for length in num_frames]
        if not lengths or min(lengths) < 1:
            raise BadInputError(f"{self.name} needs videos of at least one frame: got lengths {lengths}")
        where = generator.device if generator is not None else "cpu"
        seeds = torch.randint(2**62, (len(lengths),), generator=generator, device=where).tolist()
        own = [torch.Generator().manual_seed(seed) for seed in seeds]
        return FramePlan.stack([self.plan_one(length, g) for length, g in zip(lengths, own, strict=True)])

    def forward(
        self,
        video: Shaped[Tensor, "batch frame 3 height width"],
        prompts: Sequence[str] | None = None,
        *,
        plan: FramePlan | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, " batch"]:
        """One score a video; see `detail`."""
        return self.detail(video, prompts, plan=plan, generator=generator).score

    @property
    def needs_prompt(self) -> bool:
        """Whether any model inside reads the prompt."""
        return any(model.card.needs_prompt for model in self.models())

    @property
    def differentiable(self) -> bool:
        """Whether gradient flows from the score to the pixels."""
        return all(model.card.differentiable for model in self.models())

    def truncates(self, prompt: str) -> bool:
        """Whether any model inside cuts `prompt`."""
        return any(model.truncates(prompt) for model in self.models())

    def as_trl(self, load: Load | None = None, prompt_column: str = "prompts") -> Callable[..., list[float | None]]:
        """A function for `reward_funcs` of TRL's GRPOTrainer and RLOOTrainer: one score a completion.

        TRL takes an `nn.Module` for a text classifier; this is a plain function, named like the reward. The scores of a
        sum's parts go to its log.

        Args:
            load: makes a film (frame, 3, height, width) of the text of a completion, such as a prompt written anew;
                None where it stands for no film, which TRL then leaves out. Without `load`, completions are paths of
                videos, of which only the planned frames are decoded.
            prompt_column: the column of the dataset that holds what films should show; `prompts` is what the language
                model was asked.
        """
        from rewardkit.reducers.trainers.trl import trl_function

        return trl_function(self, load, prompt_column)

    def as_ddpo(self, films_at_once: int = 8) -> Callable[..., tuple[Scores, dict[str, Scores]]]:
        """A function `(images or videos, prompts, metadata) -> (scores, info)` for ddpo-pytorch, flow_grpo, DanceGRPO.

        Tensors are channels first, in [0, 1] or uint8; arrays channels last; lists may hold pictures, films of several
        lengths, or paths. Both results are float32 arrays; `info` has the scores of a sum's parts. No gradient.
        """
        from rewardkit.reducers.trainers.ddpo import ddpo_function

        return ddpo_function(self, films_at_once)

    def as_metric(self, **options: object) -> Metric:
        """A metric of torchmetrics: `update(films, prompts)`, and `compute()` gives the mean over all processes.

        Args:
            options: of `torchmetrics.Metric`.

        Raises:
            MissingExtraError: torchmetrics is not installed.
        """
        try:
            from rewardkit.reducers.trainers.metric import RewardMetric
        except ModuleNotFoundError as error:
            raise MissingExtraError("as_metric", "torchmetrics", "metrics") from error
        return RewardMetric(self, **options)

    def __mul__(self, coefficient: float) -> WeightedSum:
        from rewardkit.reducers.weighted_sum import WeightedSum

        if not isinstance(coefficient, int | float):
            return NotImplemented
        return WeightedSum([(float(coefficient), self)])

    __rmul__ = __mul__

    def __add__(self, other: Reward) -> Reward:
        from rewardkit.reducers.weighted_sum import WeightedSum

        if not isinstance(other, Reward):
            return NotImplemented
        return WeightedSum([(1.0, self), (1.0, other)])

    def __radd__(self, start: int) -> Reward:
        """`sum([a, b])` starts from 0."""
        return self if isinstance(start, int) and start == 0 else NotImplemented

    def __sub__(self, other: Reward) -> Reward:
        return self + (-1.0) * other

    def _brought(self, pixels: Tensor) -> Tensor:
        """On the device of the weights; for a reward without any, where they are."""
        weights = next(chain(self.parameters(), self.buffers()), None)
        return pixels if weights is None else pixels.to(weights.device)


def check_video(name: str, video: Tensor) -> None:
    """Refuses what is not video: (batch, frame, 3, height, width), float in [0, 1] or uint8."""
    if video.ndim != 5 or video.shape[2] != 3 or 0 in video.shape:
        raise BadInputError(f"{name} needs video as (batch, frame, 3, height, width): got shape {tuple(video.shape)}")
    if video.dtype == torch.uint8:
        return
    if not video.is_floating_point():
        raise BadInputError(f"{name} needs float video in [0, 1] or uint8: got {video.dtype}")
    low, high = (float(edge) for edge in video.detach().aminmax())
    if not (low >= -0.01 and high <= 1.01):  # written so that NaN is refused; decoders overshoot by a little
        raise BadInputError(f"{name} needs pixels in [0, 1]: got {low:.3g} to {high:.3g}; for [-1, 1] give (x + 1) / 2")
