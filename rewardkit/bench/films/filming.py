"""Films of the same prompts and seeds, made by backbones or found in folders; what they cost, and their scores."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from rewardkit.bench.films.prompt_files import read_prompts
from rewardkit.bench.memory import PeakMemory
from rewardkit.bench.suites import Films
from rewardkit.engine.folder import generate_folder
from rewardkit.engine.generator import Generator
from rewardkit.errors import NothingToDoError, UsageError
from rewardkit.miniworld.prompts import judged_truths
from rewardkit.miniworld.truth import caption

COST = "cost.jsonl"
_MINIWORLD_EACH, _MINIWORLD_MOST = 8, 24
ALL = "all"
"""Stands for all splits together."""
Key = tuple[str, str]
"""(prompt, seed) of a film."""
Counted = Callable[[int, int], None]
"""Is told how many are done, and of how many."""


@dataclass(frozen=True)
class FilmSet:
    """Films on disk: their manifest, and prompt and seed of each absolute path in it."""

    manifest: Path
    keys: Mapping[Path, Key]

    def of(self, wanted: Set[Key]) -> FilmSet:
        """Those of these prompts and seeds."""
        return FilmSet(self.manifest, {path: key for path, key in self.keys.items() if key in wanted})


@dataclass(frozen=True)
class Cost:
    """What making a film took, in the runs that made some; None where it was not measured."""

    seconds: float | None = None
    peak_bytes: int | None = None


def prompt_splits(films: Films) -> dict[str, list[str]]:
    """Prompts by split.

    Raises:
        UsageError: an unreadable file, or a prompt that stands in two splits.
        NothingToDoError: a file without prompts.
    """
    if not films.prompts:
        each = films.each or _MINIWORLD_EACH
        if each > _MINIWORLD_MOST:
            raise UsageError(f"the mini world has {_MINIWORLD_MOST} prompts a split: got each = {each}")
        return {name: [caption(truth) for truth in truths] for name, truths in judged_truths(each).items()}
    splits: dict[str, list[str]] = {}
    known: dict[str, str] = {}
    for name, path in films.prompts.items():
        splits[name] = list(dict.fromkeys(read_prompts(path)))[: films.each]
        if not splits[name]:
            raise NothingToDoError(f"no prompts in {path}, the split {name!r}")
        for prompt in splits[name]:
            if known.setdefault(prompt, name) != name:
                raise UsageError(f"the prompt {prompt!r} stands in the splits {known[prompt]!r} and {name!r}")
    return splits


def with_all(splits: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The splits, and where there are several, all of them together."""
    together = {ALL: [prompt for prompts in splits.values() for prompt in prompts]} if len(splits) > 1 else {}
    return {**splits, **together}


def make_films(
    generator: Generator,
    prompts: Sequence[str],
    films: Films,
    folder: Path,
    *,
    lora_strength: float = 1.0,
    guidance: float | None = None,
    progress: Counted = lambda done, total: None,
) -> FilmSet:
    """Films of all prompts and seeds in `folder`, made where they are not there yet.

    Raises:
        UsageError: the folder holds films that were made otherwise.
    """
    meter = _Meter(folder / COST, generator, progress)
    manifest = generate_folder(
        generator,
        prompts,
        folder,
        seeds=films.film_seeds,
        fps=films.fps,
        steps=films.steps,
        guidance=films.guidance if guidance is None else guidance,
        shape=generator.default_shape.but(films.frames, films.height, films.width),
        lora_strength=lora_strength,
        batch_size=films.batch_size,
        suffix=f".{films.files}",
        progress=meter,
    )
    return read_films(manifest)


class _Meter:
    """Writes down what each batch of films took."""

    def __init__(self, path: Path, generator: Generator, progress: Counted) -> None:
        self._path, self._progress = path, progress
        self._memory = PeakMemory(next(next(iter(generator.denoisers().values())).parameters()).device)
        self._done: int | None = None
        self._start = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.perf_counter()
        if self._done is not None and done > self._done:
            line = {"films": done - self._done, "seconds": now - self._start, "peak_bytes": self._memory.peak()}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        self._progress(done, total)
        self._done, self._start = done, time.perf_counter()
        self._memory.start()


def read_cost(folder: Path) -> Cost:
    """Of films that `make_films` made there."""
    path = folder / COST
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    if not lines:
        return Cost()
    peaks = [line["peak_bytes"] for line in lines if line["peak_bytes"] is not None]
    seconds = sum(line["seconds"] for line in lines) / sum(line["films"] for line in lines)
    return Cost(seconds, max(peaks) if peaks else None)


def read_films(manifest: Path) -> FilmSet:
    """The films of a manifest with the columns path, prompt and, where a prompt has several, seed.

    Raises:
        UsageError: it cannot be read, or two films cannot be told apart.
        NothingToDoError: it is empty.
    """
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read the films of {manifest}: {error}") from None
    keys: dict[Path, Key] = {}
    for line in lines:
        if not line.get("path") or not (line.get("prompt") or "").strip():
            raise UsageError(f"{manifest}: every film needs a path and a prompt, got {dict(line)}")
        key = (line["prompt"].strip(), line.get("seed") or "0")
        if key in keys.values():
            raise UsageError(f"{manifest}: two films of the prompt {key[0]!r} and the seed {key[1]}")
        path = Path(os.path.abspath(manifest.parent / line["path"]))
        if path in keys:
            raise UsageError(f"{manifest}: {line['path']} is there twice")
        keys[path] = key
    if not keys:
        raise NothingToDoError(f"no films in {manifest}")
    return FilmSet(manifest, keys)
