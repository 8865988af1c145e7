"""Through which steps gradient goes."""

import pytest
import torch

from rewardkit.engine.gradient_steps import GRADIENT_STEPS, Drawn, GradientSteps, Last, Listed, Spread, Tail
from rewardkit.errors import UnknownNameError, UsageError
from rewardkit.spec import parse_part


def parse(spec: str) -> GradientSteps:
    return parse_part(GradientSteps, spec, GRADIENT_STEPS)


def chosen(spec: str, steps: int, seed: int = 0) -> list[int]:
    return sorted(parse(spec).chosen(steps, torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("last", Last()),
        ("tail", Tail()),
        ("tail:4", Tail(4)),
        ("uniform:3", Spread(3)),
        ("random", Drawn()),
        ("random:2", Drawn(2)),
        ("steps:0", Listed((0,))),
        ("steps:0,5,-1", Listed((0, 5, -1))),
    ],
)
def test_a_line_is_the_part_and_prints_back(spec: str, part: GradientSteps) -> None:
    assert parse(spec) == part
    assert str(part) == spec


@pytest.mark.parametrize(
    ("spec", "twelve"),
    [
        ("last", [11]),
        ("tail:1", [11]),
        ("tail:3", [9, 10, 11]),
        ("tail:12", list(range(12))),
        ("uniform:1", [11]),
        ("uniform:3", [3, 7, 11]),
        ("uniform:5", [2, 4, 7, 9, 11]),
        ("uniform:12", list(range(12))),
        ("steps:0,5,-1", [0, 5, 11]),
        ("steps:11,-1", [11]),
        ("steps:-12", [0]),
    ],
)
def test_these_steps_of_twelve_are_chosen(spec: str, twelve: list[int]) -> None:
    assert chosen(spec, 12) == twelve


@pytest.mark.parametrize("steps", [1, 2, 7, 12, 20])
def test_as_many_as_asked_are_chosen_from_the_walk_and_uniform_ones_lie_as_evenly_as_can_be(steps: int) -> None:
    for count in range(1, steps + 1):
        for spec in (f"tail:{count}", f"uniform:{count}", f"random:{count}"):
            found = chosen(spec, steps)
            assert len(found) == count
            assert set(found) <= set(range(steps))
        even = chosen(f"uniform:{count}", steps)
        assert even[-1] == steps - 1
        gaps = [b - a for a, b in zip([-1, *even], even, strict=False)]
        assert max(gaps) - min(gaps) <= 1


def test_random_draws_are_of_their_generator_and_hit_every_step_alike() -> None:
    assert chosen("random:3", 12, seed=1) == chosen("random:3", 12, seed=1)
    random = torch.Generator().manual_seed(0)
    hits = torch.zeros(6)
    for _ in range(3000):
        hits[list(Drawn(2).chosen(6, random))] += 1
    # 3000 draws of 2 in 6: mean 1000, deviation 26
    assert ((hits - 1000).abs() < 100).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tail:13", "tail:13 needs 13 steps: the walk has 12"),
        ("uniform:13", "uniform:13 needs 13 steps: the walk has 12"),
        ("random:13", "random:13 needs 13 steps: the walk has 12"),
        ("steps:3,12", "steps:3,12 asks for step 12: the walk has 12"),
        ("steps:-13", "steps:-13 asks for step -13: the walk has 12"),
    ],
)
def test_more_steps_than_the_walk_has_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        chosen(spec, 12)


@pytest.mark.parametrize(
    "spec", ["tail:0", "tail:-1", "tail:x", "uniform", "random:0", "steps", "steps:", "steps:a", "last:1"]
)
def test_a_line_that_says_nothing_is_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        parse(spec)


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match="no choice of gradient steps is called 'tails': did you mean tail"):
        parse("tails:3")
