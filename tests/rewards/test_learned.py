"""What learned rewards promise beside equal scores: true gradients, frozen weights, float32 heads, cached prompts."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest
import torch
from learned import NAMES, Model, golden, model, ours, pixels, score
from torch import Tensor, nn

import rewardkit as rk
from rewardkit.rewards.clip_iqa import ClipIqa
from rewardkit.rewards.heads import Head
from rewardkit.rewards.preprocessing import Crop, CropUnclamped, Native, PadToSquare, Squash
from rewardkit.rewards.prompts import PromptCache

each_reward = pytest.mark.parametrize("name", NAMES)
with_prompt = pytest.mark.parametrize("name", [n for n in NAMES if model(n).card.needs_prompt])


@each_reward
def test_gradient_agrees_with_finite_differences(name: str) -> None:
    reward = model(name, dtype=torch.float64)
    images = pixels(reward).double().requires_grad_()
    (gradient,) = torch.autograd.grad(score(reward, images).sum(), images)
    generator = torch.Generator().manual_seed(2)
    reward.preprocessing = dataclasses.replace(reward.preprocessing, mode="diff")  # type: ignore[type-var]
    for _ in range(3):
        direction = torch.randn(images.shape, dtype=torch.float64, generator=generator)
        step = 1e-9 if isinstance(reward, ClipIqa) else 1e-6  # pixels of 1e-6 already turn some of its many ReLUs
        with torch.no_grad():
            ahead, behind = (score(reward, images + sign * step * direction).sum() for sign in (1, -1))
        measured = (ahead - behind) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), measured, rtol=1e-4, atol=1e-8)


def unseen(reward: Model, height: int, width: int) -> Tensor:
    """Pixels that cannot reach the model: outside the square it crops, with what the filter sees beyond it."""
    assert reward.preprocessing is not None
    outside = torch.zeros(height, width, dtype=torch.bool)
    if isinstance(reward.preprocessing.fit, Crop | CropUnclamped):
        border, reach = (width - height) // 2, 3
        outside[:, : border - reach] = outside[:, width - border + reach :] = True
    return outside


def seen(reward: Model, height: int, width: int) -> Tensor:
    """Pixels that must reach it: all of them, or the middle square; SigLIP's patches leave the last 6 of 384 out."""
    assert reward.preprocessing is not None
    inside = torch.ones(height, width, dtype=torch.bool)
    if isinstance(reward.preprocessing.fit, Crop | CropUnclamped):
        border = (width - height) // 2 + 1
        inside[:, :border] = inside[:, width - border :] = False
    if isinstance(reward.preprocessing.fit, Squash):
        inside[-3:] = inside[:, -3:] = False
    return inside


@each_reward
def test_gradient_reaches_all_pixels_that_the_model_sees_and_no_other(name: str) -> None:
    reward = model(name)
    # in a network of a few channels, all ReLUs over a pixel may be shut by chance, but not in every picture
    items = 12 if isinstance(reward, ClipIqa) else 1
    images = pixels(reward, 70, 100, items).requires_grad_()
    score(reward, images).sum().backward()
    assert images.grad is not None
    reached = (images.grad != 0).flatten(0, -3).any(0)
    assert reached[seen(reward, 70, 100)].all()
    assert not reached[unseen(reward, 70, 100)].any()
    assert all(weight.grad is None and not weight.requires_grad for weight in reward.parameters())


def kept_for_the_way_back(reward: Model) -> int:
    """Numbers that autograd holds on to after one pass with gradient."""
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        score(reward, pixels(reward, items=1).requires_grad_())
    return sum(kept)


@each_reward
def test_activations_are_recomputed_rather_than_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = model(name)
    if isinstance(reward, ClipIqa):
        pytest.skip("the ResNet of CLIP-IQA is not recomputed")
    recomputing = kept_for_the_way_back(reward)

    def keeping(function: Callable[..., object], *words: object, use_reentrant: bool, **named: object) -> object:
        assert not use_reentrant, "the reentrant kind refuses torch.autograd.grad"
        return function(*words, **named)

    for module in ("torch.utils.checkpoint", "open_clip.transformer", "rewardkit.rewards.towers.recompute"):
        monkeypatch.setattr(f"{module}.checkpoint", keeping)
    assert recomputing < 0.85 * kept_for_the_way_back(reward)  # of two layers; of thirty it is a few per cent


@each_reward
def test_exact_mode_refuses_a_gradient(name: str) -> None:
    reward = model(name, "exact")
    images = pixels(reward).requires_grad_()
    with pytest.raises(rk.BadInputError, match=f"{reward.card.name} with preprocess=exact has no gradient"):
        score(reward, images)
    with torch.no_grad():
        assert score(reward, images).isfinite().all()


@each_reward
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_heads_and_scales_at_float32(name: str, dtype: torch.dtype) -> None:
    if name == "clip_iqa" and dtype == torch.float16:
        pytest.skip("activations of this random ResNet exceed 65504, the greatest float16")
    reward = model(name, dtype=dtype)
    for head in (module for module in reward.modules() if isinstance(module, Head)):
        assert {weight.dtype for weight in head.parameters()} == {torch.float32}
    full, half = score(model(name), pixels(reward)), score(reward, pixels(reward))
    assert half.dtype == torch.float32
    spread = torch.tensor([torch.tensor(row).flatten()[0] for row in golden.read(name)["scores"].values()]).std()
    assert (full - half).abs().max() < max(0.35 * spread.item(), 2e-3)  # three decimal digits through some layers


@pytest.mark.parametrize("name", ["pickscore", "mps", "clip_iqa"])
def test_the_logit_scale_is_not_rounded(name: str, tmp_path: object) -> None:
    """exp of 4.6052 rounded to bfloat16 is 98.9: scores would be 1 % off."""
    from pathlib import Path

    placement, ours.CPU = ours.CPU, ours.CPU._replace(dtype=torch.bfloat16)
    try:
        reward = ours.build(name, Path(str(tmp_path)))
    finally:
        ours.CPU = placement
    scale = getattr(reward, "factor", None) or reward.tower.scale  # type: ignore[union-attr, operator]
    assert float(scale) == pytest.approx(100, rel=1e-5)


@with_prompt
def test_a_prompt_is_asked_for(name: str) -> None:
    reward = model(name)
    images = pixels(reward)
    for prompts in (None, ["one"], ["one", "two", "three"], "ab"):
        with pytest.raises(rk.BadInputError, match=f"{reward.card.name} needs one prompt per (image|video): got"):
            reward(images, prompts)


@with_prompt
def test_the_prompt_limit_is_where_the_score_stops_changing(name: str) -> None:
    """`truncates` is told by the tokenizer; here the scores themselves say whether words at the end are read."""
    reward = model(name)
    image = pixels(reward, items=1)
    most = reward.card.max_prompt_tokens
    assert most is not None
    words = most - 2 - len(getattr(reward, "prefix", "").split())  # begin and end are tokens too
    fits, cut = " ".join("a" * words), " ".join("a" * (words + 1))
    assert not reward.truncates(fits)
    assert reward.truncates(cut)
    assert torch.equal(reward(image, [cut + " and birds"]), reward(image, [cut + " or fish"]))
    assert not torch.equal(reward(image, [fits[:-1] + "b"]), reward(image, [fits]))


@with_prompt
def test_a_film_costs_one_pass_of_the_text_tower(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "imagereward":
        pytest.skip("ImageReward reads text and picture together: there is nothing to keep but tokens")
    reward = model(name, dtype=torch.float32)
    read: list[int] = []
    tower, way = reward.tower, "text_tokens" if name == "mps" else "texts"
    original = getattr(tower, way)
    monkeypatch.setattr(tower, way, lambda tokens: (read.append(1), original(tokens))[1])
    images = pixels(reward, items=1).repeat_interleave(6, dim=0)
    first = reward(images, ["a boat"] * 6)
    assert len(read) == 1
    torch.testing.assert_close(reward(images, ["a boat"] * 6), first)
    assert len(read) == 1
    reward.to(torch.float64)
    reward(images.double(), ["a boat"] * 6)
    assert len(read) == 2, "features of the other precision must not be used"


def test_the_prompt_cache_is_bounded_and_keeps_what_was_used_last() -> None:
    cache, asked = PromptCache(most=3), []

    def encode(prompts: list[str]) -> tuple[Tensor, ...]:
        asked.extend(prompts)
        return (torch.tensor([[float(len(prompt))] for prompt in prompts]),)

    def lengths(prompts: Sequence[str]) -> list[float]:
        return cache.features(prompts, encode)[0][:, 0].tolist()

    assert lengths(["a", "bb", "a", "ccc"]) == [1, 2, 1, 3]
    assert asked == ["a", "bb", "ccc"]
    assert lengths(["a"]) == [1]
    assert lengths(["dddd"]) == [4]  # "bb" goes
    asked.clear()
    assert lengths(["a", "ccc", "dddd"]) == [1, 3, 4]
    assert asked == []
    assert lengths(["bb", "eeeee", "ffffff", "gg", "a"]) == [2, 5, 6, 2, 1]  # more than fit, in one call


@each_reward
def test_weights_and_shapes_of_scores(name: str) -> None:
    reward = model(name)
    assert set(reward.weights_sha256()) == set(reward.loaded_from)
    assert all(len(digest) == 64 for digest in reward.weights_sha256().values())
    assert reward.card.parameters is not None
    assert reward.card.preprocess == ("exact", "diff")
    assert isinstance(reward, nn.Module)
    fits = Crop | CropUnclamped | Squash | PadToSquare | Native
    assert reward.preprocessing is not None
    assert isinstance(reward.preprocessing.fit, fits)
