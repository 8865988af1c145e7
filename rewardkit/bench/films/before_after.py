"""The same prompts and the same noise without and with a LoRA: what did fine-tuning change?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from rewardkit.bench.films.filming import ALL
from rewardkit.engine.generate import check_prompts, generate
from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.trial import film_noise
from rewardkit.scoring.change import Change, measure_change

Measure = Callable[[Float[Tensor, "frame 3 height width"], str], float]
"""A number for a film, RGB in [0, 1], and its prompt."""


@dataclass(frozen=True)
class Pair:
    """One prompt and seed, without and with the LoRA: the films, and every measure of both."""

    split: str
    prompt: str
    seed: int
    film_before: UInt8[Tensor, "frame 3 height width"]
    film_after: UInt8[Tensor, "frame 3 height width"]
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True)
class BeforeAfter:
    """All pairs, and how each measure changed over those of a split.

    Attributes:
        pairs: in the order of splits, prompts and seeds.
        changes: by split, then by measure; `all` is over all splits.
    """

    pairs: Sequence[Pair]
    changes: Mapping[str, Mapping[str, Change]]


def before_and_after(
    generator: Generator,
    splits: Mapping[str, Sequence[str]],
    measures: Mapping[str, Measure],
    *,
    seeds: Sequence[int] = (0,),
    steps: int = 20,
    guidance: float | None = None,
    shape: FilmShape | None = None,
    batch_size: int = 8,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BeforeAfter:
    """Makes every film twice and measures both.

    Args:
        generator: with the LoRA; without it where the LoRA is switched off.
        splits: prompts by the name of their split.
        measures: by name.
        seeds: films a prompt.
        steps, guidance, shape, batch_size: see `generate`.
        progress: called with films done and films in all.

    Raises:
        BadInputError: no prompts, or an empty one.
    """
    wanted = [(split, prompt, seed) for split, prompts in splits.items() for prompt in prompts for seed in seeds]
    check_prompts([prompt for _, prompt, _ in wanted])
    size = generator.latent_shape(shape or generator.default_shape)
    pairs: list[Pair] = []
    for start in range(0, len(wanted), batch_size):
        some = wanted[start : start + batch_size]
        noise = film_noise(size, [(prompt, seed) for _, prompt, seed in some])
        both = []
        for number, strength in enumerate((0.0, 1.0)):
            films = generate(
                generator,
                [prompt for _, prompt, _ in some],
                steps=steps,
                guidance=guidance,
                noise=noise,
                shape=shape,
                lora_strength=strength,
                batch_size=batch_size,
            )
            both.append(films)
            progress(2 * start + (number + 1) * len(some), 2 * len(wanted))
        for (split, prompt, seed), before, after in zip(some, *both, strict=True):
            found = [{name: measure(film, prompt) for name, measure in measures.items()} for film in (before, after)]
            pairs.append(Pair(split, prompt, seed, _bytes(before), _bytes(after), found[0], found[1]))
    return BeforeAfter(pairs, _changes(pairs, list(splits), list(measures)))


def _bytes(film: Float[Tensor, "frame 3 height width"]) -> UInt8[Tensor, "frame 3 height width"]:
    return (film * 255).round().to(torch.uint8)


def _changes(pairs: Sequence[Pair], splits: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Change]]:
    return {
        split: {
            name: measure_change(
                name,
                [(pair.before, pair.after) for pair in pairs if split in (ALL, pair.split)],
                lambda numbers, name=name: numbers[name],  # type: ignore[misc]
            )
            for name in names
        }
        for split in [ALL, *splits]
    }
