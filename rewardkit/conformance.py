"""What every reward promises, as checks that anybody's reward can run.

In a test of your own:

```python
import pytest
from rewardkit import conformance

@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_my_reward(check):
    check(MyReward())
```

or at once: `conformance.check_reward(MyReward())`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rewardkit.errors import BadInputError, ConformanceError
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward, TemporalReward

Model = ImageReward | TemporalReward
PROMPTS = ("a cat walks on a wall", "two dogs", "an old lighthouse at night, waves")
HEIGHT, WIDTH, FRAMES = 48, 64, 8


def check_reward(model: Model) -> None:
    """Runs every check.

    Raises:
        ConformanceError: names each broken promise.
    """
    broken = []
    for check in CHECKS:
        try:
            check(model)
        except ConformanceError as error:
            broken.append(str(error))
        except Exception as error:  # noqa: BLE001 - a reward that breaks one promise may well raise in the next check
            broken.append(f"{check.__name__} raised {type(error).__name__}: {' '.join(str(error).split())}")
    if broken:
        raise ConformanceError("; ".join(broken))


def sample_pixels(model: Model, seed: int = 0) -> Tensor:
    """Three different smooth textures, or videos of them in motion, as `model` takes them; height is not width."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(3, 3, HEIGHT // 4, WIDTH // 4, generator=generator)
    images = torch.nn.functional.interpolate(coarse, size=(HEIGHT, WIDTH), mode="bicubic", align_corners=False)
    images = 0.15 + 0.7 * images.clamp(0, 1)
    if isinstance(model, ImageReward):
        return images
    return torch.stack([images.roll(2 * frame, dims=-1) * (1 - 0.02 * frame) for frame in range(FRAMES)], dim=1)


def has_a_card_that_fits(model: Model) -> None:
    """The card is a RewardCard and says video-level exactly for a TemporalReward."""
    name = type(model).__name__
    _require(isinstance(getattr(model, "card", None), RewardCard), f"{name} has no card")
    temporal = isinstance(model, TemporalReward)
    _require(
        model.card.video_level == temporal, f"{name}: card.video_level is {model.card.video_level}, not {temporal}"
    )


def gives_one_finite_number_an_item(model: Model) -> None:
    """Scores are float32, finite, one an item, on the pixels' device."""
    pixels = sample_pixels(model)
    scores: object = _score(model, pixels)
    _require(isinstance(scores, Tensor), f"gave {type(scores).__name__} instead of a tensor", model)
    assert isinstance(scores, Tensor)
    _require(scores.shape == (len(pixels),), f"gave shape {tuple(scores.shape)} for {len(pixels)} items", model)
    _require(scores.dtype == torch.float32, f"gave {scores.dtype} for float32 pixels", model)
    _require(bool(scores.isfinite().all()), f"gave {scores.tolist()}", model)
    _require(scores.device == pixels.device, f"gave scores on {scores.device} for pixels on {pixels.device}", model)


def gives_the_same_twice(model: Model) -> None:
    """No randomness: dropout off, no hidden state."""
    pixels = sample_pixels(model)
    model.train()
    _require(torch.equal(_score(model, pixels), _score(model, pixels)), "gave two scores for one input", model)


def judges_each_item_alone(model: Model) -> None:
    """A batch scores like its items one by one, with their own prompts."""
    pixels = sample_pixels(model)
    together = _score(model, pixels)
    alone = torch.cat([_score(model, pixels[i : i + 1], PROMPTS[i : i + 1]) for i in range(len(pixels))])
    _require(_close(together, alone), f"gave {together.tolist()} together, {alone.tolist()} one by one", model)


def ignores_order(model: Model) -> None:
    """Items in another order have the same scores in that order."""
    pixels, order = sample_pixels(model), [2, 0, 1]
    straight = _score(model, pixels)[order]
    turned = _score(model, pixels[order], [PROMPTS[i] for i in order])
    _require(_close(straight, turned), "scores depend on the order of items", model)


def has_the_gradient_it_promises(model: Model) -> None:
    """Differentiable: gradient from each score to its own pixels alone, finite and not zero; else a clear error."""
    pixels = sample_pixels(model).requires_grad_()
    if not model.card.differentiable:
        try:
            _score(model, pixels)
        except BadInputError:
            return
        raise ConformanceError(f"{model.card.name} is not differentiable and must refuse pixels that want a gradient")
    scores = _score(model, pixels)
    _require(scores.requires_grad, "promises a gradient and gives none", model)
    for item in range(len(pixels)):
        (gradient,) = torch.autograd.grad(scores[item], pixels, retain_graph=True)
        _require(bool(gradient.isfinite().all()), "has a gradient that is not finite", model)
        _require(bool(gradient[item].abs().sum() > 0), "has a gradient of zero", model)
        others = gradient[[i for i in range(len(pixels)) if i != item]]
        _require(bool((others == 0).all()), "lets one item's score depend on another's pixels", model)


def takes_the_bytes_it_promises(model: Model) -> None:
    """Where `takes_bytes` is set, uint8 pixels score like their float selves."""
    if not model.takes_bytes:
        return
    stored = (sample_pixels(model) * 255).round().to(torch.uint8)
    of_bytes, of_floats = _score(model, stored), _score(model, stored.float() / 255)
    _require(_close(of_bytes, of_floats), f"gave {of_bytes.tolist()} for bytes, {of_floats.tolist()} for floats", model)


def keeps_its_weights_frozen(model: Model) -> None:
    """No weight wants or gets a gradient."""
    wanting = [name for name, weight in model.named_parameters() if weight.requires_grad]
    _require(not wanting, f"has weights that train: {', '.join(wanting[:3])}", model)
    if model.card.differentiable:
        _score(model, sample_pixels(model).requires_grad_()).sum().backward()  # type: ignore[no-untyped-call]
    trained = [name for name, weight in model.named_parameters() if weight.grad is not None]
    _require(not trained, f"puts gradients on its weights: {', '.join(trained[:3])}", model)


def respects_precision(model: Model) -> None:
    """float64 pixels give float64 scores where weights are float64; bfloat16 weights still give float32 scores."""
    pixels = sample_pixels(model)
    double = _score(copy.deepcopy(model).to(torch.float64), pixels.double())
    _require(double.dtype == torch.float64, f"gave {double.dtype} for float64 pixels", model)
    half = _score(copy.deepcopy(model).to(torch.bfloat16), pixels)
    _require(half.dtype == torch.float32, f"gave {half.dtype} with bfloat16 weights", model)
    _require(bool(half.isfinite().all()), f"gave {half.tolist()} with bfloat16 weights", model)


def runs_on_every_device(model: Model) -> None:
    """Scores on the first accelerator, where there is one, are the CPU's."""
    if not torch.cuda.is_available():
        return
    pixels = sample_pixels(model)
    scores = _score(copy.deepcopy(model).to("cuda"), pixels.to("cuda"))
    _require(scores.device.type == "cuda", f"gave scores on {scores.device} for pixels on cuda", model)
    there, here = scores.cpu(), _score(model, pixels)
    _require(
        torch.allclose(there, here, rtol=1e-2, atol=1e-2), f"gave {there.tolist()} on cuda, {here.tolist()}", model
    )


CHECKS: tuple[Callable[[Model], None], ...] = (
    has_a_card_that_fits,
    gives_one_finite_number_an_item,
    gives_the_same_twice,
    judges_each_item_alone,
    ignores_order,
    has_the_gradient_it_promises,
    takes_the_bytes_it_promises,
    keeps_its_weights_frozen,
    respects_precision,
    runs_on_every_device,
)
"""All checks; each takes a reward model and raises ConformanceError."""


def _score(model: Model, pixels: Tensor, prompts: Sequence[str] = PROMPTS) -> Tensor:
    scores: Tensor = model(pixels, list(prompts) if model.card.needs_prompt else None)
    return scores


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)  # matrix products of other sizes round differently


def _require(kept: bool, sentence: str, model: Model | None = None) -> None:
    if not kept:
        raise ConformanceError(f"{model.card.name} {sentence}" if model is not None else sentence)
