import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewardkit import Attenuate, Equal, Mean, Segments, UsageError
from rewardkit.reducers.attenuation import WEIGHTS, FrameWeights
from rewardkit.spec import parse_part


def weights(part: Attenuate, index: list[int], num_frames: int) -> list[float]:
    return list(part.weights(torch.tensor([index]), torch.tensor([num_frames]))[0].tolist())


def test_golden_weights_of_the_paper() -> None:
    # facts: F = 16, lambda = 1
    assert weights(Attenuate(1.0), [0, 7, 8, 9], 16) == pytest.approx(
        [3.355e-4, 0.36788, 1, 0.36788], rel=2e-4
    )  # as printed


@pytest.mark.parametrize(("rate", "mean"), [(0.5, 0.2505), (1.0, 0.1352), (2.0, 0.0821)])
def test_expected_weight_of_random_segments_is_the_papers(rate: float, mean: float) -> None:
    every = Attenuate(rate).weights(torch.arange(16)[None], torch.tensor([16]))
    assert every.mean().item() == pytest.approx(mean, abs=5e-5)  # all frames of a segment are equally likely


def test_odd_clips_have_their_middle_at_half_rounded_down() -> None:
    # the paper's F/2 is fractional here; the official code floors, and so do we
    assert weights(Attenuate(1.0), [3, 4, 5], 9) == pytest.approx([math.exp(-1), 1, math.exp(-1)])


@given(rate=st.floats(0, 10), num_frames=st.integers(1, 1000), normalise=st.booleans(), scaled=st.booleans())
def test_weights_are_positive_and_fall_away_from_the_middle(
    rate: float, num_frames: int, normalise: bool, scaled: bool
) -> None:
    part = Attenuate(rate, normalise=normalise, length_scaled=scaled)
    found = part.weights(torch.arange(num_frames)[None], torch.tensor([num_frames]))[0]
    middle = num_frames // 2
    assert (found > 0).all()
    assert (found[: middle + 1].diff() >= 0).all()
    assert (found[middle:].diff() <= 0).all()
    if normalise:
        assert found.mean().item() == pytest.approx(1, rel=1e-4)
    else:
        assert found[middle].item() == 1


def test_rate_zero_is_the_plain_mean() -> None:
    scores = torch.rand(3, 5)
    index = torch.arange(5).expand(3, 5)
    lengths = torch.tensor([5, 9, 100])
    expected = Mean().reduce(scores, Equal().weights(index, lengths))
    for normalise in (False, True):
        found = Mean().reduce(scores, Attenuate(0.0, normalise=normalise).weights(index, lengths))
        assert torch.allclose(found, expected)


def test_normalised_mean_is_the_weighted_mean_and_free_of_the_rates_scale() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    index = torch.tensor([[2, 6, 9, 14]])
    plain = Attenuate(0.7).weights(index, torch.tensor([16]))
    expected = (plain * scores).sum() / plain.sum()
    normalised = Attenuate(0.7, normalise=True).weights(index, torch.tensor([16]))
    assert Mean().reduce(scores, normalised).item() == pytest.approx(expected.item(), rel=1e-6)


def test_length_scaled_weights_see_long_clips_as_the_reference_clip() -> None:
    short = weights(Attenuate(1.0, length_scaled=True), [0, 4, 8, 12], 16)
    long = weights(Attenuate(1.0, length_scaled=True), [0, 40, 80, 120], 160)
    assert short == pytest.approx(weights(Attenuate(1.0), [0, 4, 8, 12], 16))
    assert long == pytest.approx(short)


def test_each_video_has_its_own_middle() -> None:
    found = Attenuate(1.0).weights(torch.tensor([[8, 9], [8, 9]]), torch.tensor([16, 18]))
    assert found[0].tolist() == pytest.approx([1, math.exp(-1)])
    assert found[1].tolist() == pytest.approx([math.exp(-1), 1])


def test_spec_strings_round_trip() -> None:
    for part in (
        Equal(),
        Attenuate(),
        Attenuate(0.5),
        Attenuate(2.0, normalise=True),
        Attenuate(length_scaled=True),
    ):
        assert parse_part(FrameWeights, str(part), WEIGHTS) == part
    assert parse_part(FrameWeights, "attenuate:0.5,normalise=true", WEIGHTS) == Attenuate(0.5, normalise=True)


@pytest.mark.parametrize("spec", ["attenuate:-1", "attenuate:nan", "attenuate:inf", "attenuate:1,normalise=maybe"])
def test_impossible_settings_are_refused(spec: str) -> None:
    with pytest.raises(UsageError, match=r"attenuate:rate=1\.0,normalise=false,length_scaled=false"):
        parse_part(FrameWeights, spec, WEIGHTS)


def test_the_draw_decides_how_much_a_clip_can_score() -> None:
    # facts: at lambda = 1 the sum of the four weights lies between 0.069 and 1.393
    sums = [
        sum(weights(Attenuate(1.0), Segments(4).indices(16, torch.Generator().manual_seed(seed)).tolist(), 16))
        for seed in range(300)
    ]
    assert 0.069 <= min(sums) < 0.1
    assert 1.2 < max(sums) <= 1.3934
