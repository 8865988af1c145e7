"""The best of several films, against all of them made one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

import rewardkit as rk
from rewardkit.engine.generate import generate
from rewardkit.engine.trial import film_noise
from rewardkit.errors import BadInputError, RewardFailedError, UsageError
from tests.engine.toy import Toy


class Green(rk.ImageReward):
    """Green of the picture, without gradient."""

    card = rk.RewardCard(name="green", summary="green", frames="all", differentiable=False)

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return images[:, 1].mean(dim=(1, 2)).detach()


class Broken(Green):
    """Nothing that is a number."""

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        return images[:, 1].mean(dim=(1, 2)) * torch.nan


PROMPTS, SEEDS = ["a cat", "rain over a harbour", "a banana"], [3, 0, 7, 11, 2]
GREEN = rk.create_reward(Green())


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_of_each_prompt_the_best_film_is_kept(batch_size: int) -> None:
    toy = Toy()
    found = rk.best_of(toy, GREEN, PROMPTS, SEEDS, steps=10, batch_size=batch_size)
    size = toy.latent_shape(toy.default_shape)
    for number, prompt in enumerate(PROMPTS):
        films = generate(toy, [prompt] * 5, steps=10, noise=film_noise(size, [(prompt, seed) for seed in SEEDS]))
        scores = films[:, :, 1].mean(dim=(1, 2, 3))
        best = max(range(5), key=lambda place: float(scores[place]))
        torch.testing.assert_close(found.scores[number], scores, atol=1e-6, rtol=0)
        assert int(found.seeds[number]) == SEEDS[best]
        torch.testing.assert_close(found.films[number], films[best], atol=1e-6, rtol=0)
    assert len(set(found.seeds.tolist())) > 1, "or the choice would not show"


def test_more_films_are_never_worse() -> None:
    best = [rk.best_of(Toy(), GREEN, PROMPTS, range(n), steps=10).scores.max(dim=1).values for n in (1, 3, 6)]
    assert (best[1] >= best[0]).all()
    assert (best[2] >= best[1]).all()
    assert (best[2] > best[0]).any()


def test_what_cannot_be_chosen_from_is_an_error() -> None:
    with pytest.raises(UsageError, match="best_of needs at least one seed"):
        rk.best_of(Toy(), GREEN, PROMPTS, [])
    with pytest.raises(BadInputError, match="needs a list of prompts"):
        rk.best_of(Toy(), GREEN, [])
    with pytest.raises(RewardFailedError, match="green gave nan for 'a cat', seed 3"):
        rk.best_of(Toy(), rk.create_reward(Broken()), PROMPTS, SEEDS, steps=10)
