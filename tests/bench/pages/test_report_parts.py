import numpy as np
import pytest
import torch

from rewardkit.bench.pages.curve import HEIGHT, WIDTH, FrameScore, draw_curve, frame_scores
from rewardkit.bench.pages.histogram import histogram
from rewardkit.bench.pages.numerals import duration, fixed
from rewardkit.bench.pages.thumbnails import read_strip, spread_over, thumbnail
from rewardkit.scoring.rows import PartScore


def scores(*values, frames=None):
    return [FrameScore(f, v, 1.0, 1.0) for f, v in zip(frames or range(len(values)), values, strict=True)]


def test_curve_places_frames_by_number_and_scores_upwards():
    curve = draw_curve(scores(1.0, 3.0, 2.0, frames=[0, 5, 20]), num_frames=21, overall=2.0)
    assert [dot.x for dot in curve.dots] == [0, WIDTH / 4, WIDTH]
    assert [dot.y for dot in curve.dots] == [HEIGHT, 0, HEIGHT / 2]
    assert (curve.low, curve.high, curve.last) == (1.0, 3.0, 20)


def test_curve_of_a_steady_video_looks_steady():
    curve = draw_curve(scores(1.0, 1.01), num_frames=2, overall=1.0)
    assert curve.high - curve.low == pytest.approx(0.2)
    assert abs(curve.dots[0].y - curve.dots[1].y) == pytest.approx(HEIGHT * 0.01 / 0.2)


def test_curve_of_one_frame_is_a_dot_in_the_middle():
    (dot,) = draw_curve(scores(0.3), num_frames=1, overall=0.0).dots
    assert (dot.x, dot.y) == (WIDTH / 2, HEIGHT / 2)


def test_frame_scores_that_are_not_finite_are_left_out():
    part = PartScore(score=0, per_frame=[1.0, float("nan"), 2.0], frame_index=[0, 1, 2], weights=[1.0, 1.0, 0.5])
    assert [(s.frame, s.share) for s in frame_scores(part)] == [(0, 1.0), (2, 0.5)]


def test_lists_of_different_lengths_give_no_frame_scores():
    part = PartScore(score=0, per_frame=[1.0, 2.0], frame_index=[0, 1, 2], weights=None)
    assert frame_scores(part) == []


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("count", [2, 14, 3_000])
def test_histogram_counts_every_score_once(count, scale):
    values = (np.random.default_rng(count).normal(size=count) * scale).tolist()
    bins = histogram(values)
    assert sum(bins.counts) == count
    assert bins.borders[0] <= min(values) <= max(values) <= bins.borders[-1]
    assert 3 <= len(bins.counts) <= 32


def test_histogram_of_one_value_is_none():
    assert histogram([0.5, 0.5]) is None
    assert histogram([]) is None


def test_histogram_borders_are_round():
    assert histogram([0.0, 1.0]).borders == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1])


@pytest.mark.parametrize(
    ("number", "decimals", "shown"),
    [
        (0.12345, 3, "0.123"),
        (-1.5, 1, "\N{MINUS SIGN}1.5"),
        (-0.0001, 2, "0.00"),
        (12345.6, 0, "12,346"),
        (1.5e12, 0, "1.5e+12"),
        (None, 2, "\N{EN DASH}"),
        (float("nan"), 2, "\N{EN DASH}"),
    ],
)
def test_fixed(number, decimals, shown):
    assert fixed(number, decimals) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0.42, "0.4 ms"),
        (239.2, "239 ms"),
        (999.6, "1.0 s"),
        (2_100, "2.1 s"),
        (185_000, "3 min 5 s"),
        (None, "\N{EN DASH}"),
    ],
)
def test_duration(milliseconds, shown):
    assert duration(milliseconds) == shown


def test_spread_over_keeps_both_ends_and_order():
    assert spread_over(list(range(10)), 4) == [0, 3, 6, 9]
    assert spread_over([5, 8], 4) == [5, 8]


@pytest.mark.parametrize(
    ("height", "width", "shown"), [(480, 832, (96, 166)), (32, 32, (32, 32)), (100, 2_000, (13, 256))]
)
def test_thumbnails_keep_their_proportions_and_never_grow(height, width, shown):
    picture = thumbnail(0, torch.zeros(3, height, width, dtype=torch.uint8))
    assert (picture.height, picture.width) == shown


def test_strip_reads_real_files(tmp_path):
    film = np.zeros((4, 20, 30, 3), dtype=np.uint8)
    np.save(tmp_path / "film.npy", film)
    strip = read_strip(tmp_path / "film.npy", [2, 0, 2])
    assert [picture.frame for picture in strip.pictures] == [0, 2]


@pytest.mark.parametrize("name", ["missing.mp4", "nul\0.mp4", "half\ud800.mp4"])
def test_strip_of_a_path_that_cannot_be_read_gives_a_problem(tmp_path, name):
    strip = read_strip(tmp_path / name, [0])
    assert strip.pictures == ()
    assert strip.problem


def test_strip_of_a_frame_that_is_no_longer_there_gives_a_problem(tmp_path):
    np.save(tmp_path / "film.npy", np.zeros((4, 20, 30, 3), dtype=np.uint8))
    assert "no frame 9" in read_strip(tmp_path / "film.npy", [0, 9]).problem
