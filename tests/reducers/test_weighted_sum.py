import pytest
import torch

import rewardkit as rk
from tests.judges import Brightness, LastMinusFirst, PromptLength, Redness, ramp


def coloured(batch: int = 2, frames: int = 8) -> torch.Tensor:
    video = ramp(batch, frames)
    video[:, :, 0] *= 0.5
    return video


def test_a_sum_is_the_sum_of_its_terms_with_their_own_frames() -> None:
    a = rk.VideoReward(Brightness(), frames="index:1,5")
    b = rk.VideoReward(Redness(), frames="uniform:3", reduce="min")
    c = rk.TemporalVideoReward(LastMinusFirst())
    total = 0.7 * a + b * 0.3 - 2 * c
    video = coloured()
    assert torch.allclose(total(video), 0.7 * a(video) + 0.3 * b(video) - 2 * c(video))


def test_a_sum_decodes_each_frame_once() -> None:
    total = rk.VideoReward(Brightness(), frames="index:1,5") + rk.VideoReward(Redness(), frames="index:2,5")
    plan = total.plan(8)
    assert plan.index.tolist() == [[1, 2, 5]]
    video = coloured(batch=1)
    assert torch.allclose(total(video[:, plan.index[0]], plan=plan), total(video))


def test_random_terms_of_different_overlap_still_make_one_batch() -> None:
    total = rk.VideoReward(Brightness(), frames="segments:3") + rk.VideoReward(Redness(), frames="segments:2")
    video = coloured(batch=16, frames=6)
    plan = total.plan(6, batch=16, generator=torch.Generator().manual_seed(0))
    needed = {len(set(plan.index[row].tolist())) for row in range(16)}
    assert len(needed) > 1, "the draw must give rows that need different numbers of frames"
    decoded = torch.stack([video[row, plan.index[row]] for row in range(16)])
    one_by_one = []
    for row in range(16):
        parts = [p.index[row].tolist() for p in plan.parts]
        one_by_one.append(video[row, parts[0]].mean() + video[row, parts[1], 0].mean())
    assert torch.allclose(total(decoded, plan=plan), torch.stack(one_by_one))


def test_parts_are_kept_by_name_before_their_coefficient() -> None:
    total = 0.7 * rk.VideoReward(Brightness()) + 0.3 * rk.VideoReward(Redness())
    out = total.detail(coloured())
    assert list(out.parts) == ["brightness", "redness"]
    assert torch.allclose(out.score, 0.7 * out.parts["brightness"].score + 0.3 * out.parts["redness"].score)
    assert out.per_frame is None


def test_the_same_reward_twice_is_told_apart() -> None:
    first, last = (
        rk.VideoReward(Brightness(), frames="first"),
        rk.VideoReward(Brightness(), frames="index:-1"),
    )
    assert list((first + last).detail(ramp()).parts) == [
        "brightness[frames=first]",
        "brightness[frames=index:-1]",
    ]
    assert list((first + first).detail(ramp()).parts) == [
        "1:brightness[frames=first]",
        "2:brightness[frames=first]",
    ]


def test_sums_flatten_scale_and_start_from_zero() -> None:
    a, b = rk.VideoReward(Brightness()), rk.VideoReward(Redness())
    nested = 2 * (0.5 * a + b) + a
    assert isinstance(nested, rk.WeightedSum)
    assert nested.spec == "brightness+2*redness+brightness"
    assert torch.allclose(sum([a, b])(coloured()), (a + b)(coloured()))
    assert rk.WeightedSum([(2.0, 0.5 * a + b)]).spec == "brightness+2*redness"


@pytest.mark.parametrize("coefficient", [0.1234567, 0.12345678, 1e-05, 2e6, -3.0, 1e22, 0.0, 1 / 3])
def test_a_spec_keeps_every_digit_of_its_coefficients(coefficient: float) -> None:
    spec = (coefficient * rk.create_reward("sharpness") + rk.create_reward("contrast")).spec
    again = rk.create_reward(spec)
    assert isinstance(again, rk.WeightedSum)
    assert again.coefficients == (coefficient, 1.0)


def test_a_sum_asks_for_what_any_term_needs() -> None:
    total = rk.VideoReward(Brightness()) + 0 * rk.VideoReward(PromptLength())
    assert total.needs_prompt
    assert total.truncates("x" * 21)
    with pytest.raises(rk.BadInputError, match="got none"):
        total(ramp())
    assert torch.allclose(total(ramp(), ["a", "b"]), rk.VideoReward(Brightness())(ramp()))


def test_a_term_draws_the_frames_that_it_draws_alone() -> None:
    red, bright = (rk.VideoReward(judge, frames="segments:2") for judge in (Redness(), Brightness()))

    def frames(reward: rk.Reward, part: int | None = None) -> list[list[int]]:
        plan = reward.plan(100, batch=4, generator=torch.Generator().manual_seed(3))
        return list((plan if part is None else plan.parts[part]).index.tolist())

    assert frames(red + bright, 1) == frames(bright + red, 0) == frames(0 * red + bright, 1) == frames(bright)
    assert len({tuple(row) for row in frames(bright)}) > 1, "each video of a batch has its own draw"


def test_only_rewards_add_up() -> None:
    reward = rk.VideoReward(Brightness())
    for other in (5, 0.5, "x"):
        with pytest.raises(TypeError):
            reward + other
    with pytest.raises(TypeError):
        reward * "2"


def test_normalisation_reaches_every_term() -> None:
    total = rk.create_reward("0.7*technical+0.3*flicker", normalise="fixed:0,0.5")
    assert total.spec.count("normalise=fixed:0.0,std=0.5") == 2


def test_a_reward_without_gradient_can_be_recorded_beside_one_that_trains() -> None:
    total = rk.create_reward("contrast[frames=first]+0*jpeg[frames=first]")
    assert total.differentiable
    assert not rk.create_reward("contrast+jpeg").differentiable
    video = torch.rand(2, 3, 3, 16, 24).requires_grad_()
    detail = total.detail(video)
    detail.score.sum().backward()
    assert video.grad is not None
    assert (video.grad[:, 0] != 0).any()
    assert detail.parts["jpeg"].score.isfinite().all()
