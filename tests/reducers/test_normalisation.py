import numpy as np
import pytest
import torch

import rewardkit as rk
from tests.judges import Brightness, ramp


def reward() -> rk.VideoReward:
    return rk.VideoReward(Brightness())


def test_fixed_scale_subtracts_and_divides() -> None:
    scaled = rk.create_reward(Brightness(), normalise="fixed:0.2,0.05")
    assert torch.allclose(scaled(ramp()), (reward()(ramp()) - 0.2) / 0.05)
    assert scaled.spec == "brightness[normalise=fixed:0.2,std=0.05]"


def test_running_scale_equals_the_statistics_of_all_scores_seen() -> None:
    scaled = rk.Normalised(reward(), rk.Running()).train()
    seen: list[float] = []
    for level in (0.2, 0.4, 0.9):
        video = torch.stack([ramp(1)[0] * level, ramp(1)[0] * level * 0.7, ramp(1)[0]])
        seen += reward()(video).tolist()
        found = scaled(video)
        expected = (np.array(seen[-3:]) - np.mean(seen)) / np.std(seen)
        assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_evaluation_mode_freezes_the_statistics() -> None:
    scaled = rk.Normalised(reward(), rk.Running()).train()
    scaled(ramp())
    scaled.eval()
    before = {name: value.clone() for name, value in scaled.state_dict().items()}
    scaled(ramp() * 0.1)
    assert all(torch.equal(value, before[name]) for name, value in scaled.state_dict().items())


def test_statistics_survive_a_checkpoint() -> None:
    scaled = rk.Normalised(reward(), rk.Running()).train()
    scaled(ramp())
    again = rk.Normalised(reward(), rk.Running())
    again.load_state_dict(scaled.state_dict())
    assert torch.equal(again.eval()(ramp()), scaled.eval()(ramp()))


def test_evaluation_needs_statistics_first() -> None:
    with pytest.raises(rk.RewardFailedError, match="call it in training mode first, or give normalise=fixed"):
        rk.Normalised(reward(), rk.Running()).eval()(ramp())


def test_the_first_score_of_a_training_is_centred_only() -> None:
    scaled = rk.Normalised(reward(), rk.Running()).train()
    video = ramp(1).requires_grad_()
    first = scaled(video)
    assert first.item() == 0
    first.sum().backward()
    assert video.grad is not None
    assert (video.grad > 0).any()


def test_a_sum_is_not_normalised_as_a_whole() -> None:
    with pytest.raises(rk.UsageError, match="normalise the single rewards, then add them up"):
        rk.Normalised(reward() + reward(), rk.Running())


def test_scores_that_are_not_finite_do_not_enter_the_statistics() -> None:
    scaled = rk.Normalised(reward(), rk.Running()).train()
    scaled(ramp())
    before = scaled.mean.clone()
    scaled._observe(torch.tensor([float("nan"), float("inf")]))
    assert torch.equal(scaled.mean, before)


def test_gradient_flows_through_the_score_and_not_the_statistics() -> None:
    scaled = rk.Normalised(reward(), rk.Running()).train()
    video = ramp().requires_grad_()
    scaled(video).sum().backward()
    assert video.grad is not None
    std = (scaled.sum_of_squares / scaled.count).sqrt()
    plain = ramp().requires_grad_()
    reward()(plain).sum().backward()
    assert plain.grad is not None
    assert torch.allclose(video.grad, plain.grad / std)
