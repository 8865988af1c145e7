import pytest
import torch

import rewardkit as rk
from tests.judges import Brightness, ramp

BRIGHT, RED, LAST = "tests.judges:Brightness", "tests.judges:Redness", "tests.judges:LastMinusFirst"


def test_one_name_is_one_reward_with_its_cards_frames() -> None:
    reward = rk.create_reward(BRIGHT)
    assert isinstance(reward, rk.VideoReward)
    assert reward.frames == rk.Uniform(8)
    assert reward.spec == "brightness"


def test_the_line_equals_the_sum_by_hand() -> None:
    line = rk.create_reward(f"0.7*{BRIGHT}[frames=segments:4,pick=first;weights=attenuate:1.0] + .3*{RED}[reduce=min]")
    by_hand = 0.7 * rk.VideoReward(
        Brightness(), frames=rk.Segments(4, pick="first"), weights=rk.Attenuate(1.0)
    ) + 0.3 * rk.create_reward(RED, reduce=rk.Min())
    assert line.spec == by_hand.spec
    assert torch.equal(line(ramp()), by_hand(ramp()))


@pytest.mark.parametrize(
    ("line", "coefficients"),
    [
        (f"2*{BRIGHT}", (2.0,)),
        (f"{BRIGHT} - 0.5*{RED}", (1.0, -0.5)),
        (f"{BRIGHT} - {RED}", (1.0, -1.0)),
        (f"{BRIGHT}+-0.5*{RED}", (1.0, -0.5)),
        (f"-1*{BRIGHT}+0*{RED}", (-1.0, 0.0)),
    ],
)
def test_coefficients(line: str, coefficients: tuple[float, ...]) -> None:
    reward = rk.create_reward(line)
    assert isinstance(reward, rk.WeightedSum)
    assert reward.coefficients == coefficients


def test_arguments_fill_what_brackets_leave_open() -> None:
    reward = rk.create_reward(f"{BRIGHT}+{RED}[frames=first]", frames="uniform:2")
    assert reward.spec == "brightness[frames=uniform:2]+redness[frames=first]"


def test_frames_beside_image_rewards_leave_video_rewards_alone() -> None:
    mixed = rk.create_reward(f"{BRIGHT}+{LAST}", frames="first:2", reduce="min")
    assert mixed.spec == "brightness[frames=first:2;reduce=min]+lastminusfirst"
    assert rk.create_reward(LAST, frames="first:2").spec == "lastminusfirst[frames=first:2]"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "cannot read the reward ''"),
        (f"{BRIGHT}+", "cannot read the reward ''"),
        (f"two*{BRIGHT}", "cannot read the reward"),
        (f"{BRIGHT}[frames]", "options are frames, weights, reduce, normalise"),
        (f"{BRIGHT}[frame=all]", "cannot read 'frame=all'"),
        (f"{BRIGHT}[frames=all", "cannot read the reward"),
        (f"{LAST}[reduce=min]", "judges frames together: it has no reduce"),
        ("tests.judges:ramp", "says nothing of itself"),
        ("tests.judges:Missing", "tests.judges has no reward called 'Missing'"),
        ("tests.no_such_module:X", "cannot import the reward tests.no_such_module:X: ModuleNotFoundError"),
        ("./no_such_file.py:X", "no such file"),
    ],
)
def test_lines_that_make_no_sense_are_refused_in_one_sentence(line: str, sentence: str) -> None:
    with pytest.raises(rk.UsageError, match=sentence) as caught:
        rk.create_reward(line)
    assert "\n" not in str(caught.value)


def test_unknown_reward_suggests_the_nearest() -> None:
    with pytest.raises(rk.UnknownNameError, match="no reward is called 'tecnical': did you mean technical"):
        rk.create_reward("tecnical")
    with pytest.raises(KeyError):
        rk.reward_info("nothing-like-it")


def test_a_reward_made_by_hand_cannot_be_chosen_for_again() -> None:
    made = rk.create_reward(BRIGHT)
    assert rk.create_reward(made) is made
    with pytest.raises(rk.UsageError, match="put together already: frames cannot be changed"):
        rk.create_reward(made, frames="all")


def test_an_image_reward_is_a_reward_too() -> None:
    assert rk.create_reward(Brightness(), frames="first").spec == "brightness[frames=first]"


def test_video_level_rewards_are_no_image_rewards() -> None:
    with pytest.raises(rk.UsageError, match="use create_reward"):
        rk.create_image_reward(LAST)
