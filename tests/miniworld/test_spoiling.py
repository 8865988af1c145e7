import dataclasses

import pytest
import torch

from rewardkit.miniworld.renderer import draw
from rewardkit.miniworld.truth import QUALITIES, Truth, sample_truths

GOOD = [dataclasses.replace(truth, quality="good") for truth in sample_truths(12, seed=11)]


def pairs(quality, size=32):
    """The same films good and spoiled, over many seeds."""
    for seed, truth in enumerate(GOOD):
        yield (
            draw(truth, size=size, seed=seed),
            draw(dataclasses.replace(truth, quality=quality), size=size, seed=seed),
        )


def sharpest_edge(film):
    return max(film.diff(dim=2).abs().max(), film.diff(dim=3).abs().max())


def test_washed_out_has_a_third_of_the_contrast_and_is_brighter():
    for good, spoiled in pairs("washed out"):
        assert float(spoiled.std()) == pytest.approx(0.3 * float(good.std()), rel=0.03)
        assert spoiled.mean() > good.mean() + 0.1


def test_dark_keeps_a_third_of_the_light():
    for good, spoiled in pairs("dark"):
        assert float(spoiled.mean()) == pytest.approx(0.3 * float(good.mean()), rel=0.03)


@pytest.mark.parametrize("size", [32, 256])
def test_blurred_has_soft_edges_and_keeps_its_light(size):
    for good, spoiled in pairs("blurred", size):
        assert sharpest_edge(spoiled) < 0.5 * sharpest_edge(good)
        assert float(spoiled.mean()) == pytest.approx(float(good.mean()), abs=0.01)


def test_noisy_differs_anew_in_every_frame_by_the_stated_amount():
    truth = Truth("red", "circle", "up", quality="noisy")
    film = draw(truth, size=64, seed=0) - draw(dataclasses.replace(truth, quality="good"), size=64, seed=0)
    grain = film[:, :, :6]  # the shape is never there, so nothing is clipped
    quartiles = torch.quantile(grain, torch.tensor([0.25, 0.75]))  # untouched by clipping at black
    assert float(quartiles[1] - quartiles[0]) == pytest.approx(2 * 0.6745 * 0.12, rel=0.03)
    frames = grain.flatten(1)
    assert torch.corrcoef(frames).fill_diagonal_(0).abs().max() < 0.15


def test_watermark_repeats_over_the_picture_and_stands_still():
    for good, spoiled in pairs("watermarked"):
        opacity = (spoiled - good).mean(1) / (1 - good).mean(1)
        assert float(opacity.max()) == pytest.approx(0.4, abs=0.03)
        assert (opacity[0] - opacity[-1]).abs().max() < 0.05
        assert torch.allclose(opacity[:, :16, :16], opacity[:, 16:, 16:], atol=0.05)
        assert 0.1 < (opacity > 0.2).float().mean() < 0.4


def test_every_spoiled_film_still_shows_its_shape():
    for quality in QUALITIES[1:]:
        for good, spoiled in pairs(quality):
            colourful = good.amax(1) - good.amin(1) > 0.4
            seen = spoiled.amax(1) - spoiled.amin(1)
            assert seen[colourful].mean() > seen[~colourful].mean() + 0.05
