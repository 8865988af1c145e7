"""Every backbone: scored by a callback of its own pipeline, pulled towards a reward, and chosen from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

import rewardkit as rk
from rewardkit.engine.denoise import Guidance, Words, below, guided_clean, level_at
from rewardkit.errors import UsageError
from rewardkit_adapters.backbone import Backbone
from tests.adapters.backbones import CASES, FIRST, PROMPTS, SCALE, STEPS, film_of_pipeline, noise, short, tiny


class Red(rk.ImageReward):
    """Red of the picture, in a curve."""

    card = rk.RewardCard(name="red", summary="red", frames="uniform:2")

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return images[:, 0].pow(2).mean(dim=(1, 2))


RED = rk.create_reward(Red())


@pytest.fixture(autouse=True)
def mochi_asks_for_autocast() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="In CPU autocast")
        yield


def estimates(backbone: Backbone, start: Tensor, shape: rk.FilmShape) -> list[Tensor]:
    """Of the clean latents at each step of our own walk."""
    levels, latents, found = backbone.levels(STEPS, shape), start, []
    empty = {name: part.expand(2, *part.shape[1:]) for name, part in backbone.embed([""]).items()}
    told = Words(backbone.embed(PROMPTS), empty)
    with torch.no_grad():
        for number in range(STEPS):
            clean = guided_clean(backbone, latents, level_at(levels, number, latents), told, Guidance(SCALE))
            latents = below(levels, number, clean, latents)
            found.append(clean)
    return found


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_callback_scores_the_film_that_each_step_heads_for(name: str, kind: str) -> None:
    backbone, shape = tiny(name, kind), short(tiny(name, kind))
    start = noise(backbone, shape)
    scores = rk.SamplingScores(backbone, RED, PROMPTS, STEPS, shape=shape)
    told = {"callback": scores.after} if name == "modelscope" else {"callback_on_step_end": scores}
    film = film_of_pipeline(backbone.plain(), name, start, shape, **told)
    assert [one.step for one in scores.found] == [1, 2, 3, 4]
    plan = RED.plan(shape.frames, 2)
    for one, clean in zip(scores.found, estimates(backbone, start, shape)[1:], strict=True):
        frames = backbone.decode(clean, plan.index)
        # two equations for two unknowns lose digits where a step is short
        torch.testing.assert_close(one.score, RED(frames, PROMPTS, plan=plan), atol=1e-3, rtol=0)
    torch.testing.assert_close(scores.found[-1].score, RED(film, PROMPTS), atol=1e-4, rtol=0)
    assert float(scores.found[-1].score.std()) > 1e-4, "of equal films nothing could be told"


def test_the_callback_scores_every_so_many_steps_and_the_last() -> None:
    backbone = tiny("latte", "")
    shape = short(backbone)
    scores = rk.SamplingScores(backbone, RED, PROMPTS, STEPS, every=3, shape=shape)
    film_of_pipeline(backbone.plain(), "latte", noise(backbone, shape), shape, callback_on_step_end=scores)
    assert [one.step for one in scores.found] == [3, 4]
    for wrong, sentence in (
        ({"steps": 4}, "step 5 of a walk of 4: give the pipeline's num_inference_steps"),
        ({"prompts": PROMPTS[:1]}, r"the pipeline makes latents \(2, .*, expected \(1, .*: give prompts and shape"),
    ):
        told = {"steps": STEPS, "prompts": PROMPTS, "shape": shape, **wrong}
        scores = rk.SamplingScores(backbone, RED, **told)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=sentence):
            film_of_pipeline(backbone.plain(), "latte", noise(backbone, shape), shape, callback_on_step_end=scores)
    with pytest.raises(UsageError, match="every is 1 or more: got 0"):
        rk.SamplingScores(backbone, RED, PROMPTS, STEPS, every=0)


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("through", ["estimate", "denoiser"])
def test_films_follow_the_reward_that_pulls(name: str, kind: str, through: str) -> None:
    backbone, shape = tiny(name, kind), short(tiny(name, kind))
    start = noise(backbone, shape)
    films = [
        rk.generate(backbone, PROMPTS, steps=STEPS, guidance=SCALE, noise=start, shape=shape, reward_guidance=pull)
        for pull in (None, rk.RewardGuidance(RED, 0.3, "tail:3", through))  # type: ignore[arg-type]
    ]
    assert (RED(films[1]) > RED(films[0]) + 1e-3).all()


@pytest.mark.parametrize(("name", "kind"), FIRST)
def test_the_best_film_is_the_one_that_its_seed_makes(name: str, kind: str) -> None:
    backbone, shape = tiny(name, kind), short(tiny(name, kind))
    found = rk.best_of(backbone, RED, PROMPTS[:1], range(3), steps=2, guidance=SCALE, shape=shape)
    torch.testing.assert_close(RED(found.films)[0], found.scores.max(), atol=1e-4, rtol=0)
    alone = rk.best_of(backbone, RED, PROMPTS[:1], found.seeds.tolist(), steps=2, guidance=SCALE, shape=shape)
    torch.testing.assert_close(alone.films, found.films, atol=1e-4, rtol=0)
    assert float(found.scores.std()) > 1e-6
