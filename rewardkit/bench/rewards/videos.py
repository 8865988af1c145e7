"""Which videos a benchmark of rewards is over, what people said of them, and which belong together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from rewardkit.bench.pages.thumbnails import spread_over
from rewardkit.bench.rewards.labels import Preference, read_preferences, read_ratings
from rewardkit.bench.rewards.scores import Videos
from rewardkit.bench.suites import RewardsSuite, VideoSet
from rewardkit.errors import UsageError
from rewardkit.miniworld.clips import write_judged_clips
from rewardkit.scoring.inputs import find_videos
from rewardkit.scoring.pairing import pair_rows
from rewardkit.scoring.prompts import attach_prompts
from rewardkit.scoring.rows import ScoreRow
from rewardkit.scoring.verdict import pairing_sentence

MINIWORLD_SETS = (
    VideoSet(name="good", source="good/prompts.csv"),
    VideoSet(name="bad", source="bad/prompts.csv", preferences=Path("preferences.csv"), labels="the truth"),
)


def find_sets(suite: RewardsSuite, out: Path) -> Videos:
    """The videos of a suite and what is known of them; without sets, films of the mini world are drawn into `out`."""
    declared, tried_on = suite.videos, suite.tried_on
    if not declared:
        folder = out / "miniworld"
        if not (folder / "preferences.csv").is_file():  # it is written last
            write_judged_clips(folder)
        declared, tried_on = tuple(one.beside(folder) for one in MINIWORLD_SETS), ("good",)
    sets: dict[str, list[Path]] = {}
    prompts: dict[Path, str] = {}
    left_out: list[str] = []
    for one in declared:
        prompted = attach_prompts(find_videos([one.source]), one.prompts)
        sets[one.name] = [Path(os.path.abspath(item.path)) for item in prompted.items]
        for path, item in zip(sets[one.name], prompted.items, strict=True):
            if item.prompt is not None and prompts.setdefault(path, item.prompt) != item.prompt:
                raise UsageError(f"{path} is in two sets with two prompts: name it once")
        left_out += [item.problem for item in prompted.items if item.problem]
        if prompted.unmatched:
            number, first = len(prompted.unmatched), prompted.unmatched[0]
            left_out.append(f"{number} prompts of {one.prompts} fit no video of {one.name}, such as {first}")
    every = list(dict.fromkeys(path for paths in sets.values() for path in paths))
    if len(every) < 2:
        raise UsageError(f"rewards are compared on 2 videos or more: got {', '.join(map(str, every))}")
    ratings, preferences = _labels(declared, set(every))
    chosen = list(dict.fromkeys(path for name in sets if not tried_on or name in tried_on for path in sets[name]))
    labels = ", ".join(dict.fromkeys(one.labels for one in declared if one.ratings or one.preferences))
    tried = spread_over(chosen, suite.most)
    pairs, by, told = _pairs(suite.compare, sets, prompts) if suite.compare else ([], "", [])
    return Videos(sets, prompts, ratings, preferences, labels, tried, pairs, by, [*left_out, *told])


def _labels(declared: Sequence[VideoSet], videos: Set[Path]) -> tuple[dict[Path, float], list[Preference]]:
    """What people said; twice the same counts once."""
    ratings: dict[Path, float] = {}
    for one in declared:
        for video, rating in read_ratings(one.ratings).items() if one.ratings else ():
            if ratings.setdefault(video, rating) != rating:
                raise UsageError(f"{video} is rated {ratings[video]:g} and {rating:g}")
    files = dict.fromkeys(one.preferences for one in declared if one.preferences)
    preferences = list(dict.fromkeys(pair for path in files for pair in read_preferences(path)))
    judged = [*ratings, *(path for pair in preferences for path in (pair.first, pair.second))]
    strangers = [path for path in judged if path not in videos]
    if strangers:
        raise UsageError(
            f"{len(strangers)} of {len(judged)} videos that people judged are in no set, such as {strangers[0]}"
        )
    return ratings, preferences


def _pairs(
    names: tuple[str, str], sets: Mapping[str, Sequence[Path]], prompts: Mapping[Path, str]
) -> tuple[list[tuple[Path, Path]], str, list[str]]:
    """Videos of two sets that belong together, what tells so, and what was left out."""
    sides = [
        [
            ScoreRow(
                key="",
                path=str(path),
                prompt=prompts.get(path),
                prompt_source="none",
                reward="",
                score=0.0,
                status="ok",
            )
            for path in sets[name]
        ]
        for name in names
    ]
    pairing = pair_rows(*sides)
    left = pairing.unpaired_before + pairing.unpaired_after
    told = [f"of {names[0]} and {names[1]}, {pairing_sentence(pairing, names)}"] if left else []
    noun = "prompt" if pairing.paired_by == "prompt" else "pair"
    return [(Path(before.path), Path(after.path)) for before, after in pairing.pairs], noun, told
