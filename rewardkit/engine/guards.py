"""Never blind: measures that the trained reward cannot see, and when they stop a training.

A reward that is pushed hard enough is hacked: it rises while films freeze, grow alike or burn out. At intervals the
model makes the same films as the base model did, from the same noise, and what both show is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt
from torch import Tensor

Action = Literal["off", "warn", "stop", "roll back"]


class GuardSettings(BaseModel):
    """When to look, and what is too much. Shares are of the base model's films.

    Attributes:
        every: steps between looks; 0 never looks.
        prompts: how many of the held-out prompts are looked at.
        seeds: films a prompt; 2 or more, so that diversity can be told.
        least_motion: share of motion that must be left.
        least_diversity: share of the distance between films of one prompt that must be left.
        most_saturated: growth of the share of pixels at black or white.
        most_fall: of a held-out reward below its best so far, in the base films' standard errors, while the trained
            reward rose.
        patience: looks in a row that must be bad.
        action: what then happens; `roll back` stops, too, and keeps the best checkpoint.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: NonNegativeInt = 50
    prompts: PositiveInt = 16
    seeds: Annotated[int, Field(ge=2)] = 2
    least_motion: float = 0.8
    least_diversity: float = 0.5
    most_saturated: float = 0.1
    most_fall: float = 2.0
    patience: PositiveInt = 1
    action: Action = "roll back"


class Look(BaseModel):
    """What films of one moment show.

    Attributes:
        step: of the training; 0 is the base model.
        reward: mean of the trained reward over fixed frames.
        held_out: mean of each held-out reward, by name.
        error: standard error of each, the trained reward's under its own name.
        motion: mean absolute difference of neighbouring frames.
        diversity: mean absolute difference between films of one prompt.
        saturated: share of pixels at black or white.
        lora_norm: length of all updates together, as they count; 0 for the base model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    reward: float
    held_out: dict[str, float]
    error: dict[str, float]
    motion: float
    diversity: float
    saturated: float
    lora_norm: float

    @property
    def reward_error(self) -> float:
        """Standard error of the trained reward."""
        (own,) = self.error.keys() - self.held_out.keys()
        return self.error[own]


class Verdict(BaseModel):
    """What is wrong at the last look, in words; empty if nothing is. `best` is the step to go back to."""

    wrong: list[str]
    best: int


def motion(video: Float[Tensor, "batch frame 3 height width"]) -> float:
    """Mean absolute difference of neighbouring frames."""
    return float(video.diff(dim=1).abs().mean()) if video.shape[1] > 1 else 0.0


def diversity(video: Float[Tensor, "batch frame 3 height width"], seeds: int) -> float:
    """Mean absolute difference between films of one prompt; films of a prompt stand together."""
    films = video.view(-1, seeds, *video.shape[1:])
    pairs = [(films[:, a] - films[:, b]).abs().mean() for a in range(seeds) for b in range(a)]
    return float(torch.stack(pairs).mean())


def saturated(video: Float[Tensor, "batch frame 3 height width"]) -> float:
    """Share of numbers at 0 or 1."""
    return float(((video <= 0) | (video >= 1)).float().mean())


def judge(looks: Sequence[Look], settings: GuardSettings) -> Verdict:
    """What the last of `looks` means beside the first, which is the base model's, and those between.

    The best step is that of the best held-out reward (the trained reward where none is held out) among looks with
    nothing wrong.
    """
    sound = [look for number, look in enumerate(looks) if not faults(looks[: number + 1], settings)]
    best = max(sound, key=_merit)
    recent = [faults(looks[: number + 1], settings) for number in range(len(looks))][-settings.patience :]
    wrong = recent[-1] if len(recent) == settings.patience and all(recent) else []
    return Verdict(wrong=wrong, best=best.step)


def faults(looks: Sequence[Look], settings: GuardSettings) -> list[str]:
    """Every bound that the last look breaks, in words."""
    base, last = looks[0], looks[-1]
    found = []
    if last.motion < settings.least_motion * base.motion:
        found.append(f"motion fell to {last.motion / base.motion:.0%} of the base model's")
    if last.diversity < settings.least_diversity * base.diversity:
        found.append(
            f"films of one prompt grew alike: {last.diversity / base.diversity:.0%} of the base's distance is left"
        )
    if last.saturated > base.saturated + settings.most_saturated:
        found.append(
            f"{last.saturated:.0%} of pixels are black or white, {base.saturated:.0%} in the base model's films"
        )
    for name, value in last.held_out.items():
        top = max(looks, key=lambda look: look.held_out[name])
        fell = (top.held_out[name] - value) / max(base.error[name], 1e-12)
        if fell > settings.most_fall and last.reward > top.reward:
            found.append(
                f"{name} fell from {top.held_out[name]:.4g} at step {top.step} to {value:.4g} while the reward rose"
            )
    return found


def _merit(look: Look) -> float:
    return sum(look.held_out.values()) / len(look.held_out) if look.held_out else look.reward


def means(scores: Mapping[str, Float[Tensor, " batch"]]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and standard error of each reward."""
    return (
        {name: float(values.mean()) for name, values in scores.items()},
        {name: float(values.std() / len(values) ** 0.5) for name, values in scores.items()},
    )
