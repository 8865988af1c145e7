"""The rewards that come with the mini world, on films that neither was trained on."""

import dataclasses
import functools
from typing import Literal

import pytest
import torch
from torch import Tensor

import rewardkit as rk
from rewardkit import conformance
from rewardkit.miniworld.preference import JUDGE, MINIWORLD
from rewardkit.miniworld.renderer import draw
from rewardkit.miniworld.truth import COLOURS, QUALITIES, SHAPES, Truth, caption, sample_truths

NAMES = ("miniworld", "miniworld-judge")
GOOD = [dataclasses.replace(truth, quality="good") for truth in sample_truths(80, seed=4711)]
SPOILED = QUALITIES[1:]
Kind = Literal["colour", "shape"]

each_reward = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """These networks are tiny: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def reward(name: str) -> rk.ImageReward:
    return rk.create_image_reward(name, device="cpu", dtype="float32")


@functools.cache
def pictures(quality: str = "good") -> Tensor:
    """One picture a film, from another place of its way each time; seeds are far from those of training."""
    films = [
        draw(dataclasses.replace(truth, quality=quality), seed=5 * 10**9 + n)[n % 8] for n, truth in enumerate(GOOD)
    ]
    return torch.stack(films)


@functools.cache
def scores(name: str, quality: str = "good") -> Tensor:
    return score(name, pictures(quality), GOOD)


def score(name: str, pixels: Tensor, truths: list[Truth]) -> Tensor:
    return reward(name)(pixels, [caption(truth) for truth in truths])


def mistaken(kind: Kind) -> list[Truth]:
    """Every truth with the next colour or shape but one in its place."""
    words = {"colour": COLOURS, "shape": SHAPES}[kind]
    return [
        dataclasses.replace(t, **{kind: words[(words.index(getattr(t, kind)) + 1 + n % (len(words) - 1)) % len(words)]})
        for n, t in enumerate(GOOD)
    ]


def share(right: Tensor, wrong: Tensor) -> float:
    return (right > wrong).float().mean().item()


@pytest.mark.parametrize(("name", "floor"), [("miniworld", 0.95), ("miniworld-judge", 0.9)])
@pytest.mark.parametrize("quality", SPOILED)
def test_good_is_preferred_to_spoiled(name: str, floor: float, quality: str) -> None:
    assert share(scores(name), scores(name, quality)) >= floor


@pytest.mark.parametrize(("name", "floor"), [("miniworld", 0.9), ("miniworld-judge", 0.85)])
@pytest.mark.parametrize("kind", ["colour", "shape"])
def test_the_right_caption_is_preferred_to_a_wrong_one(name: str, floor: float, kind: Kind) -> None:
    assert share(scores(name), score(name, pictures(), mistaken(kind))) >= floor


@each_reward
def test_mistaken_truths_are_wrong_in_one_thing(name: str) -> None:
    """So that the test above means something."""
    del name
    assert all(a.colour != b.colour and a.shape == b.shape for a, b in zip(GOOD, mistaken("colour"), strict=True))
    assert all(a.colour == b.colour and a.shape != b.shape for a, b in zip(GOOD, mistaken("shape"), strict=True))


@each_reward
@pytest.mark.parametrize("quality", SPOILED)
def test_the_mean_score_rises_along_a_blend_from_spoiled_to_good(name: str, quality: str) -> None:
    blends = [pictures(quality).lerp(pictures(), share) for share in (0.25, 0.5, 0.75)]
    steps = [scores(name, quality), *(score(name, blend, GOOD) for blend in blends), scores(name)]
    means = torch.stack(steps).mean(dim=1)
    assert (means.diff() > 0).all(), means


@pytest.mark.parametrize("quality", SPOILED)
def test_the_gradient_points_from_spoiled_to_good(quality: str) -> None:
    """The slope along the way to the good picture, which a step of fine-tuning follows."""
    pixels = pictures(quality).clone().requires_grad_()
    score("miniworld", pixels, GOOD).sum().backward()
    assert pixels.grad is not None
    slope = (pixels.grad * (pictures() - pictures(quality))).flatten(1).sum(dim=1)
    assert (slope > 0).float().mean() >= 0.85


def test_the_two_are_not_the_same_function() -> None:
    """The judge is there to disagree where training has found a weakness of the other."""
    both = [torch.cat([scores(name, quality) for quality in QUALITIES]) for name in NAMES]
    assert torch.corrcoef(torch.stack(both))[0, 1] < 0.99
    orders = [torch.sign(values[:, None] - values) for values in both]
    assert (orders[0] != orders[1]).any()


@each_reward
def test_no_number_depends_on_direction_or_speed_alone(name: str) -> None:
    """A single frame shows neither: another direction moves the score less than another shape does."""
    turned = [dataclasses.replace(truth, direction="up", speed="slowly") for truth in GOOD]
    moved = (score(name, pictures(), turned) - scores(name)).abs().mean()
    assert moved < 0.25 * (score(name, pictures(), mistaken("shape")) - scores(name)).abs().mean()


@each_reward
@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_the_rewards_conform(name: str, check: object) -> None:
    assert callable(check)
    check(reward(name))


@pytest.mark.parametrize(("release", "most"), [(MINIWORLD, 1.5e6), (JUDGE, 1e6)], ids=NAMES)
def test_the_weights_are_small_and_here(release, most: float) -> None:
    path = release.files["checkpoint"].cached()
    assert path is not None
    assert path.stat().st_size <= most


def test_words_outside_the_captions_are_all_alike() -> None:
    """The vocabulary is that of the captions; it says so by one token for everything else."""
    tokenizer = reward("miniworld").tokenizer
    known, strange, other = tokenizer(["a red star", "a red lighthouse", "A red, boat!"]).tolist()
    assert strange == other != known
    assert len(set(known)) == 6  # begin, three words, end, filling
    assert max(known) == known[4]  # CLIP reads the vector of a text at the highest id


def test_every_word_of_a_caption_is_known() -> None:
    tokenizer = reward("miniworld").tokenizer
    texts = [caption(truth) for truth in sample_truths(300, seed=1)]
    tokens = tokenizer(texts)
    assert not (tokens == tokenizer(["lighthouse"])[0, 1]).any()
    assert [tokenizer.length(text) for text in texts] == (tokens > 0).sum(dim=1).tolist()


def test_what_is_too_long_is_cut_before_the_end_token() -> None:
    model = reward("miniworld")
    long = " ".join(["red"] * 40)
    tokens = model.tokenizer([long, "red"])
    assert tokens.shape == (2, model.tokenizer.context)
    assert tokens[0, -1] == tokens[1, 2]
    assert model.truncates(long)
    assert not model.truncates("a red star")
