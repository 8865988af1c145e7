"""Flicker, motion and smoothness against closed forms and known truth."""

import math
from itertools import pairwise

import pytest
import torch
from pictures import film
from torch import Tensor

from rewardkit.rewards.flicker import Flicker
from rewardkit.rewards.motion import Motion
from rewardkit.rewards.smoothness import Smoothness

SEEDS = range(4)


def flat_film(levels: list[float]) -> Tensor:
    return torch.tensor(levels).view(1, -1, 1, 1, 1).expand(1, -1, 3, 12, 16)


def waves(shift_per_frame: float, frames: int = 6) -> Tensor:
    """Vertical stripes of 32 pixels, 64x96, that move to the right."""
    x, t = torch.arange(96.0), torch.arange(float(frames))
    rows = 0.5 + 0.3 * torch.sin(2 * math.pi * (x[None] - shift_per_frame * t[:, None]) / 32)
    return rows.view(1, frames, 1, 1, 96).expand(1, frames, 3, 64, 96)


def jittered(video: Tensor, sigma: float) -> Tensor:
    draw = torch.randn(video.shape[1], generator=torch.Generator().manual_seed(1))
    return video * (1 + sigma * draw).view(1, -1, 1, 1, 1)


def falls(scores: list[float]) -> bool:
    return all(after < before for before, after in pairwise(scores))


# flicker


def test_flicker_of_an_alternating_grey_is_its_closed_form() -> None:
    # 0.5 +- 0.02 alternating: every second difference is 0.08
    score = Flicker()(flat_film([0.52, 0.48] * 4)).item()
    assert score == pytest.approx(-100 * 0.08 / math.sqrt(6) / 0.55, rel=1e-4)


def test_flicker_recovers_the_jitter_of_a_still_film() -> None:
    still = film(0, frames=1).expand(1, 400, -1, -1, -1)[..., ::8, ::8]
    score = Flicker()(jittered(still, 0.03)).item()
    assert -score == pytest.approx(3 * 0.5 / 0.55, rel=0.15)  # 400 draws; DARK takes a tenth off at mid grey


def test_flicker_does_not_mind_a_fade() -> None:
    assert Flicker()(flat_film([0.2 + 0.05 * t for t in range(8)])).item() == pytest.approx(0, abs=0.02)


def test_flicker_minds_jitter_more_than_motion() -> None:
    moving, still = film(0, step=2), film(0, step=0)
    assert Flicker()(jittered(still, 0.02)).item() < 2 * Flicker()(moving).item() < 0


@pytest.mark.parametrize("seed", SEEDS)
def test_flicker_falls_with_jitter(seed: int) -> None:
    moving = film(seed)
    assert falls([Flicker()(jittered(moving, sigma)).item() for sigma in (0, 0.01, 0.02, 0.04, 0.08, 0.16)])


# motion


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_motion_of_moving_waves_is_their_speed(shift: float) -> None:
    score = Motion()(waves(shift)).item()
    assert score == pytest.approx(100 * shift / 64, rel=0.05)  # normal flow is exact for small shifts only


def test_motion_of_a_still_film_is_nothing() -> None:
    assert Motion()(film(0, step=0)).item() == 0


def test_motion_does_not_take_exposure_for_motion() -> None:
    still = film(0, step=0)
    assert Motion()(jittered(still, 0.05)).item() < 0.1 * Motion()(film(0, step=1)).item()


def test_motion_does_not_heed_contrast() -> None:
    moving = film(0, step=1)
    low = 0.5 + 0.5 * (moving - 0.5)
    assert Motion()(low).item() == pytest.approx(Motion()(moving).item(), rel=0.05)


def test_motion_is_the_same_backwards() -> None:
    moving = film(0, step=2)
    torch.testing.assert_close(Motion()(moving.flip(1)), Motion()(moving))


@pytest.mark.parametrize("seed", SEEDS)
def test_motion_falls_when_the_film_slows_down_or_stops(seed: int) -> None:
    assert falls([Motion()(film(seed, frames=8, step=step)).item() for step in (3, 2, 1, 0)])  # to 3 % a frame
    moving = film(seed, frames=12)
    stops = [moving[:, torch.arange(12).clamp(max=stop)] for stop in (11, 9, 7, 5, 3, 0)]
    assert falls([Motion()(version).item() for version in stops])


# smoothness


def test_smoothness_of_a_fade_is_perfect() -> None:
    assert Smoothness()(flat_film([0.2 + 0.05 * t for t in range(8)])).item() == pytest.approx(0, abs=2e-3)


def test_smoothness_of_a_still_film_is_nearly_perfect() -> None:
    assert Smoothness()(film(0, step=0)).item() == pytest.approx(0, abs=0.03)


def test_smoothness_of_two_alternating_pictures_is_lowest() -> None:
    two = torch.cat([film(0, frames=1), film(1, frames=1)], dim=1).repeat(1, 4, 1, 1, 1)
    assert Smoothness()(two).item() == pytest.approx(-1, abs=1e-3)


def test_smoothness_of_held_frames_is_lowest() -> None:
    held = film(0, step=3).repeat_interleave(2, dim=1)
    assert Smoothness()(held).item() == pytest.approx(-1, abs=0.15)  # the floor calls small changes stillness


def test_smoothness_of_unrelated_frames_is_root_three_over_two() -> None:
    torch.manual_seed(0)
    cells = torch.rand(1, 40, 1, 16, 20).expand(1, 40, 3, 16, 20)
    assert Smoothness()(cells).item() == pytest.approx(-math.sqrt(3) / 2, rel=0.02)


def test_smoothness_does_not_reward_slowing_down() -> None:
    assert Smoothness()(waves(1.0)).item() == pytest.approx(Smoothness()(waves(0.5)).item(), abs=0.06)


@pytest.mark.parametrize("seed", SEEDS)
def test_smoothness_falls_when_frames_are_shuffled_or_repeated(seed: int) -> None:
    even, swap, repeat = list(range(12)), list(range(12)), list(range(12))
    swapped, repeated = [even], [even]
    for first in (4, 8, 0, 6, 2):
        swap[first], swap[first + 1] = first + 1, first
        repeat[first + 1] = first
        swapped.append(list(swap))
        repeated.append(list(repeat))
    for orders in (swapped, repeated):
        assert falls([Smoothness()(film(seed, frames=12)[:, order]).item() for order in orders])
