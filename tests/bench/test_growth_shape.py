"""How benchmarks/growth.py tells linear growth from other growth."""

import runpy
from pathlib import Path

import pytest

SHAPE = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "growth_parts" / "shape.py"))
POINTS = (1, 2, 4, 8, 16)


@pytest.mark.parametrize("fixed", [0, 0.1, 100])
@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_the_exponent_is_that_of_what_is_added_to_the_fixed_cost(fixed: float, power: float) -> None:
    costs = [fixed + 3 * (point - 1) ** power for point in POINTS]
    assert SHAPE["exponent"](POINTS, costs) == pytest.approx(power)


def test_a_line_is_linear_and_a_square_is_not() -> None:
    assert SHAPE["judge"]("linear", POINTS, [5 + 2 * point for point in POINTS]).met
    assert not SHAPE["judge"]("linear", POINTS, [5 + 2 * point**2 for point in POINTS]).met


def test_what_grows_is_not_constant_and_what_falls_is() -> None:
    assert SHAPE["judge"]("constant", POINTS, [10, 10, 10, 10, 11]).met
    assert not SHAPE["judge"]("constant", POINTS, [10, 10, 10, 10, 12]).met
    assert SHAPE["judge"]("constant", POINTS, [10, 9, 8, 7, 6]).met


def test_a_cost_that_does_not_grow_has_no_exponent() -> None:
    assert SHAPE["judge"]("linear", POINTS, [3] * 5) == ("linear", None, False)
