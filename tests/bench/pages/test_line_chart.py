import math

import pytest

from rewardkit.bench.pages.curve import HEIGHT, WIDTH
from rewardkit.bench.pages.line_chart import Point, line_chart


def test_steps_go_right_and_numbers_up() -> None:
    chart = line_chart("a", "", [Point(0, 1.0), Point(5, 3.0), Point(10, 2.0)], last=10)
    assert chart is not None
    assert [dot.x for dot in chart.dots] == [0, WIDTH / 2, WIDTH]
    first, second, third = (dot.y for dot in chart.dots)
    assert HEIGHT > first > third > second > 0
    assert chart.path.startswith(f"M{chart.dots[0].x:.1f} {first:.1f} L")


def test_errors_make_a_band_and_a_limit_is_inside() -> None:
    chart = line_chart("a", "", [Point(0, 1.0, 0.5), Point(1, 1.0, 0.5)], last=1, limit=-3.0)
    assert chart is not None
    assert chart.low < -3.0
    assert chart.high > 1.5
    assert chart.limit is not None
    assert 0 < chart.dots[0].y < chart.limit < HEIGHT
    assert chart.band.endswith("Z")


def test_an_even_line_lies_in_the_middle() -> None:
    chart = line_chart("a", "", [Point(0, 2.0), Point(1, 2.0)], last=1)
    assert chart is not None
    assert [dot.y for dot in chart.dots] == [pytest.approx(HEIGHT / 2)] * 2
    assert not chart.band


@pytest.mark.parametrize("points", [[], [Point(0, math.nan)]])
def test_nothing_to_draw_is_no_chart(points: list[Point]) -> None:
    assert line_chart("a", "", points, last=1) is None


def test_a_trend_is_the_mean_of_neighbours_and_only_of_many_points() -> None:
    points = [Point(step, float(step % 2)) for step in range(1, 101)]
    chart = line_chart("a", "", points, last=100)
    few = line_chart("a", "", points[:40], last=40)
    assert chart is not None
    assert few is not None
    assert few.trend == ""
    heights = [float(place.split()[1]) for place in chart.trend[1:].split("L")]
    raw = [dot.y for dot in chart.dots]
    assert len(heights) == 100
    assert heights[50] == pytest.approx(sum(raw[45:56]) / 11, abs=0.1)
    assert max(heights) - min(heights) < 0.5 * (max(raw) - min(raw))
