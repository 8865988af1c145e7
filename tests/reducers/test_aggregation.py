import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rewardkit import LogMeanExp, Max, Mean, Min, Quantile, SoftMin, TrimmedMean, UsageError
from rewardkit.reducers.aggregation import AGGREGATIONS, Aggregation
from rewardkit.spec import parse_part

frames = st.integers(1, 1000)
seeds = st.integers(0, 2**31)
ALL = [Mean(), Min(), Max(), Quantile(0.3), TrimmedMean(0.2), SoftMin(0.1), LogMeanExp(4.0), LogMeanExp(-4.0)]


def draw(num_frames: int, seed: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, num_frames, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(part: Aggregation, scores: list[float], weights: list[float]) -> float:
    """The definition, one number at a time."""
    ordered = sorted(scores)
    if isinstance(part, Mean):
        return sum(w * s for w, s in zip(weights, scores, strict=True)) / len(scores)
    if isinstance(part, Min):
        return ordered[0]
    if isinstance(part, Max):
        return ordered[-1]
    if isinstance(part, Quantile):
        return float(np.quantile(scores, part.q))
    if isinstance(part, TrimmedMean):
        cut = math.floor(part.share * len(scores) + 1e-9)
        return sum(ordered[cut : len(scores) - cut]) / (len(scores) - 2 * cut)
    if isinstance(part, SoftMin):
        shares = [w * math.exp(-s / part.temperature) for w, s in zip(weights, scores, strict=True)]
        return sum(share * s for share, s in zip(shares, scores, strict=True)) / sum(shares)
    assert isinstance(part, LogMeanExp)
    total = sum(w * math.exp(part.beta * s) for w, s in zip(weights, scores, strict=True))
    return math.log(total / sum(weights)) / part.beta


@pytest.mark.parametrize("part", ALL, ids=str)
@given(num_frames=frames, seed=seeds)
def test_equals_its_definition(part: Aggregation, num_frames: int, seed: int) -> None:
    scores = draw(num_frames, seed)
    weights = draw(num_frames, seed + 1).exp() if part.uses_weights else torch.ones_like(scores)
    found = part.reduce(scores, weights)
    expected = [plain(part, s, w) for s, w in zip(scores.tolist(), weights.tolist(), strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("part", ALL, ids=str)
@given(num_frames=frames, seed=seeds)
def test_lies_between_worst_and_best_and_ignores_order(part: Aggregation, num_frames: int, seed: int) -> None:
    scores = draw(num_frames, seed)
    ones = torch.ones_like(scores)
    found = part.reduce(scores, ones)
    assert (found >= scores.amin(dim=1) - 1e-9).all()
    assert (found <= scores.amax(dim=1) + 1e-9).all()
    assert torch.allclose(part.reduce(scores.flip(1), ones), found)
    assert torch.allclose(part.reduce(scores + 5, ones), found + 5)


@pytest.mark.parametrize("part", ALL, ids=str)
def test_gradient_agrees_with_finite_differences(part: Aggregation) -> None:
    scores = draw(7, 3).requires_grad_()
    weights = draw(7, 4).exp() if part.uses_weights else torch.ones(2, 7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: part.reduce(s, weights), (scores,))


def test_soft_versions_reach_their_limits() -> None:
    scores = draw(9, 5)
    ones = torch.ones_like(scores)
    assert torch.allclose(SoftMin(1e-3).reduce(scores, ones), scores.amin(dim=1), atol=1e-2)
    assert torch.allclose(SoftMin(1e6).reduce(scores, ones), scores.mean(dim=1), atol=1e-4)
    assert torch.allclose(LogMeanExp(1e3).reduce(scores, ones), scores.amax(dim=1), atol=1e-2)
    assert torch.allclose(LogMeanExp(1e-6).reduce(scores, ones), scores.mean(dim=1), atol=1e-4)


def test_large_scores_do_not_overflow() -> None:
    scores = torch.tensor([[1e4, 1e4 + 1]])
    assert torch.isfinite(LogMeanExp(4.0).reduce(scores, torch.ones_like(scores))).all()
    assert torch.isfinite(SoftMin(1e-3).reduce(scores, torch.ones_like(scores))).all()


@pytest.mark.parametrize("part", ALL, ids=str)
def test_prints_as_the_spec_that_builds_it(part: Aggregation) -> None:
    assert parse_part(Aggregation, str(part), AGGREGATIONS) == part


@pytest.mark.parametrize("spec", ["quantile:1.5", "trimmed:0.5", "softmin:0", "logmeanexp:0", "quantile", "mean:2"])
def test_impossible_settings_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        parse_part(Aggregation, spec, AGGREGATIONS)


@pytest.mark.parametrize("part", ALL, ids=str)
def test_a_frame_without_a_number_is_never_hidden(part: Aggregation) -> None:
    scores = draw(9, 6)
    scores[0, 4] = float("nan")
    found = part.reduce(scores, torch.ones_like(scores))
    assert found[0].isnan()
    assert found[1].isfinite()
