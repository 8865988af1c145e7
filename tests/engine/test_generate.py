"""Films from prompts: pairs by seed, batches, the LoRA on part of the walk, and calls that make no sense."""

from __future__ import annotations

import pytest
import torch

from rewardkit.engine.denoise import Guidance, Words, walk
from rewardkit.engine.generate import film_seed, generate
from rewardkit.engine.generator import FilmShape
from rewardkit.engine.lora import lora_at
from rewardkit.errors import BadInputError, UsageError
from tests.engine.toy import Toy, trained_lora, words

PROMPTS = ["a cat", "rain over a harbour", "two dogs", "a banana", "snow"]


def test_the_same_call_gives_the_same_films_and_another_seed_gives_others() -> None:
    toy = Toy()
    films = generate(toy, PROMPTS, steps=10, seed=3)
    assert films.shape == (5, 6, 3, 4, 5)
    assert torch.equal(films, generate(toy, PROMPTS, steps=10, seed=3))
    assert not torch.equal(films, generate(toy, PROMPTS, steps=10, seed=4))
    assert not films.requires_grad
    assert films.min() >= 0
    assert films.max() <= 1


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_the_size_of_a_batch_changes_no_film(batch_size: int) -> None:
    toy = Toy()
    films = generate(toy, PROMPTS, steps=10)
    # rounding: sums of a matrix product come in another order
    torch.testing.assert_close(generate(toy, PROMPTS, steps=10, batch_size=batch_size), films, atol=1e-6, rtol=0)


def test_a_film_depends_on_its_own_prompt_and_place_alone() -> None:
    toy = Toy()
    films = generate(toy, PROMPTS, steps=10)
    others = generate(toy, ["fog", "lions", PROMPTS[2], "sand", "bananas and apples"], steps=10)
    assert torch.equal(films[2], others[2])
    assert not any(torch.equal(films[n], others[n]) for n in (0, 1, 3, 4))
    assert torch.equal(generate(toy, PROMPTS[:3], steps=10)[2], films[2]), "as many as one likes may follow"


def test_films_of_one_prompt_differ_by_their_place() -> None:
    films = generate(Toy(), ["a cat", "a cat"], steps=10)
    assert not torch.equal(films[0], films[1])
    assert len({film_seed(seed, number) for seed in range(50) for number in range(50)}) == 2500


def test_noise_of_ones_own_is_what_the_walk_starts_from() -> None:
    toy = Toy()
    noise = torch.randn(2, 3, 6, 4, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        latents = walk(toy, noise, toy.levels(10, toy.default_shape), words(toy, *PROMPTS[:2]), Guidance(3.0))
    made = generate(toy, PROMPTS[:2], steps=10, noise=noise, batch_size=1)
    torch.testing.assert_close(made, toy.decode(latents), atol=1e-6, rtol=0)


def test_guidance_is_the_backbones_own_unless_given() -> None:
    toy = Toy()
    own = generate(toy, PROMPTS, steps=10)
    assert torch.equal(own, generate(toy, PROMPTS, steps=10, guidance=3.0))
    assert not torch.equal(own, generate(toy, PROMPTS, steps=10, guidance=2.0))


@pytest.mark.parametrize(("guidance", "passes"), [(1.0, 1), (3.0, 2), (0.0, 2)])
def test_guidance_doubles_the_batch_and_one_does_not(guidance: float, passes: int) -> None:
    toy = Toy()
    generate(toy, PROMPTS, steps=10, guidance=guidance)
    assert toy.denoiser.calls == [False] * 10
    assert toy.denoiser.films == [passes * len(PROMPTS)] * 10


def test_the_empty_prompt_at_guidance_zero_is_all_that_counts() -> None:
    toy = Toy()
    noise = torch.randn(1, 3, 6, 4, 5, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1, -1, -1)
    films = generate(toy, ["a cat", "a banana"], steps=10, guidance=0.0, noise=noise)
    assert torch.equal(films[0], films[1])


def test_a_shape_of_ones_own_is_made() -> None:
    assert generate(Toy(), ["a cat"], steps=10, shape=FilmShape(2, 8, 3)).shape == (1, 2, 3, 8, 3)


def test_strength_zero_and_a_lora_that_never_sets_in_are_the_base_model() -> None:
    toy, base = Toy(), generate(Toy(), PROMPTS, steps=10)
    trained_lora(toy)
    trained = generate(toy, PROMPTS, steps=10)
    assert torch.equal(generate(toy, PROMPTS, steps=10, lora_strength=0.0), base)
    assert torch.equal(generate(toy, PROMPTS, steps=10, lora_from=0.0), base)
    assert torch.equal(generate(toy, PROMPTS, steps=10, lora_from=1.0), trained)
    assert torch.equal(generate(toy, PROMPTS, steps=10), trained), "it is on again"
    assert not torch.allclose(trained, base, atol=1e-3)


@pytest.mark.parametrize(("share", "late"), [(0.3, 3), (0.5, 5), (0.94, 9)])
def test_the_lora_sets_in_for_the_last_share_of_the_walk(share: float, late: int) -> None:
    toy = Toy()
    trained_lora(toy)
    noise = torch.randn(1, 3, 6, 4, 5, generator=torch.Generator().manual_seed(0))
    levels, told = toy.levels(10, toy.default_shape), words(toy, "a cat")
    latents = noise
    for number in range(10):
        with torch.no_grad(), lora_at(toy, 0.7 if number >= 10 - late else 0.0):
            latents = walk(toy, latents, levels[number : number + 1], Words(told.prompts, told.empty), Guidance(3.0))
    made = generate(toy, ["a cat"], steps=10, noise=noise, lora_strength=0.7, lora_from=share)
    assert torch.equal(made, toy.decode(latents))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "needs a list of prompts, one a film: got []"),
        ("a cat", "needs a list of prompts, one a film: got 'a cat'"),
        (["a cat", " \t"], "prompt 2 of 2 is empty: leave it out or write one"),
    ],
)
def test_prompts_that_say_nothing_are_refused(prompts: list[str], message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        generate(Toy(), prompts, steps=10)
    assert str(caught.value) == message


@pytest.mark.parametrize("shape", [(2, 3, 6, 4, 5), (1, 3, 6, 5, 4), (3, 6, 4, 5)])
def test_noise_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInputError, match=r"^toy needs noise of \(1, 3, 6, 4, 5\) for 1 prompts: got "):
        generate(Toy(), ["a cat"], steps=10, noise=torch.zeros(shape))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"lora_from": -0.1}, "lora_from is a share of the chain, 0 to 1: got -0.1"),
        ({"lora_from": 1.5}, "lora_from is a share of the chain, 0 to 1: got 1.5"),
        ({"lora_from": float("nan")}, "lora_from is a share of the chain, 0 to 1: got nan"),
        ({"lora_strength": float("inf")}, "lora_strength is a finite number: got inf"),
        ({"guidance": -1.0}, "guidance is 0 or more: got -1.0"),
        ({"guidance": float("nan")}, "guidance is 0 or more: got nan"),
        ({"batch_size": 0}, "batch_size is at least 1: got 0"),
        ({"steps": 0}, "a walk needs at least 1 step: got 0"),
        ({"steps": 30}, "30 steps do not divide the 1000 of the chain: take 10, 20, 25, 40, 50, ..."),
    ],
)
def test_numbers_that_make_no_sense_are_refused_before_anything_is_made(
    numbers: dict[str, float], message: str
) -> None:
    toy = Toy()
    with pytest.raises(UsageError) as caught:
        generate(toy, ["a cat"], **{"steps": 10, **numbers})
    assert str(caught.value) == message
    assert not toy.denoiser.calls
