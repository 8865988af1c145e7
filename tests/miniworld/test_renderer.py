import dataclasses
import hashlib
import math

import numpy as np
import pytest
import torch

from rewardkit.errors import UsageError
from rewardkit.miniworld.renderer import centres, draw
from rewardkit.miniworld.truth import COLOURS, DIRECTIONS, RGB, SHAPES, Truth, sample_truths

# what people mean by the words, in degrees counter-clockwise from the right
COMPASS = {
    "right": 0,
    "up right": 45,
    "up": 90,
    "up left": 135,
    "left": 180,
    "down left": 225,
    "down": 270,
    "down right": 315,
}


def shape_weight(film):
    """How strongly each pixel is coloured: the background is nearly grey, every shape is not."""
    colourful = film.amax(1) - film.amin(1)
    return (colourful - 0.15).clamp(min=0)


def measured_centres(film):
    """Centre of mass of the coloured pixels per frame, (x, y) in picture sides."""
    weight = shape_weight(film)
    height, width = weight.shape[1:]
    total = weight.sum((1, 2))
    x = (weight.sum(1) @ ((torch.arange(width) + 0.5) / width)) / total
    y = (weight.sum(2) @ ((torch.arange(height) + 0.5) / height)) / total
    return torch.stack([x, y], 1)


@pytest.mark.parametrize("size", [32, 256])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_centre_of_mass_moves_in_the_stated_direction_at_the_stated_speed(direction, size):
    for speed, distance in (("slowly", 0.2), ("quickly", 0.4)):
        film = draw(Truth("green", "circle", direction, speed), num_frames=8, size=size, seed=5)
        steps = measured_centres(film).diff(dim=0)
        angle = math.radians(COMPASS[direction])
        wanted = torch.tensor([math.cos(angle), -math.sin(angle)]) * distance / 7
        # half a hundredth of a side: at 32 pixels the weight of an edge pixel is only known to 8 bits
        assert torch.allclose(steps, wanted.expand(7, 2), atol=0.005)


@pytest.mark.parametrize("shape", SHAPES)
def test_centre_of_mass_is_where_the_truth_says(shape):
    truth = Truth("red", shape, "up left")
    measured = measured_centres(draw(truth, size=96, seed=2))
    assert torch.allclose(measured, torch.tensor(centres(truth, seed=2)).float(), atol=0.006)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "ring"])
def test_colour_at_the_centre_of_mass_is_the_stated_one(colour, shape):
    film = draw(Truth(colour, shape, "down right"), size=64, seed=1)
    for frame, (x, y) in zip(film, measured_centres(film) * 64, strict=True):
        assert torch.allclose(frame[:, int(y), int(x)], torch.tensor(RGB[colour]), atol=0.5 / 255 + 1e-6)


def test_a_ring_has_a_hole_and_a_circle_has_none():
    ring, circle = (draw(Truth("blue", shape, "left"), size=64) for shape in ("ring", "circle"))
    x, y = (measured_centres(ring)[0] * 64).int()
    assert shape_weight(ring)[0, y, x] == 0
    assert shape_weight(circle)[0, y, x] > 0


def test_shapes_differ_from_each_other():
    masks = [shape_weight(draw(Truth("red", shape, "up"), seed=1)) > 0 for shape in SHAPES]
    for first in range(len(masks)):
        for second in range(first):
            assert (masks[first] ^ masks[second]).float().mean() > 0.01


def test_shapes_never_touch_the_border():
    for seed, truth in enumerate(sample_truths(60, seed=7)):
        weight = shape_weight(draw(dataclasses.replace(truth, quality="good"), num_frames=5, seed=seed))
        assert weight[:, [0, -1]].sum() + weight[:, :, [0, -1]].sum() == 0
        assert (weight.sum((1, 2)) > 0).all()


@pytest.mark.parametrize("quality", ["good", "washed out", "watermarked", "dark", "blurred"])
def test_small_picture_is_the_large_one_shrunk(quality):
    truth = Truth("purple", "star", "down", quality=quality)
    small, large = draw(truth, size=32, seed=3), draw(truth, size=256, seed=3)
    shrunk = torch.nn.functional.avg_pool2d(large, 8)
    # coverage is estimated from one distance a pixel, which is a few tenths off at a star's tip
    assert (small - shrunk).abs().mean() < 0.004
    assert (small - shrunk).abs().max() < 0.25


def test_edges_are_smooth_at_every_size():
    for size in (32, 50, 256):
        reds = draw(Truth("red", "circle", "up"), num_frames=1, size=size)[0, 0].unique()
        assert len(reds) > 20


@pytest.mark.parametrize("num_frames", [1, 2, 33])
def test_film_has_the_shape_and_range_asked_for(num_frames):
    film = draw(Truth("red", "cross", "up", quality="noisy"), num_frames=num_frames, size=40)
    assert film.shape == (num_frames, 3, 40, 40)
    assert film.dtype == torch.float32
    assert film.min() >= 0
    assert film.max() <= 1


def test_values_are_whole_levels_of_8_bits():
    levels = draw(Truth("cyan", "ring", "up", quality="blurred")) * 255
    assert torch.allclose(levels, levels.round(), atol=1e-4)


def test_film_is_the_same_on_every_machine():
    # recorded once on x86-64; any other machine must agree
    films = [draw(truth, seed=seed) for seed, truth in enumerate(sample_truths(12, seed=0))]
    pixels = (torch.stack(films) * 255).round().byte().numpy().tobytes()
    assert hashlib.sha256(pixels).hexdigest()[:16] == "c67baafa32bd5b0e"


def test_seed_changes_place_and_background_and_nothing_else_does():
    truth = Truth("red", "circle", "up")
    assert not torch.equal(draw(truth, seed=0), draw(truth, seed=1))
    other = draw(dataclasses.replace(truth, colour="blue", shape="square"), seed=0)
    first = draw(truth, seed=0)
    shown = (shape_weight(first) > 0) | (shape_weight(other) > 0)
    far = torch.nn.functional.max_pool2d(shown.float(), 5, stride=1, padding=2) == 0
    assert far.float().mean() > 0.5
    assert torch.equal(first.permute(1, 0, 2, 3)[:, far], other.permute(1, 0, 2, 3)[:, far])


@pytest.mark.parametrize("asked", [{"num_frames": 0}, {"size": 4}])
def test_an_empty_film_is_refused(asked):
    with pytest.raises(UsageError, match="at least 1 frame of 8 pixels"):
        draw(Truth("red", "star", "up"), **asked)


@pytest.mark.parametrize("speed", ["slowly", "quickly"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_shape_begins_at_the_side_that_it_moves_away_from(direction, speed):
    truth = Truth("green", "circle", direction, speed)
    starts = np.array([centres(truth, seed=seed)[0] for seed in range(200)])
    for axis, way in enumerate(truth.velocity):
        if way > 0.1:
            assert starts[:, axis].max() < 0.37
        elif way < -0.1:
            assert starts[:, axis].min() > 0.63
        else:
            assert np.ptp(starts[:, axis]) > 0.4
