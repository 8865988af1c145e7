"""What the films of a folder were made with, written beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from rewardkit.engine.denoise import level_at
from rewardkit.engine.generator import FilmShape, Generator
from rewardkit.engine.gradient_steps import GRADIENT_STEPS, GradientSteps
from rewardkit.engine.lora import lora_digest
from rewardkit.engine.noise import Levels
from rewardkit.engine.reward_guidance import RewardGuidance
from rewardkit.errors import UsageError
from rewardkit.files import replacing
from rewardkit.spec import parse_part

RECORD = "films.json"
_WAY_OUT = "take another --out, or overwrite them"
Setting = str | int | float | None


class FilmRecord(BaseModel):
    """What is known of the films in a folder.

    Attributes:
        settings: of all of them; see `film_settings`.
        prompts: by file name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: dict[str, Setting] = {}
    prompts: dict[str, str] = {}


def film_settings(
    generator: Generator,
    shape: FilmShape,
    *,
    fps: float,
    steps: int,
    guidance: float | None,
    lora_strength: float,
    lora_from: float,
    reward_guidance: RewardGuidance | None,
) -> dict[str, Setting]:
    """What decides the film of a prompt and a seed, by name, with the backbone's own numbers where none are given.

    Without what changes a film by rounding or a little: the batch size, the device, what saves memory.

    Raises:
        UsageError: the backbone cannot take these steps, or the walk has not those to pull in.
    """
    levels = generator.levels(steps, shape)
    lora = lora_digest(generator) if lora_strength and lora_from else None
    return {
        "backbone": generator.name,
        "model": generator.loaded_from,
        "dtype": _dtype(generator),
        **shape._asdict(),
        "fps": float(fps),
        "steps": steps,
        "guidance": _scales(generator, levels) if guidance is None else str(float(guidance)),
        "lora": lora and f"{lora} (strength {float(lora_strength)}, from {float(lora_from)})",
        "guide_by": None if reward_guidance is None else _pull(reward_guidance, len(levels)),
    }


def _dtype(generator: Generator) -> str:
    """Of the frozen weights, without a LoRA's."""
    every = [weight for denoiser in generator.denoisers().values() for weight in denoiser.parameters()]
    return " and ".join(sorted({str(one.dtype).removeprefix("torch.") for one in every if not one.requires_grad}))


def _scales(generator: Generator, levels: Levels) -> str:
    """The authors' scale of guidance, or those of experts that share the walk."""
    every = [generator.guidance_at(level_at(levels, number, levels.signal)) for number in range(len(levels))]
    return " and ".join(str(scale) for scale in dict.fromkeys(every))


def _pull(guidance: RewardGuidance, steps: int) -> str:
    guidance.chosen(steps)
    chosen = parse_part(GradientSteps, guidance.steps, GRADIENT_STEPS)
    return f"{guidance.reward.spec} (scale {float(guidance.scale)}, steps {chosen}, through {guidance.through})"


def claim_films(
    folder: Path, settings: Mapping[str, Setting], wanted: Mapping[str, str], overwrite: bool = False
) -> None:
    """Makes sure that the wanted films which are in `folder` are the ones meant, and records those that will be made.

    Settings bind as long as a film of the record is there; other prompts may join them.

    Args:
        folder: of the films.
        settings: from `film_settings`.
        wanted: prompt of each film by its file name.
        overwrite: instead delete the films of the record, and what lies under the wanted names.

    Raises:
        UsageError: a film there was made with other settings or of another prompt, or no record says how.
        OutputError: the record cannot be written.
    """
    record = _read(folder / RECORD)
    there = {name: prompt for name, prompt in record.prompts.items() if (folder / name).exists()}
    if not overwrite:
        _check(folder, FilmRecord(settings=record.settings, prompts=there), settings, wanted)
    kept = {} if overwrite else there
    with replacing(folder / RECORD) as draft:
        if overwrite:
            for name in there.keys() | wanted.keys():
                (folder / name).unlink(missing_ok=True)
        said = FilmRecord(settings=dict(settings), prompts=kept | dict(wanted)).model_dump()
        draft.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def _check(folder: Path, record: FilmRecord, settings: Mapping[str, Setting], wanted: Mapping[str, str]) -> None:
    for name, prompt in wanted.items():
        known = record.prompts.get(name)
        if known is None and (folder / name).exists():
            raise UsageError(f"no {RECORD} in {folder} says how films such as {name} were made: {_WAY_OUT}")
        if known not in (None, prompt):
            raise UsageError(f"{folder / name} is a film of {known!r}, not of {prompt!r}: {_WAY_OUT}")
    differ = [name for name in {**record.settings, **settings} if record.settings.get(name) != settings.get(name)]
    if record.prompts and differ:
        found, asked = (_shown(some, differ) for some in (record.settings, settings))
        raise UsageError(f"{folder} holds films made with {found}, not with {asked}: {_WAY_OUT}")


def _shown(settings: Mapping[str, Setting], names: Sequence[str]) -> str:
    values = [(name, settings.get(name)) for name in names]
    return ", ".join(f"{name} {'none' if value is None else value}" for name, value in values)


def _read(path: Path) -> FilmRecord:
    """The record at `path`; an empty one where there is none, or none of ours."""
    try:
        record = FilmRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return FilmRecord()
    plain = all(Path(name).name == name for name in record.prompts)  # no name leads out of the folder
    return record if plain else FilmRecord()
