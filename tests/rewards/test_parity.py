"""Our scores against those that the official packages gave, from the same seeded weights in the official layouts.

The golden files are made by `make parity` in environments of their own; nothing official is needed here.
"""

import pytest
import torch
from learned import NAMES, golden, model, ours
from torch import Tensor

from rewardkit import conformance
from rewardkit.registry import REWARDS
from rewardkit.rewards.catalog import list_rewards, published_files
from rewardkit.rewards.interface import TemporalReward

each_golden = pytest.mark.parametrize("name", NAMES)


@each_golden
def test_exact_scores_are_the_official_ones(name: str) -> None:
    assert ours.difference(name, model(name), "exact") <= ours.CHECKS[name].exact


@each_golden
def test_diff_scores_are_near_and_tell_the_same_pictures_apart(name: str) -> None:
    """Float and 8-bit resizing differ by a third of a grey level on average; scores by a fraction of their spread."""
    official = [torch.tensor(row).flatten() for row in golden.read(name)["scores"].values()]
    spread = torch.stack(official).std(0).mean().item()
    assert ours.difference(name, model(name), "diff") <= max(0.05 * spread, ours.CHECKS[name].exact)


@each_golden
def test_a_wrong_weight_would_be_noticed(name: str) -> None:
    """The check can fail: one vector of the picture tower that is a little off is enough."""
    spoiled = model(name, dtype=torch.float32)
    vectors = [w for key, w in spoiled.named_parameters() if w.ndim == 1 and "vis" in key and key.endswith("bias")]
    vectors[0].data += torch.linspace(-0.05, 0.05, len(vectors[0]))
    assert ours.difference(name, spoiled, "exact") > ours.CHECKS[name].exact


def test_golden_scores_vary_with_picture_and_prompt() -> None:
    for name in NAMES:
        scores = torch.stack([torch.tensor(row).flatten() for row in golden.read(name)["scores"].values()])
        assert (scores.std(0) > 20 * ours.CHECKS[name].exact).all(), f"{name}: pictures score alike"
        if scores.shape[1] > 1:
            assert scores.std(1).mean() > 20 * ours.CHECKS[name].exact, f"{name}: prompts score alike"


def test_every_reward_with_published_weights_is_proved() -> None:
    proved = {reward for check in ours.CHECKS.values() for reward in check.proves}
    assert proved == {name for name in list_rewards() if published_files(name)}
    assert all(REWARDS.load(name) for name in proved)


@each_golden
@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_learned_rewards_conform(name: str, check: object) -> None:
    assert callable(check)
    check(model(name, dtype=torch.float32))


@each_golden
def test_scores_do_not_depend_on_batch_mates(name: str) -> None:
    """Different pictures with different prompts in one batch, against one at a time: each with its own."""
    reward = model(name)
    shown = ["wide", "square"] if isinstance(reward, TemporalReward) else ["square", "grey"]
    items = [ours.item(item, moving=isinstance(reward, TemporalReward)) for item in shown]
    small = [torch.nn.functional.interpolate(i, (96, 128)) if i.ndim == 4 else _resized(i) for i in items]
    prompts = [ours.PROMPTS[0], ours.PROMPTS[4]]
    given = prompts if reward.card.needs_prompt else None
    together = reward(torch.stack(small), given)
    alone = torch.cat([reward(small[i][None], given and given[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)  # sums in another order


def _resized(image: Tensor) -> Tensor:
    return torch.nn.functional.interpolate(image[None], (96, 128))[0]
