from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import rewardkit as rk
from tests.judges import Brightness, GivesNan, LastMinusFirst, PromptLength, Redness, ramp


def test_score_is_the_reduced_score_of_the_planned_frames() -> None:
    reward = rk.VideoReward(Brightness(), frames="index:0,3,7", weights="attenuate:0.5", reduce="mean")
    video = ramp()
    out = reward.detail(video)
    for row in range(2):
        per_frame = [video[row, frame].mean().item() for frame in (0, 3, 7)]
        weights = [torch.exp(torch.tensor(-0.5 * abs(frame - 4))).item() for frame in (0, 3, 7)]
        assert out.per_frame is not None
        assert out.per_frame[row].tolist() == pytest.approx(per_frame)
        expected = sum(w * s for w, s in zip(weights, per_frame, strict=True)) / 3
        assert out.score[row].item() == pytest.approx(expected)
    assert out.frame_index.tolist() == [[0, 3, 7]] * 2


def test_frames_decoded_after_the_plan_score_like_the_whole_video() -> None:
    reward = rk.VideoReward(Brightness(), frames="segments:4", weights="attenuate:1.0")
    video = ramp(batch=3, frames=17)
    plan = reward.plan(17, batch=3, generator=torch.Generator().manual_seed(1))
    decoded = torch.stack([video[row, plan.index[row]] for row in range(3)])
    again = reward(video, generator=torch.Generator().manual_seed(1))
    assert torch.equal(reward(decoded, plan=plan), again)


def test_videos_of_different_lengths_share_a_batch() -> None:
    reward = rk.VideoReward(Brightness(), frames="uniform:4", weights="attenuate:0.3")
    short, long = ramp(batch=1, frames=8), ramp(batch=1, frames=16)
    plan = reward.plan([8, 16])
    decoded = torch.cat([short[:, plan.index[0]], long[:, plan.index[1]]])
    assert torch.allclose(reward(decoded, plan=plan), torch.cat([reward(short), reward(long)]))


@given(batch_size=st.integers(1, 20))
def test_each_prompt_meets_its_own_video_for_every_batch_size(batch_size: int) -> None:
    reward = rk.VideoReward(PromptLength(), frames="uniform:3")
    video, prompts = ramp(batch=3), ["a", "bb", "cccc"]
    alone = torch.cat([reward(video[i : i + 1], prompts[i : i + 1]) for i in range(3)])
    assert torch.allclose(reward.detail(video, prompts, batch_size=batch_size).score, alone)


def test_gradient_reaches_the_planned_frames_only() -> None:
    reward = rk.VideoReward(Brightness(), frames="uniform:4")
    video = ramp(frames=16).requires_grad_()
    reward(video).sum().backward()
    assert video.grad is not None
    touched = video.grad.abs().sum(dim=(0, 2, 3, 4)).nonzero().flatten().tolist()
    assert touched == [2, 6, 10, 14]


def test_bytes_score_like_floats() -> None:
    reward = rk.VideoReward(Brightness())
    video = (ramp() * 255).round().to(torch.uint8)
    assert torch.allclose(reward(video), reward(video.float() / 255))


def test_temporal_reward_sees_its_frames_together() -> None:
    reward = rk.TemporalVideoReward(LastMinusFirst(), frames="index:2,6")
    video = ramp()
    assert torch.allclose(reward(video), (video[:, 6] - video[:, 2]).mean(dim=(1, 2, 3)))
    assert reward.spec == "lastminusfirst[frames=index:2,6]"


def test_weights_are_refused_where_the_aggregation_ignores_them() -> None:
    with pytest.raises(rk.UsageError, match="min cannot use frame weights"):
        rk.VideoReward(Brightness(), weights="attenuate:1.0", reduce="min")


@pytest.mark.parametrize(
    ("video", "sentence"),
    [
        (torch.rand(2, 3, 8, 4, 6), r"got shape \(2, 3, 8, 4, 6\)"),
        (torch.rand(8, 3, 4, 6), "batch, frame, 3, height, width"),
        (torch.rand(1, 0, 3, 4, 6), "got shape"),
        (torch.rand(1, 8, 3, 4, 6) * 2 - 1, r"for \[-1, 1\] give"),
        (torch.full((1, 8, 3, 4, 6), float("nan")), "got nan to nan"),
        (torch.zeros(1, 8, 3, 4, 6, dtype=torch.int64), "got torch.int64"),
    ],
)
def test_what_is_not_video_is_refused(video: Tensor, sentence: str) -> None:
    with pytest.raises(rk.BadInputError, match=sentence):
        rk.VideoReward(Brightness())(video)


def test_prompts_must_fit_the_videos() -> None:
    reward = rk.VideoReward(PromptLength())
    with pytest.raises(rk.BadInputError, match="promptlength needs one prompt per video: got 1 prompts, 2 videos"):
        reward(ramp(), ["one"])
    with pytest.raises(rk.BadInputError, match="got none"):
        reward(ramp())


def test_frames_that_do_not_fit_the_plan_are_refused() -> None:
    reward = rk.VideoReward(Brightness(), frames="uniform:4")
    with pytest.raises(rk.BadInputError, match=r"the plan asks for \(2, 4\)"):
        reward(ramp(), plan=reward.plan(8, batch=2))


def test_a_reward_of_the_wrong_shape_is_named() -> None:
    class PerPixel(Redness):
        def forward(self, images: Tensor, prompts: object = None) -> Tensor:
            return images[:, 0]

    with pytest.raises(rk.RewardFailedError, match="redness must give 16 numbers"):
        rk.VideoReward(PerPixel())(ramp())


def test_judges_stay_in_evaluation_mode() -> None:
    reward = rk.VideoReward(Brightness())
    reward.train()
    assert not reward.image_reward.training


def test_a_failed_frame_does_not_hide() -> None:
    assert rk.VideoReward(GivesNan())(ramp(frames=16)).isnan().all()


def test_lengths_that_cannot_share_a_batch_are_refused() -> None:
    with pytest.raises(rk.BadInputError, match="between 8 and 16 frames each"):
        rk.VideoReward(Brightness(), frames="all").plan([8, 16])


class Learned(Brightness):
    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout(0.5))

    def forward(self, images: Tensor, prompts: object = None) -> Tensor:
        return self.head(super().forward(images)[:, None])[:, 0]


def test_a_judge_put_together_by_hand_is_frozen_from_the_start() -> None:
    for reward in (rk.VideoReward(Learned()), rk.create_reward(Learned())):
        assert not any(part.training for model in reward.models() for part in model.modules())
        assert torch.equal(reward(ramp()), reward(ramp()))
        reward(ramp().requires_grad_()).sum().backward()
        assert all(weight.grad is None for weight in reward.parameters())


def test_precision_reaches_a_reward_made_by_hand() -> None:
    assert {p.dtype for p in rk.create_reward(Learned(), dtype="bfloat16").parameters()} == {torch.bfloat16}
    made = rk.VideoReward(Learned())
    assert {p.dtype for p in rk.create_reward(made, dtype="float64").parameters()} == {torch.float64}


@pytest.mark.parametrize("choice", [{"frames": 4}, {"frames": rk.Mean()}, {"weights": 1.0}, {"reduce": rk.Mean}])
def test_what_is_no_part_is_refused_when_the_reward_is_made(choice: dict[str, object]) -> None:
    with pytest.raises(rk.UsageError, match="is a line such as"):
        rk.VideoReward(Brightness(), **choice)  # type: ignore[arg-type]


def test_one_text_is_not_a_list_of_prompts() -> None:
    with pytest.raises(rk.BadInputError, match="needs a list of prompts"):
        rk.VideoReward(PromptLength())(ramp(), "ab")


def test_lengths_may_be_numpy_integers() -> None:
    assert rk.VideoReward(Brightness(), frames="all").plan(np.int64(5)).index.tolist() == [[0, 1, 2, 3, 4]]


class Elsewhere(Brightness):
    """With a weight, by which it can be on a device."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(3, 1, 1))
        self.seen: list[tuple[torch.device, int]] = []

    def forward(self, images: Tensor, prompts: Sequence[str] | None = None) -> Tensor:
        self.seen.append((images.device, len(images)))
        return super().forward(images * self.weight, prompts)


def test_the_planned_frames_go_where_the_weights_are() -> None:
    model = Elsewhere().to("meta")
    scores = rk.VideoReward(model, frames="uniform:2")(ramp())
    assert scores.device.type == "meta"
    assert model.seen == [(torch.device("meta"), 4)], "of two films two frames each, not all eight"
