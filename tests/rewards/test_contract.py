"""What every closed-form reward promises: gradient, batch independence, types, clear errors."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rewardkit.errors import BadInputError
from rewardkit.rewards.blockiness import Blockiness
from rewardkit.rewards.colourfulness import Colourfulness
from rewardkit.rewards.contrast import Contrast
from rewardkit.rewards.exposure import Exposure
from rewardkit.rewards.flicker import Flicker
from rewardkit.rewards.interface import FrozenModel, TemporalReward
from rewardkit.rewards.jpeg import JpegSize
from rewardkit.rewards.motion import Motion
from rewardkit.rewards.noise import Noise
from rewardkit.rewards.sharpness import Sharpness
from rewardkit.rewards.smoothness import Smoothness
from rewardkit.rewards.technical import Technical

PICTURE = [Sharpness(), Noise(), Blockiness(), Contrast(), Exposure(), Colourfulness(), Technical()]
TIME = [Flicker(), Smoothness(), Motion()]
LEAST_SIZE = {"sharpness": 10, "noise": 3, "blockiness": 16, "technical": 16}
LEAST_FRAMES = {"flicker": 3, "smoothness": 3, "motion": 2}

each_reward = pytest.mark.parametrize("reward", [*PICTURE, *TIME, JpegSize()], ids=lambda reward: reward.card.name)
each_differentiable = pytest.mark.parametrize("reward", [*PICTURE, *TIME], ids=lambda reward: reward.card.name)


def pixels_for(
    reward: FrozenModel, draw: Callable[..., Tensor] = torch.rand, dtype: torch.dtype = torch.float32
) -> Tensor:
    torch.manual_seed(0)
    shape = (2, 4, 3, 17, 21) if isinstance(reward, TemporalReward) else (2, 3, 17, 21)
    return draw(shape, dtype=dtype)


@each_differentiable
def test_gradient_agrees_with_finite_differences(reward: FrozenModel) -> None:
    # 0.2..0.8: away from the kinks of absolute values only by chance, but seeded, so it holds for good
    pixels = (0.2 + 0.6 * pixels_for(reward, dtype=torch.float64)).requires_grad_()
    if isinstance(reward, TemporalReward):
        pixels = pixels.detach()[..., :6, :7].requires_grad_()  # the numerical Jacobian costs two calls a pixel
    assert torch.autograd.gradcheck(reward, (pixels,), eps=1e-6, atol=1e-5, rtol=1e-3)


@each_differentiable
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_pictures_have_a_finite_score_and_gradient(reward: FrozenModel, level: float) -> None:
    pixels = torch.full_like(pixels_for(reward), level).requires_grad_()
    score = reward(pixels)
    score.sum().backward()
    assert score.isfinite().all()
    assert pixels.grad is not None
    assert pixels.grad.isfinite().all()


@each_differentiable
@pytest.mark.parametrize(("least", "most"), [(-0.3, 1.3), (-20.0, 20.0)])
def test_unclamped_decodes_have_a_finite_score_and_gradient(reward: FrozenModel, least: float, most: float) -> None:
    pixels = (least + (most - least) * pixels_for(reward)).requires_grad_()
    score = reward(pixels)
    score.sum().backward()
    assert score.isfinite().all()
    assert pixels.grad is not None
    assert pixels.grad.isfinite().all()


@each_reward
def test_score_does_not_depend_on_batch_mates(reward: FrozenModel) -> None:
    pixels = pixels_for(reward)
    alone = torch.cat([reward(one.unsqueeze(0)) for one in pixels])
    torch.testing.assert_close(
        reward(pixels.flip(0)).flip(0), alone, rtol=1e-5, atol=1e-6
    )  # fp32 sums in another order


@each_reward
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
    ],
)
def test_scores_are_float32_or_float64(reward: FrozenModel, given: torch.dtype, expected: torch.dtype) -> None:
    score = reward(pixels_for(reward).to(given))
    assert score.dtype == expected
    assert score.shape == (2,)


@each_reward
def test_uint8_and_float_pixels_score_alike(reward: FrozenModel) -> None:
    levels = (pixels_for(reward) * 255).byte()
    torch.testing.assert_close(reward(levels), reward(levels.float() / 255))


@each_reward
def test_integer_pixels_of_another_type_are_refused(reward: FrozenModel) -> None:
    with pytest.raises(BadInputError, match="uint8 or float"):
        reward((pixels_for(reward) * 255).int())


@each_reward
def test_prompts_are_not_read(reward: FrozenModel) -> None:
    pixels = pixels_for(reward)
    torch.testing.assert_close(reward(pixels, ["a cat", "a dog"]), reward(pixels))


@pytest.mark.parametrize("reward", [*PICTURE, JpegSize()], ids=lambda reward: reward.card.name)
@pytest.mark.parametrize("size", [(0, 5), (1, 1), (2, 3), (9, 40), (10, 12), (16, 17)])
def test_small_pictures_give_a_number_or_a_clear_error(reward: FrozenModel, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, *size)
    least = LEAST_SIZE.get(reward.card.name, 1)
    if min(size) < least:
        with pytest.raises(BadInputError, match=f"{reward.card.name} needs at least {least}x{least} pixels: these are"):
            reward(images)
    else:
        assert reward(images).isfinite().all()


@pytest.mark.parametrize("reward", TIME, ids=lambda reward: reward.card.name)
def test_too_few_frames_are_a_clear_error(reward: TemporalReward) -> None:
    least = LEAST_FRAMES[reward.card.name]
    video = torch.rand(1, least, 3, 6, 8)
    assert reward(video).isfinite().all()
    with pytest.raises(BadInputError, match=f"needs at least {least} frames: this video has {least - 1}"):
        reward(video[:, 1:])


@pytest.mark.parametrize("reward", TIME, ids=lambda reward: reward.card.name)
def test_tiny_video_is_a_clear_error(reward: TemporalReward) -> None:
    with pytest.raises(BadInputError, match="needs at least 4x4 pixels: these are 8x3"):
        reward(torch.rand(1, 5, 3, 3, 8))


@each_reward
def test_wrong_number_of_axes_or_channels_is_a_clear_error(reward: FrozenModel) -> None:
    pixels = pixels_for(reward)
    with pytest.raises(BadInputError, match="of shape"):
        reward(pixels[0])
    with pytest.raises(BadInputError, match="of shape"):
        reward(pixels.transpose(-3, -1))


@each_reward
def test_card_tells_source_and_licence(reward: FrozenModel) -> None:
    card = reward.card
    assert card.source != "not stated"
    assert card.code_licence == "Apache-2.0"
    assert card.unit != "arbitrary"
    assert card.video_level == isinstance(reward, TemporalReward)
    assert card.frames == ("all" if card.video_level else "uniform:8")
    assert not card.needs_prompt
