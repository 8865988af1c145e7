"""A reward as DDPO's kin call it: ddpo-pytorch, flow_grpo, DanceGRPO."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from rewardkit.reducers.reward import Reward
from rewardkit.reducers.trainers.films import FILMS_AT_ONCE, as_films, score_films

Scores = Float[np.ndarray, " film"]
DdpoFunction = Callable[..., tuple[Scores, dict[str, Scores]]]


def ddpo_function(reward: Reward, films_at_once: int = FILMS_AT_ONCE) -> DdpoFunction:
    """See `Reward.as_ddpo`."""

    def score(
        films: object, prompts: Sequence[str] | None = None, metadata: object = None
    ) -> tuple[Scores, dict[str, Scores]]:
        del metadata  # part of the convention; a reward sees pixels and prompts alone
        scores, parts = score_films(reward, as_films(films), prompts, films_at_once)
        return scores.numpy(), {name: part.numpy() for name, part in parts.items()}

    return score
