"""Scoring in this process: threads decode, and the reward is here."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence

from rewardkit.device import choose_device
from rewardkit.reducers.reward import Reward
from rewardkit.scoring.counters import Counters
from rewardkit.scoring.decoding import KeyedItem, Waiting
from rewardkit.scoring.engines import ScoreOptions, ScoringEngine
from rewardkit.scoring.pipeline import score_items
from rewardkit.scoring.rows import ScoreRow

MOST_WORKERS = 8


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
