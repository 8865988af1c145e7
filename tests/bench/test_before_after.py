"""What fine-tuning changed: the same noise on both sides, and numbers that belong to their films."""

from __future__ import annotations

import pytest
import torch

from rewardkit.bench.films.before_after import BeforeAfter, before_and_after
from rewardkit.bench.films.filming import ALL
from rewardkit.engine.generate import generate
from rewardkit.engine.lora import LoraSettings, add_lora, lora_weights
from rewardkit.engine.noise import draw_noise
from rewardkit.engine.trial import seeded
from rewardkit.errors import BadInputError
from rewardkit_adapters.modelscope import ModelScope

SPLITS = {"seen": ["a cat", "a dog", "a fish"], "new": ["a boat"]}
MEASURES = {
    "brightness": lambda film, prompt: float(film.mean()),
    "length": lambda film, prompt: float(len(prompt)),
}


@pytest.fixture(scope="module")
def world() -> ModelScope:
    made = ModelScope.tiny()
    made.frames = 4  # type: ignore[misc]
    made.default_shape = made.default_shape._replace(frames=4)
    add_lora(made, LoraSettings(rank=2))
    for name, weight in lora_weights(made).items():
        if ".lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return made


@pytest.fixture(scope="module")
def measured(world: ModelScope) -> BeforeAfter:
    seen: list[tuple[int, int]] = []
    found = before_and_after(
        world,
        SPLITS,
        MEASURES,
        seeds=(0, 5),
        steps=2,
        batch_size=3,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(3, 16), (6, 16), (9, 16), (12, 16), (14, 16), (16, 16)]
    return found


def test_every_prompt_and_seed_is_there_once_in_order(measured: BeforeAfter) -> None:
    assert [(pair.split, pair.prompt, pair.seed) for pair in measured.pairs] == [
        (split, prompt, seed) for split, prompts in SPLITS.items() for prompt in prompts for seed in (0, 5)
    ]


def test_films_are_those_of_generate_without_and_with_the_lora(world: ModelScope, measured: BeforeAfter) -> None:
    pair = measured.pairs[3]
    noise = draw_noise(world.latent_shape(world.default_shape), [seeded("film", pair.prompt, pair.seed)])
    for film, strength in ((pair.film_before, 0.0), (pair.film_after, 1.0)):
        again = generate(world, [pair.prompt], steps=2, noise=noise, lora_strength=strength)[0]
        assert (film.float() / 255 - again).abs().max() <= 0.5 / 255 + 1e-4
    assert not torch.equal(pair.film_before, pair.film_after)


def test_numbers_belong_to_their_films(measured: BeforeAfter) -> None:
    for pair in measured.pairs:
        for film, numbers in ((pair.film_before, pair.before), (pair.film_after, pair.after)):
            assert numbers["brightness"] == pytest.approx(float(film.float().mean()) / 255, abs=2e-3)
            assert numbers["length"] == len(pair.prompt)


def test_changes_are_by_split_and_of_all(measured: BeforeAfter) -> None:
    assert {split: found["brightness"].pairs for split, found in measured.changes.items()} == {
        ALL: 8,
        "seen": 6,
        "new": 2,
    }
    change = measured.changes["new"]["brightness"]
    pairs = measured.pairs[6:]
    assert change.mean_after == pytest.approx(sum(pair.after["brightness"] for pair in pairs) / 2)
    assert change.difference == pytest.approx(change.mean_after - change.mean_before)
    assert measured.changes[ALL]["length"].ties == 8


def test_no_prompts_are_refused(world: ModelScope) -> None:
    with pytest.raises(BadInputError, match="needs a list of prompts"):
        before_and_after(world, {"none": []}, MEASURES)
