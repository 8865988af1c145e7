"""Scoring files the way all benchmarks do: rows on disk, failed ones tried again, and each row by its file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rewardkit.bench.suites import Suite
from rewardkit.reducers.reward import Reward
from rewardkit.scoring.altering import Alteration
from rewardkit.scoring.folder import Progress, score_folder
from rewardkit.scoring.rows import ScoreRow


def score_files(
    files: Sequence[Path],
    prompts: Mapping[Path, str],
    reward: Reward,
    out: Path,
    suite: Suite,
    alter: Alteration | None = None,
    progress: Progress | None = None,
) -> dict[Path, ScoreRow]:
    """The row of every file, in their order; rows in `out` are not made again, but for those that failed.

    Args:
        files: absolute paths.
        prompts: of those that have one.
        reward, out, alter, progress: see `score_folder`.
        suite: whose seed, device and precision count.
    """
    table = score_folder(
        files,
        reward,
        prompts={str(file): prompt for file, prompt in prompts.items()},
        out=out,
        retry_failed=True,
        seed=suite.seed,
        device=suite.device,
        dtype=suite.dtype,
        alter=alter,
        progress=progress,
    )
    found = {Path(os.path.abspath(row.path)): row for row in table}
    return {file: found[file] for file in files}
