"""Backbones and folders under the same prompts and seeds: their films, and what rewards say of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import rewardkit.miniworld
from rewardkit.bench.films.filming import ALL, Cost, FilmSet, Key, make_films, read_cost, read_films
from rewardkit.bench.films.scores import DIVERSITY, FilmScores, by_prompt, film_diversity, score_films
from rewardkit.bench.names import label, slug
from rewardkit.bench.pages.thumbnails import spread_over
from rewardkit.bench.result import FilmRow, ShownFilm
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
        return {**found, DIVERSITY: self.diversity} if self.diversity else found

    @cached_property
    def diversity(self) -> Values:
        """Of the prompts that have several films; see `film_diversity`."""
        return film_diversity(self.films)

    def shown(self, whose: str, key: Key, first: str, out: Path) -> ShownFilm | None:
        """The film of a prompt and seed, with the curve of the `first` reward; None where there is none."""
        path = next((path for path, known in self.films.keys.items() if known == key), None)
        if path is None:
            return None
        rows = {name: of.rows[key] for name, of in self.scores.items() if key in of.rows}
        row = rows.get(first)
        return ShownFilm(
            label=whose,
            path=os.path.relpath(os.path.realpath(path), os.path.realpath(out)),
            scores={label(name): row.score for name, row in rows.items() if row.score is not None},
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
    wanted = {(prompt, str(seed)) for prompt in prompts for seed in films.film_seeds}
    there = {entry.name: _theirs(entry, wanted) for entry in entries}  # what is missing ends it before anything is made
    for number, entry in enumerate(entries):
        total = len(wanted)

        def note(done: int, of: int, number: int = number, entry: Entry = entry, total: int = total) -> None:
            show("films", number * total + done, len(entries) * total, entry.name)

        own = there[entry.name] or _filmed(entry, prompts, films, suite, out / "films" / slug(entry.name), note)
        found[entry.name] = replace(own, films=own.films.of(wanted))
    for number, name in enumerate(rewards):
        reward = create_reward(name, device=suite.device, dtype=suite.dtype)
        for place, (entry_name, judged) in enumerate(found.items()):
            show("scores", number * len(found) + place, len(rewards) * len(found), f"{name}, {entry_name}")
            rows = out / "scores" / slug(entry_name) / f"{slug(name)}.jsonl"
            judged.scores[name] = score_films(judged.films, reward, rows, suite)
    told = failures(found)
    if told and not any(scores.rows for judged in found.values() for scores in judged.scores.values()):
        raise RewardFailedError(f"no film has a score; {told[0]}")
    return found


def _theirs(entry: Entry, wanted: Set[Key]) -> Judged | None:
    """Films made elsewhere; None of a backbone, whose LoRA must be there."""
    if entry.folder is None:
        if entry.lora not in (None, BUNDLED):
            _check_lora(Path(str(entry.lora)))
        return None
    films = read_films(entry.manifest or entry.folder / "prompts.csv")
    if not wanted & set(films.keys.values()):
        prompt, seed = min(wanted)
        raise UsageError(f"{entry.folder} has no film that is asked for, such as of {prompt!r} with the seed {seed}")
    return Judged(films, Cost())


def _filmed(
    entry: Entry, prompts: Sequence[str], films: Films, suite: Suite, folder: Path, note: Callable[[int, int], None]
) -> Judged:
    assert entry.backbone is not None
    generator = create_backbone(entry.backbone, entry.model, suite.device, entry.dtype, entry.memory)
    lora = _bundled() if entry.lora == BUNDLED else entry.lora
    if lora is not None:
        load_lora(generator, lora)
    made = make_films(
        generator,
        prompts,
        films,
        folder,
        lora_strength=entry.lora_strength,
        guidance=entry.guidance,
        progress=note,
    )
    return Judged(made, read_cost(folder))


def _check_lora(lora: Path) -> None:
    if not (lora / FILE if lora.is_dir() else lora).is_file():
        raise UsageError(f"no LoRA at {lora}")


def _bundled() -> Path:
    return Path(rewardkit.miniworld.__file__).parent / "weights" / "lora"


def shares(judged: Iterable[Judged]) -> set[str]:
    """Rewards that say yes or no of a film: every score is 0 or 1, and both occur. Their means are shares."""
    said: dict[str, set[float]] = {}
    for one in judged:
        for name, scores in one.scores.items():
            said.setdefault(name, set()).update(scores.values.values())
    return {name for name, values in said.items() if values == {0.0, 1.0}}


def film_rows(
    judged: Mapping[str, Judged], splits: Mapping[str, Sequence[str]], each: int, seed: int, first: str, out: Path
) -> list[FilmRow]:
    """Films of one seed side by side, of `each` prompts a split; see `Judged.shown`."""
    rows = []
    for split, prompts in splits.items():
        for prompt in spread_over(prompts, each) if split != ALL else ():
            films = [one.shown(name, (prompt, str(seed)), first, out) for name, one in judged.items()]
            rows.append(FilmRow(title=prompt, note=split, films=[film for film in films if film is not None]))
    return [row for row in rows if row.films]


def failures(judged: Mapping[str, Judged]) -> list[str]:
    """A sentence for every entry and reward that left films without a score."""
    return [
        f"{name} failed on {len(scores.failed)} of {len(scores.failed) + len(scores.rows)} films of {entry}, which are "
        f"left out: {scores.failed[0]}"
        for entry, one in judged.items()
        for name, scores in one.scores.items()
        if scores.failed
    ]


def missing(judged: Mapping[str, Judged], prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """A sentence for every entry that lacks films, or has some that cannot be told apart from one another."""
    wanted, told = [(prompt, str(seed)) for prompt in prompts for seed in seeds], []
    for entry, one in judged.items():
        there = set(one.films.keys.values())
        lacking = [key for key in wanted if key not in there]
        if lacking:
            prompt, seed = lacking[0]
            told.append(
                f"{entry} lacks {len(lacking)} of {len(wanted)} films, such as of {prompt!r} with the seed {seed}"
            )
        unlike = sorted({prompt for prompt, _ in there} - one.diversity.keys()) if len(seeds) > 1 else []
        if unlike:
            told.append(
                f"the diversity of {entry} is without {len(unlike)} prompts, which have a single film or films of "
                f"different shapes, such as {unlike[0]!r}"
            )
    return told
