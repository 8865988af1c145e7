"""What an engine of scoring is, and what it is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from rewardkit.limits import Limits
from rewardkit.reducers.reward import Reward
from rewardkit.scoring.altering import Alteration
from rewardkit.scoring.decoding import KeyedItem
from rewardkit.scoring.rows import ScoreRow


@dataclass(frozen=True)
class ScoreOptions:
    """How videos are scored, whatever does it; `score_folder` explains each."""

    seed: int
    batch_size: int | Literal["auto"]
    num_workers: int | Literal["auto"]
    alter: Alteration | None
    limits: Limits


class ScoringEngine(ABC):
    """Scores videos with one reward. Use as a context manager.

    Attributes:
        reward: the reward.
        device: where it runs, in words.
    """

    reward: Reward
    device: str

    @abstractmethod
    def rows(self, items: Sequence[KeyedItem]) -> Iterator[ScoreRow]:
        """One row a video. What goes wrong with a video stands in its row; the others are scored."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lets go of what it needed."""
        return
