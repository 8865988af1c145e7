"""The best film of each prompt, among those of several seeds that lie in a folder."""

from __future__ import annotations

import csv
from pathlib import Path

from rewardkit.bench.films.filming import read_films
from rewardkit.errors import RewardFailedError
from rewardkit.files import replacing
from rewardkit.reducers.reward import Reward
from rewardkit.scoring.folder import score_folder

SCORES, BEST = "scores.jsonl", "best.csv"


def write_best(manifest: Path, reward: Reward, overwrite: bool = False) -> Path:
    """Scores the films of a manifest into `scores.jsonl` beside it, and writes a manifest of the best of each prompt.

    Rows that are there already are not made again unless told to `overwrite` them. Of equal films the first counts.

    Raises:
        OutputError: the rows are another reward's.
        RewardFailedError: a film has no score, so that nobody knows whether it is the best.
    """
    films = read_films(manifest)
    table = score_folder(
        list(films.keys), reward, prompts=manifest, out=manifest.with_name(SCORES), overwrite=overwrite
    )
    best: dict[str, tuple[float, str, str]] = {}
    for row in table:
        prompt, seed = films.keys[Path(row.path).absolute()]
        if row.score is None:
            raise RewardFailedError(f"{row.path} has no score: {row.error}")
        if prompt not in best or row.score > best[prompt][0]:
            best[prompt] = (row.score, Path(row.path).name, seed)
    path = manifest.with_name(BEST)
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "prompt", "seed", "score"))
        writer.writerows((name, prompt, seed, score) for prompt, (score, name, seed) in best.items())
    return path
