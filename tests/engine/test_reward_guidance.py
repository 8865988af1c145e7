"""Films pulled towards a reward: the rule against its formula, and what must not change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from torch import Tensor

import rewardkit as rk
from rewardkit.engine.denoise import Guidance, below, guided_clean, level_at
from rewardkit.engine.generate import generate
from rewardkit.errors import RewardFailedError, UsageError
from tests.engine.toy import Toy, words

PROMPTS = ["a cat", "rain over a harbour", "two dogs"]


class Green(rk.ImageReward):
    """Green of the picture, in a curve, so that its gradient depends on the film."""

    card = rk.RewardCard(name="green", summary="green", frames="index:1,4")

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return images[:, 1].pow(2).mean(dim=(1, 2))


class Cliff(Green):
    """A gradient without bounds."""

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return (images[:, 1] - images[:, 1].detach()).sqrt().mean(dim=(1, 2))


GREEN = rk.create_reward(Green())


def pulled(**options: object) -> rk.RewardGuidance:
    return rk.RewardGuidance(**{"reward": GREEN, "steps": "tail:3", **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("through", ["estimate", "denoiser"])
def test_each_step_moves_as_the_formula_says(through: Literal["estimate", "denoiser"]) -> None:
    toy, scale = Toy(), 0.3
    noise = torch.randn(3, 3, 6, 4, 5, generator=torch.Generator().manual_seed(0))
    levels, told = toy.levels(10, toy.default_shape), words(toy, *PROMPTS)
    latents = noise
    for number in range(10):
        at = latents.detach().requires_grad_()
        clean = guided_clean(toy, at, level_at(levels, number, at), told, Guidance(3.0), keep=True)
        if number >= 7:
            film = toy.decode(clean)[:, [1, 4], 1]
            asked = at if through == "denoiser" else clean
            (gradient,) = torch.autograd.grad(film.pow(2).mean(dim=(1, 2, 3)).sum(), asked)
            for own, way in zip(clean, gradient, strict=True):
                own.data += scale * float(levels.noise[number]) * way / way.pow(2).mean().sqrt()
        latents = below(levels, number, clean, latents).detach()
    made = generate(toy, PROMPTS, steps=10, noise=noise, reward_guidance=pulled(scale=scale, through=through))
    torch.testing.assert_close(made, toy.decode(latents), atol=1e-5, rtol=0)
    assert float((made - generate(toy, PROMPTS, steps=10, noise=noise)).abs().max()) > 0.01


@pytest.mark.parametrize("through", ["estimate", "denoiser"])
def test_the_reward_rises_with_the_scale(through: Literal["estimate", "denoiser"]) -> None:
    scores = [
        GREEN(generate(Toy(), PROMPTS, steps=10, reward_guidance=pulled(scale=scale, through=through)))
        for scale in (0.0, 0.1, 0.4)
    ]
    assert (scores[1] > scores[0]).all()
    assert (scores[2] > scores[1]).all()


def test_a_scale_of_zero_changes_nothing() -> None:
    films = generate(Toy(), PROMPTS, steps=10)
    torch.testing.assert_close(
        generate(Toy(), PROMPTS, steps=10, reward_guidance=pulled(scale=0.0)), films, atol=1e-6, rtol=0
    )


def test_the_size_of_the_reward_does_not_matter() -> None:
    films = generate(Toy(), PROMPTS, steps=10, reward_guidance=pulled())
    thousand = generate(Toy(), PROMPTS, steps=10, reward_guidance=pulled(reward=1000 * GREEN))
    torch.testing.assert_close(thousand, films, atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_film_does_not_depend_on_those_beside_it(batch_size: int) -> None:
    drawn = rk.create_reward(Green(), frames="segments:2")
    films = generate(Toy(), PROMPTS, steps=10, reward_guidance=pulled(reward=drawn))
    again = generate(Toy(), PROMPTS, steps=10, reward_guidance=pulled(reward=drawn), batch_size=batch_size)
    torch.testing.assert_close(again, films, atol=1e-5, rtol=0)


def test_steps_are_counted_over_the_whole_walk_where_the_lora_sets_in_late() -> None:
    """Without a LoRA both stretches are the base model, and the film is that of one stretch."""
    from tests.engine.toy import trained_lora

    toy = Toy()
    trained_lora(toy)
    whole = generate(toy, PROMPTS, steps=10, lora_strength=0.0, reward_guidance=pulled(steps="steps:2,8"))
    parts = generate(
        toy, PROMPTS, steps=10, lora_strength=0.0, lora_from=0.5, reward_guidance=pulled(steps="steps:2,8")
    )
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=0)


def test_only_the_frames_that_the_reward_looks_at_are_decoded() -> None:
    toy = Toy()
    generate(toy, PROMPTS, steps=10, reward_guidance=pulled())
    assert [shape[1] for shape in toy.decoded] == [2, 2, 2, 6]


def test_what_cannot_pull_is_an_error() -> None:
    with pytest.raises(UsageError, match="jpeg has no gradient to guide by"):
        rk.RewardGuidance(rk.create_reward("jpeg"))
    with pytest.raises(UsageError, match="scale is 0 or more: got -1"):
        pulled(scale=-1)
    with pytest.raises(UsageError, match="through is estimate or denoiser: got 'both'"):
        pulled(through="both")
    with pytest.raises(UsageError, match="tail:11 needs 11 steps: the walk has 10"):
        generate(Toy(), PROMPTS, steps=10, reward_guidance=pulled(steps="tail:11"))
    with pytest.raises(RewardFailedError, match="green gave a gradient of inf for film 1 of 3, 'a cat'"):
        generate(Toy(), PROMPTS, steps=10, reward_guidance=pulled(reward=rk.create_reward(Cliff())))
