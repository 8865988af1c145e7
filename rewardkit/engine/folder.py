"""Films of prompts as files, each beside its prompt."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from rewardkit.engine.film_record import claim_films, film_settings
from rewardkit.engine.generate import check_numbers, check_prompts, generate
from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.reward_guidance import RewardGuidance
from rewardkit.engine.trial import film_noise
from rewardkit.files import replacing
from rewardkit.video import write_video

MANIFEST = "prompts.csv"


def generate_folder(
    generator: Generator,
    prompts: Sequence[str],
    out: Path,
    *,
    seeds: Sequence[int] = (0,),
    fps: float = 8.0,
    steps: int = 20,
    guidance: float | None = None,
    shape: FilmShape | None = None,
    lora_strength: float = 1.0,
    lora_from: float = 1.0,
    batch_size: int = 8,
    suffix: str = ".mp4",
    reward_guidance: RewardGuidance | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Writes one film a prompt and seed into `out`, and gives the manifest with path, prompt and seed.

    Films that are there already are kept, so that an interrupted run goes on. The film of a prompt and a seed is the
    same whichever other prompts stand beside it, so that prompts and seeds may be added: the manifest lists those of
    this call. `films.json` records what films were made with, and films of other settings are refused, as are those
    under a wanted name that it does not tell of, made by hand or by version 0.1.0. Other files are left alone.

    Args:
        generator: from `create_backbone`.
        prompts: each different.
        out: folder for `0001-a-cat-s0.mp4` and the like, and `prompts.csv`.
        seeds: each makes a film of every prompt.
        fps: frames a second of the files.
        steps, guidance, shape, lora_strength, lora_from, batch_size, reward_guidance: see `generate`.
        suffix: of the files; see `write_video`.
        overwrite: delete the films that `films.json` records, and those under the wanted names, and make all anew.
        progress: called with films done and films in all.

    Raises:
        BadInputError: no prompts, or an empty one.
        UsageError: numbers that make no sense, or the folder holds films of other settings, or of other prompts under
            the same names.
        OutputError: a film cannot be written.
    """
    check_prompts(prompts)
    check_numbers(guidance, lora_strength, lora_from, batch_size)
    shape = shape or generator.default_shape
    size = generator.latent_shape(shape)
    numbered = list(enumerate(prompts, start=1))
    wanted = [(f"{n:04d}-{_slug(prompt)}-s{seed}{suffix}", prompt, seed) for n, prompt in numbered for seed in seeds]
    settings = film_settings(
        generator, shape, fps=fps, steps=steps, guidance=guidance, lora_strength=lora_strength, lora_from=lora_from,
        reward_guidance=reward_guidance,
    )  # fmt: skip
    claim_films(out, settings, {name: prompt for name, prompt, _ in wanted}, overwrite)
    _write_manifest(out / MANIFEST, wanted)
    left = [row for row in wanted if not (out / row[0]).exists()]
    progress(len(wanted) - len(left), len(wanted))
    for start in range(0, len(left), batch_size):
        some = left[start : start + batch_size]
        films = generate(
            generator,
            [prompt for _, prompt, _ in some],
            steps=steps,
            guidance=guidance,
            noise=film_noise(size, [(prompt, seed) for _, prompt, seed in some]),
            shape=shape,
            lora_strength=lora_strength,
            lora_from=lora_from,
            batch_size=batch_size,
            reward_guidance=reward_guidance,
        )
        for (name, _, _), film in zip(some, films, strict=True):
            write_video(out / name, film, fps)
        progress(len(wanted) - len(left) + start + len(some), len(wanted))
    return out / MANIFEST


def _write_manifest(path: Path, rows: Sequence[tuple[str, str, int]]) -> None:
    """Prompts stand in it to the letter, also those that begin like a formula: rewards are given them from there."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)  # lines end as RFC 4180 says; with others a carriage return would not be quoted
        writer.writerow(("path", "prompt", "seed"))
        writer.writerows(rows)


def _slug(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:40].rstrip("-") or "film"
