"""How the scores of a video's frames become one number.

Spec strings: `mean`, `min`, `max`, `quantile:0.25`, `softmin:0.1`, `logmeanexp:4`, `trimmed:0.1`. All are
differentiable. Only `mean`, `softmin` and `logmeanexp` can use frame weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from pydantic.dataclasses import dataclass
from torch import Tensor

from rewardkit.spec import STRICT_FIELDS, Part


class Aggregation(Part, ABC):
    """Turns frame scores into a video score."""

    kind: ClassVar[str] = "aggregation"

    uses_weights: ClassVar[bool] = False

    @abstractmethod
    def reduce(
        self, scores: Float[Tensor, "batch frame"], weights: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, " batch"]:
        """One number a video, from one score and one positive weight a frame."""


@dataclass(frozen=True, config=STRICT_FIELDS)
class Mean(Aggregation):
    """The mean of weight * score.

    Weights are used as they are: with weights whose mean is 1 this is the weighted mean, with the un-normalised ones
    of InstructVideo it is that paper's reward.

    Source: InstructVideo, arXiv:2312.12490, eq. 8.
    """

    name: ClassVar[str] = "mean"
    uses_weights: ClassVar[bool] = True

    def reduce(
        self, scores: Float[Tensor, "batch frame"], weights: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, " batch"]:
        """sum(weight * score) / number of frames."""
        return (weights * scores).mean(dim=1)


@dataclass(frozen=True, config=STRICT_FIELDS)
class Min(Aggregation):
    """The worst frame's score."""

    name: ClassVar[str] = "min"

    def reduce(
        self, scores: Float[Tensor, "batch frame"], weights: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, " batch"]:
        """The lowest score; its gradient goes to the worst frame, shared where several are equally bad."""
        return scores.amin(dim=1)


@dataclass(frozen=True, config=STRICT_FIELDS)
class Max(Aggregation):
    """The best frame's score."""

    name: ClassVar[str] = "max"

    def reduce(
        self, scores: Float[Tensor, "batch frame"], weights: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, " batch"]:
        """The highest score; its gradient goes to the best frame, shared where several are equally good."""
        return scores.amax(dim=1)


@dataclass(frozen=True, config=STRICT_FIELDS)
class Quantile(Aggregation):
    """The score below which a share `q` of the frames lies, interpolated linearly."""

    name: ClassVar[str] = "quantile"
    q: Annotated[float, Field(ge=0, le=1)]

    def reduce(
        self, scores: Float[Tensor, "batch frame"], weights: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, " batch"]:
        """The q-quantile over frames."""
        return torch.quantile(scores, self.q, dim=1)


@dataclass(frozen=True, config=STRICT_FIELDS)
class TrimmedMean(Aggregation):
    """The mean without the floor(`share` * frames) lowest and as many highest scores."""

    name: ClassVar[str] = "trimmed"
    share: Annotated[float, Field(ge=0, lt=0.5)]

    def reduce(
        self, scores: Float[Tensor, "batch frame"], weights: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, " batch"]:
        """The mean of the middle scores; at least one is left, since share < 1/2."""
        frames = scores.shape[1]
        cut = int(self.share * frames + 1e-9)  # 0.29 * 100 is a hair under 29
        middle = scores.sort(dim=1).values[:, cut : frames - cut].mean(dim=1)
        return torch.where(scores.isnan().any(dim=1), torch.nan, middle)  # sorting would cut a failed frame away


@dataclass(frozen=True, config=STRICT_FIELDS)
class SoftMin(Aggregation):
    """A weighted mean in which a frame's share grows as exp(-score / temperature): a minimum with gradient everywhere.

    Towards temperature 0 it is `min`, towards infinity the weighted mean. `temperature` is in units of the score.
    """

    name: ClassVar[str] = "softmin"
    uses_weights: ClassVar[bool] = True
    temperature: PositiveFloat

    def reduce(
        self, scores: Float[Tensor, "batch frame"], weights: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, " batch"]:
        """sum(share * score), share = softmax(log(weight) - score / temperature)."""
        share = torch.softmax(weights.log() - scores / self.temperature, dim=1)
        return (share * scores).sum(dim=1)


@dataclass(frozen=True, config=STRICT_FIELDS)
class LogMeanExp(Aggregation):
    """log(mean(exp(beta * score))) / beta, the mean being weighted: a smooth maximum, for beta < 0 a smooth minimum.

    `beta` is in units of 1 / score; towards 0 the result is the weighted mean.
    """

    name: ClassVar[str] = "logmeanexp"
    uses_weights: ClassVar[bool] = True
    beta: float

    def __post_init__(self) -> None:
        if self.beta == 0:
            raise ValueError("beta must not be 0; that limit is called mean")

    def reduce(
        self, scores: Float[Tensor, "batch frame"], weights: Float[Tensor, "batch frame"]
    ) -> Float[Tensor, " batch"]:
        """The weighted log-mean-exp, computed without overflow."""
        log_share = torch.log_softmax(weights.log(), dim=1)
        return torch.logsumexp(log_share + self.beta * scores, dim=1) / self.beta


AGGREGATIONS: dict[str, type[Aggregation]] = {
    a.name: a for a in (Mean, Min, Max, Quantile, TrimmedMean, SoftMin, LogMeanExp)
}
