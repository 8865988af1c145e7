"""What does the work of scoring: this process, or Ray."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from rewardkit.device import choose_device
from rewardkit.limits import Limits
from rewardkit.reducers.create import create_reward
from rewardkit.reducers.reward import Reward
from rewardkit.rewards.interface import ImageReward, TemporalReward
from rewardkit.scoring.altering import Alteration
from rewardkit.scoring.config import Engine
from rewardkit.scoring.counters import Counters
from rewardkit.scoring.decoding import KeyedItem, Waiting
from rewardkit.scoring.pipeline import score_items
from rewardkit.scoring.rows import ScoreRow

MOST_WORKERS = 8


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


class LocalEngine(ScoringEngine):
    """This process: threads decode, and the reward is here."""

    def __init__(self, reward: Reward, device: str, options: ScoreOptions, counters: Counters) -> None:
        self._where = choose_device(device)
        self.reward, self.device, self._options = reward.to(self._where), str(self._where), options
        self._waiting: Waiting = deque()
        counters.waiting = self._waiting

    def rows(self, items: Sequence[KeyedItem]) -> Iterator[ScoreRow]:
        """One row a video, in order."""
        options = self._options
        workers = min(MOST_WORKERS, os.cpu_count() or 1) if options.num_workers == "auto" else options.num_workers
        was_training = self.reward.training
        self.reward.eval()  # a running scale must not learn from what it measures
        try:
            yield from score_items(
                items,
                self.reward,
                seed=options.seed,
                batch_size=options.batch_size,
                num_workers=workers,
                device=self._where,
                alter=options.alter,
                limits=options.limits,
                waiting=self._waiting,
            )
        finally:
            self.reward.train(was_training)


def make_engine(
    engine: Engine,
    reward: str | Reward | ImageReward | TemporalReward,
    device: str,
    dtype: str,
    options: ScoreOptions,
    counters: Counters,
    ray_address: str | None = None,
) -> ScoringEngine:
    """The engine called `engine`, with the reward.

    Raises:
        UsageError: a reward, device or dtype that is not there, or a cluster that cannot be reached.
        MissingExtraError: Ray is not installed.
    """
    if engine == "local":
        choose_device(device)
        return LocalEngine(create_reward(reward, device=device, dtype=dtype), device, options, counters)
    from rewardkit.scoring.ray_engine import RayEngine

    return RayEngine(create_reward(reward, device="cpu", dtype=dtype), device, options, ray_address)
