"""What a benchmark of rewards scores, and what it got."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rewardkit.bench.result import ShownFilm
from rewardkit.bench.rewards.labels import Preference
from rewardkit.bench.suites import RewardsSuite
from rewardkit.scoring.rows import ScoreRow

AS_IS, COPIED, CODED = "as is", "copied", "crf "
"""The videos themselves, and their decoded copies, which are what is spoiled; random samplers draw by a file's name."""


@dataclass(frozen=True)
class Videos:
    """What is scored.

    Attributes:
        sets: videos of each set, as absolute paths.
        prompts: of every video that has one.
        ratings, preferences: what people said.
        labels: whose word that is.
        tried: those that are spoiled and read otherwise.
        pairs: of two sets to compare, videos of one prompt; with what pairs them, in a word.
        left_out: what of the suite is used nowhere, a sentence each.
    """

    sets: Mapping[str, Sequence[Path]]
    prompts: Mapping[Path, str]
    ratings: Mapping[Path, float]
    preferences: Sequence[Preference]
    labels: str
    tried: Sequence[Path]
    pairs: Sequence[tuple[Path, Path]]
    paired_by: str
    left_out: Sequence[str]

    @property
    def all(self) -> list[Path]:
        """Every video."""
        return list(dict.fromkeys(path for paths in self.sets.values() for path in paths))

    def cluster(self, path: Path) -> str:
        """What belongs together: videos of one prompt; one without a prompt stands alone."""
        return self.prompts.get(path) or str(path)


@dataclass
class Scores:
    """Of one reward.

    Attributes:
        rows: by what was done to the videos, then by video; failed ones are not among them.
        failed: by what was done: sentences of failed rows.
        peak_bytes: of memory while it was loaded and scored; None where it was not measured.
    """

    rows: dict[str, dict[Path, ScoreRow]] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    peak_bytes: int | None = None

    def values(self, variant: str = AS_IS) -> dict[Path, float]:
        """Score of each video."""
        return {path: row.score for path, row in self.rows.get(variant, {}).items() if row.score is not None}

    def clean(self, variant: str) -> dict[Path, float]:
        """What a variant is compared with: scores of the same files, unspoiled."""
        return self.values(AS_IS if variant.startswith(CODED) else COPIED)


@dataclass(frozen=True)
class Found:
    """All that there is to report on: the suite, its videos, scores by reward, and the folder of the result."""

    suite: RewardsSuite
    videos: Videos
    scores: Mapping[str, Scores]
    out: Path

    def tried(self, clean: Mapping[Path, float], other: Mapping[Path, float]) -> list[Path]:
        """Videos that were read otherwise, with both scores."""
        return [path for path in self.videos.tried if path in clean and path in other]

    def shown(self, reward: str, label: str, path: Path) -> ShownFilm:
        """A video with all its scores, and the curve of one reward."""
        row = self.scores[reward].rows[AS_IS].get(path)
        return ShownFilm(
            label=label,
            path=os.path.relpath(os.path.realpath(path), os.path.realpath(self.out)),
            scores={name: scores[path] for name, one in self.scores.items() if path in (scores := one.values())},
            curve=list(zip(row.frame_index or [], row.per_frame or [], strict=False)) if row else [],
        )
