"""Backbones and folders under the same prompts and seeds: their films, and what rewards say of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import rewardkit.miniworld
from rewardkit.bench.films.filming import Cost, FilmSet, Key, make_films, read_cost, read_films
from rewardkit.bench.films.scores import DIVERSITY, FilmScores, by_prompt, film_diversity, score_films
from rewardkit.bench.result import ShownFilm
from rewardkit.bench.slugs import slug
from rewardkit.bench.suites import BUNDLED, Entry, Films, Suite
from rewardkit.engine.create import create_backbone
from rewardkit.engine.lora import FILE, load_lora
from rewardkit.errors import RewardFailedError, UsageError
from rewardkit.reducers.create import create_reward

Shown = Callable[[str, int, int, str], None]
"""Is told what is being done, how much of how much, and a note."""
Values = dict[str, float]
"""A number a prompt, the mean over its films."""


@dataclass
class Judged:
    """Films of one entry, what they cost, and their scores by reward."""

    films: FilmSet
    cost: Cost
    scores: dict[str, FilmScores] = field(default_factory=dict)

    def measures(self, prompts: Sequence[str]) -> dict[str, Values]:
        """A number a prompt of every reward, and of diversity where a prompt has several films."""
        found = {name: by_prompt(one.values, prompts) for name, one in self.scores.items()}
        apart = by_prompt(film_diversity(self.films, set(prompts)), prompts)
        return {**found, DIVERSITY: apart} if apart else found

    def shown(self, label: str, key: Key, first: str, out: Path) -> ShownFilm | None:
        """The film of a prompt and seed, with the curve of the `first` reward; None where there is none."""
        path = next((path for path, known in self.films.keys.items() if known == key), None)
        if path is None:
            return None
        rows = {name: of.rows[key] for name, of in self.scores.items() if key in of.rows}
        row = rows.get(first)
        return ShownFilm(
            label=label,
            path=os.path.relpath(path, os.path.abspath(out)),
            scores={name: row.score for name, row in rows.items() if row.score is not None},
            curve=list(zip(row.frame_index or [], row.per_frame or [], strict=False)) if row else [],
        )


def judge_entries(
    entries: Sequence[Entry],
    prompts: Sequence[str],
    films: Films,
    rewards: Sequence[str],
    suite: Suite,
    out: Path,
    show: Shown,
) -> dict[str, Judged]:
    """Films and scores of all entries by name; what is in `out` already is not made again.

    Raises:
        UsageError: a folder that has no film of these prompts, or films in `out` that were made otherwise.
        RewardFailedError: nothing has a score.
    """
    found: dict[str, Judged] = {}
    for number, entry in enumerate(entries):
        total = len(prompts) * len(films.film_seeds)

        def note(done: int, of: int, number: int = number, entry: Entry = entry, total: int = total) -> None:
            show("films", number * total + done, len(entries) * total, entry.name)

        found[entry.name] = _filmed(entry, prompts, films, suite, out / "films" / slug(entry.name), note)
    for number, name in enumerate(rewards):
        reward = create_reward(name, device=suite.device, dtype=suite.dtype)
        for place, (entry_name, judged) in enumerate(found.items()):
            show("scores", number * len(found) + place, len(rewards) * len(found), f"{name}, {entry_name}")
            rows = out / "scores" / slug(entry_name) / f"{slug(name)}.jsonl"
            judged.scores[name] = score_films(judged.films, reward, rows, suite, set(prompts))
    told = failures(found)
    if told and not any(scores.rows for judged in found.values() for scores in judged.scores.values()):
        raise RewardFailedError(f"no film has a score; {told[0]}")
    return found


def _filmed(
    entry: Entry, prompts: Sequence[str], films: Films, suite: Suite, folder: Path, note: Callable[[int, int], None]
) -> Judged:
    if entry.folder is not None:
        there = read_films(entry.manifest or entry.folder / "prompts.csv")
        if not {prompt for prompt, _ in there.keys.values()} & set(prompts):
            raise UsageError(f"{entry.folder} has no film of the {len(prompts)} prompts, such as {prompts[0]!r}")
        return Judged(there, Cost())
    assert entry.backbone is not None
    generator = create_backbone(entry.backbone, entry.model, suite.device, entry.dtype, entry.memory)
    lora = _bundled() if entry.lora == BUNDLED else entry.lora
    if lora is not None:
        load_lora(generator, lora)
    made_by = entry.model_dump(mode="json", include={"backbone", "model", "dtype", "lora_strength", "guidance"})
    made = make_films(
        generator,
        prompts,
        films,
        folder,
        made_by | {"lora": None if lora is None else _digest(lora)},
        lora_strength=entry.lora_strength,
        guidance=entry.guidance,
        progress=note,
    )
    return Judged(made, read_cost(folder))


def _bundled() -> Path:
    return Path(rewardkit.miniworld.__file__).parent / "weights" / "lora"


def _digest(lora: Path) -> str:
    path = lora / FILE if lora.is_dir() else lora
    return hashlib.sha256(path.read_bytes()).hexdigest()


def failures(judged: Mapping[str, Judged]) -> list[str]:
    """A sentence for every entry and reward that left films without a score."""
    return [
        f"{name} failed on {len(scores.failed)} of {len(scores.failed) + len(scores.rows)} films of {entry}, which are "
        f"left out: {scores.failed[0]}"
        for entry, one in judged.items()
        for name, scores in one.scores.items()
        if scores.failed
    ]


def missing(judged: Mapping[str, Judged], prompts: Sequence[str]) -> list[str]:
    """A sentence for every entry that has no film of some prompts."""
    told = []
    for entry, one in judged.items():
        there = {prompt for prompt, _ in one.films.keys.values()}
        lacking = [prompt for prompt in prompts if prompt not in there]
        if lacking:
            told.append(f"{entry} has no film of {len(lacking)} of {len(prompts)} prompts, such as {lacking[0]!r}")
    return told
