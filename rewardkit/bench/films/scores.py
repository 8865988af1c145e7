"""Scores of films by prompt and seed: their means with intervals over prompts, and differences film by film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float

from rewardkit.bench.films.filming import FilmSet, Key
from rewardkit.bench.pages.thumbnails import spread_over
from rewardkit.bench.result import Estimate
from rewardkit.bench.scoring import score_files
from rewardkit.bench.suites import Suite
from rewardkit.errors import BadInputError
from rewardkit.reducers.reward import Reward
from rewardkit.scoring.bootstrap import bootstrap_interval
from rewardkit.scoring.change import Change, measure_change, win_rate_interval
from rewardkit.scoring.rows import ScoreRow
from rewardkit.video import open_video

DIVERSITY = "diversity"
_FRAMES = 8  # of each film, by which films of one prompt are told apart


@dataclass
class FilmScores:
    """Of one set of films by one reward.

    Attributes:
        rows: those with a score, by prompt and seed.
        failed: sentences of the others.
    """

    rows: dict[Key, ScoreRow] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @property
    def values(self) -> dict[Key, float]:
        """The scores."""
        return {key: row.score for key, row in self.rows.items() if row.score is not None}


def score_films(films: FilmSet, reward: Reward, out: Path, suite: Suite) -> FilmScores:
    """Scores of all films; rows in `out` are not made again, but for those that failed."""
    prompts = {path: prompt for path, (prompt, _) in films.keys.items()}
    found = FilmScores()
    for path, row in score_files(list(prompts), prompts, reward, out, suite).items():
        if row.score is None:
            found.failed.append(row.error or f"{row.path}: no score")
        else:
            found.rows[films.keys[path]] = row
    return found


def film_diversity(films: FilmSet) -> dict[str, float]:
    """Mean absolute difference between films of one prompt, by prompt, RGB in [0, 1].

    Prompts with a single film, and those whose films differ in shape, are not there.
    """
    by_prompt: dict[str, list[Path]] = {}
    for path, (prompt, _) in films.keys.items():
        by_prompt.setdefault(prompt, []).append(path)
    found: dict[str, float] = {}
    for prompt, paths in by_prompt.items():
        made = [film for path in paths if (film := _some_frames(path)) is not None]
        if len(made) > 1 and len({film.shape for film in made}) == 1:
            found[prompt] = float(np.mean([np.abs(a - b).mean() for a, b in combinations(made, 2)])) / 255
    return found


def _some_frames(path: Path) -> Float[np.ndarray, "frame 3 height width"] | None:
    """None of a film that cannot be read, as its rows say."""
    try:
        with open_video(path) as video:
            numbers = spread_over(range(video.info.num_frames), _FRAMES)
            return video.read(numbers).numpy().astype(np.float32)
    except BadInputError:
        return None


def by_prompt(values: Mapping[Key, float], prompts: Sequence[str]) -> dict[str, float]:
    """Mean over seeds of every one of these prompts that has a number."""
    found: dict[str, list[float]] = {}
    for (prompt, _), value in values.items():
        found.setdefault(prompt, []).append(value)
    return {prompt: float(np.mean(found[prompt])) for prompt in prompts if prompt in found}


def mean_of(values: Mapping[str, float], seed: int, is_share: bool = False) -> Estimate | None:
    """The mean over prompts with its interval, that of a share also where it is none or all; None of nothing."""
    if not values:
        return None
    numbers = np.array(list(values.values()))
    mean = Estimate.within(float(numbers.mean()), bootstrap_interval(numbers, seed=seed), len(numbers))
    return bounded(mean, len(numbers)) if is_share else mean


def bounded(share: Estimate | None, count: int) -> Estimate | None:
    """With an interval also where no resample ever differs: all or none of so many; Wilson's."""
    if share is None or share.value not in (0, 1):
        return share
    all_of_them = round(share.value)
    low, high = win_rate_interval(count * all_of_them, 0, count * (1 - all_of_them)) or (None, None)
    return share.model_copy(update={"low": low, "high": high})


def change_of(name: str, before: Mapping[str, float], after: Mapping[str, float], seed: int) -> Change | None:
    """From one to the other over the prompts that both have; None where they share none."""
    pairs = [(before[prompt], after[prompt]) for prompt in before if prompt in after]
    return measure_change(name, pairs, float, seed) if pairs else None


def difference_in(change: Change | None) -> Estimate | None:
    """The mean difference of a change, with its interval."""
    return None if change is None else Estimate.within(change.difference, change.difference_interval, change.pairs)


def win_rate_in(change: Change) -> Estimate:
    """The share of prompts won, a tie counting half, with its interval."""
    return Estimate.within(change.win_rate, change.win_rate_interval, change.pairs)


def averaged(sets: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean over sets of the prompts that all of them have."""
    shared = [prompt for prompt in sets[0] if all(prompt in one for one in sets)]
    return {prompt: float(np.mean([one[prompt] for one in sets])) for prompt in shared}
