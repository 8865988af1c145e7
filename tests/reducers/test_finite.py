import pytest
import torch

from rewardkit.errors import RewardFailedError
from rewardkit.reducers.finite import check_finite


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_the_first_film_whose_value_is_no_finite_number_is_named(value: str) -> None:
    values = torch.tensor([0.5, float(value), float("nan")], dtype=torch.float64)
    with pytest.raises(RewardFailedError) as caught:
        check_finite("bright", "score", values, ["a cat", "rain", "snow"])
    assert str(caught.value) == f"bright gave a score of {value} for film 2 of 3, 'rain'"
    with pytest.raises(RewardFailedError, match=f"bright gave a score of {value} for film 2 of 3$"):
        check_finite("bright", "score", values, None)


def test_finite_values_pass_and_so_do_none_at_all() -> None:
    check_finite("bright", "score", torch.tensor([-1e30, 0.0, 1e30]), None)
    check_finite("bright", "score", torch.empty(0), [])
