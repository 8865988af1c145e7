from dataclasses import replace

import pytest
import torch

import rewardkit as rk
from rewardkit.miniworld.renderer import draw
from rewardkit.miniworld.spoiling import _MARK_OPACITY
from rewardkit.miniworld.truth import Truth, caption, sample_truths

TRUTHS = [replace(truth, quality="good") for truth in sample_truths(6, seed=3)]
FILMS = torch.stack([draw(truth, seed=number) for number, truth in enumerate(TRUTHS)])


def test_drawn_films_are_right_for_their_own_caption_and_wrong_for_that_of_the_opposite_way() -> None:
    right = rk.create_reward("rewardkit.miniworld.judging:Right", device="cpu")
    assert right(FILMS, [caption(truth) for truth in TRUTHS]).tolist() == [1.0] * 6
    other = [caption(Truth("red" if t.colour != "red" else "blue", t.shape, t.direction, t.speed)) for t in TRUTHS]
    assert right(FILMS, other).tolist() == [0.0] * 6


def test_a_watermark_costs_its_opacity() -> None:
    unmarked = rk.create_reward("rewardkit.miniworld.judging:Unmarked", device="cpu")
    spoiled = torch.stack([draw(replace(t, quality="watermarked"), seed=n) for n, t in enumerate(TRUTHS)])
    assert unmarked(FILMS).min() > -0.05
    assert unmarked(spoiled).tolist() == pytest.approx([-_MARK_OPACITY] * 6, abs=0.08)
