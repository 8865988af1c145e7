"""Resizing: bit-equal to Pillow and torchvision where exact is asked for, near it and differentiable otherwise."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from learned import ours
from material import SIZES, pictures
from PIL import Image
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from torchvision.transforms.functional import pil_to_tensor

from rewardkit.errors import BadInputError
from rewardkit.rewards.pillow import resize_by_pillow, resize_like_pillow
from rewardkit.rewards.preprocessing import (
    Colours,
    Crop,
    CropUnclamped,
    Fit,
    Mode,
    Native,
    PadToSquare,
    Preprocessing,
    Squash,
    as_bytes,
)
from rewardkit.rewards.towers.qwen2vl_input import Tiles

NEUTRAL = Colours((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
each_picture = pytest.mark.parametrize("name", SIZES)


def stored(name: str) -> Tensor:
    return pil_to_tensor(pictures()[name].convert("RGB"))[None]


@each_picture
def test_exact_crop_is_torchvisions(name: str) -> None:
    official = Compose([Resize(224, InterpolationMode.BICUBIC), CenterCrop(224)])
    expected = pil_to_tensor(official(pictures()[name].convert("RGB")))
    assert torch.equal(Crop().exact(stored(name))[0], expected)


@each_picture
def test_exact_crop_of_transformers_is_its_own_processors(name: str) -> None:
    try:
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil as Processor
    except ModuleNotFoundError:  # the first versions of transformers 5
        from transformers.models.clip.image_processing_clip import CLIPImageProcessor as Processor
    processor = Processor(do_rescale=False, do_normalize=False)
    expected = np.asarray(processor(pictures()[name].convert("RGB"), return_tensors="np")["pixel_values"][0])
    assert np.array_equal(Crop(offset="transformers").exact(stored(name))[0].numpy(), expected)


def test_the_two_offsets_differ_by_a_row_where_the_border_is_odd() -> None:
    tall = stored("tall")  # 320x576: 403 rows, a border of 179
    one, other = Crop().exact(tall), Crop(offset="transformers").exact(tall)
    assert torch.equal(one[..., :-1, :], other[..., 1:, :])
    assert not torch.equal(one, other)


@each_picture
def test_exact_squash_is_pillows(name: str) -> None:
    expected = pil_to_tensor(pictures()[name].convert("RGB").resize((384, 384), Image.Resampling.BICUBIC))
    assert torch.equal(Squash(384).exact(stored(name))[0], expected)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((320, 512), (224, 358)),
        ((1080, 1920), (224, 398)),
        ((100, 60), (373, 224)),
        ((7, 1000), (224, 224)),
        ((224, 300), (224, 150)),
        ((1, 1), (5, 3)),
        ((2, 3), (2, 3)),
    ],
    ids=str,
)
def test_pillows_arithmetic_is_the_same_without_pillow(before: tuple[int, int], after: tuple[int, int]) -> None:
    """What runs on a GPU; hard edges overshoot, where Pillow clips after each of its two passes."""
    noise = torch.randint(0, 256, (3, 3, *before), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    edges = (noise > 127).to(torch.uint8) * 255
    images = torch.cat([noise, edges])
    assert torch.equal(resize_like_pillow(images, *after), resize_by_pillow(images, *after))


@pytest.mark.parametrize(
    "fit", [Crop(), CropUnclamped(), Squash(224), PadToSquare(), Native(), Tiles(3136, 200_000, "torch")], ids=str
)
@pytest.mark.parametrize("mode", ["auto", "exact", "diff"])
def test_bytes_are_read_as_the_floats_they_stand_for(fit: Fit, mode: Mode) -> None:
    stored_bytes = as_bytes(torch.rand(2, 3, 90, 130, generator=torch.Generator().manual_seed(0)))
    read = Preprocessing(fit, mode=mode)
    assert torch.equal(read("x", stored_bytes), read("x", stored_bytes.float() / 255))
    assert read("x", stored_bytes).dtype == torch.float32


def grey_levels(fit: Crop | Squash, name: str) -> Tensor:
    """How far the differentiable path is from the exact one, in grey levels of 255."""
    exact, levels = fit.exact(stored(name)).float(), stored(name).float() / 255
    return (fit.diff(levels) * 255 - exact).abs()


@each_picture
@pytest.mark.parametrize("fit", [Crop(), Squash(384)], ids=str)
def test_diff_is_within_the_known_distance_of_exact(fit: Crop | Squash, name: str) -> None:
    """Two roundings to whole levels cost a third of a level on average; clipping between them more, at hard edges."""
    error = grey_levels(fit, name)
    assert error.mean() <= 1 / 3
    assert torch.quantile(error.flatten(), 0.999) <= 2.4
    assert error.max() <= 7


@pytest.mark.parametrize("name", ["tall", "wide", "odd"])
def test_resizing_without_antialias_would_be_noticed(name: str) -> None:
    pixels = stored(name).float() / 255
    rows, columns = Crop()._resized(pixels)
    wrong = Crop()._middle(F.interpolate(pixels, (rows, columns), mode="bicubic", antialias=False).clamp(0, 1))
    assert (wrong * 255 - Crop().exact(stored(name)).float()).abs().mean() > 1


def test_padding_puts_black_around_and_keeps_the_shape() -> None:
    white = torch.ones(1, 3, 112, 224)
    padded = PadToSquare().diff(white)
    assert padded.shape == (1, 3, 224, 224)
    assert torch.equal(padded[..., 56:168, :], white)
    assert padded.sum() == white.sum()


def test_a_sliver_is_refused_rather_than_vanish() -> None:
    with pytest.raises(BadInputError, match="no pixel left"):
        PadToSquare().diff(torch.rand(1, 3, 2, 1000))


@pytest.mark.parametrize(
    "fit", [Crop(), Crop(offset="transformers"), CropUnclamped(), Squash(224), PadToSquare()], ids=str
)
def test_pictures_of_the_right_size_are_left_alone(fit: Crop) -> None:
    image = torch.rand(1, 3, 224, 224)
    assert torch.equal(fit.diff(image), image)
    assert torch.equal(
        fit.exact(as_bytes(image)).float().cpu() / (1 if isinstance(fit, CropUnclamped | PadToSquare) else 255),
        as_bytes(image).float() / 255,
    )


def test_automatic_mode_follows_the_gradient() -> None:
    image = torch.rand(1, 3, 50, 60)
    preprocessing = Preprocessing(Crop(), NEUTRAL)
    assert preprocessing.used_for(image) == "exact"
    wanting = image.clone().requires_grad_()
    assert preprocessing.used_for(wanting) == "diff"
    with torch.no_grad():
        assert preprocessing.used_for(wanting) == "exact"
    assert torch.equal(preprocessing("x", wanting), Preprocessing(Crop(), NEUTRAL, "diff")("x", image))


def test_exact_mode_refuses_a_gradient_and_says_what_to_do() -> None:
    image = torch.rand(1, 3, 50, 60, requires_grad=True)
    with pytest.raises(BadInputError, match=r"hpsv2.1 with preprocess=exact has no gradient.*no_grad"):
        Preprocessing(Crop(), mode="exact")("hpsv2.1", image)


def test_float_pixels_are_rounded_as_if_saved() -> None:
    image = ours.item("square")[None]
    nudged = image + 0.4 / 255
    preprocessing = Preprocessing(Native(), NEUTRAL, "exact")
    assert torch.equal(preprocessing("x", nudged.clamp(0, 1)), preprocessing("x", image))


def test_gradient_reaches_exactly_the_pixels_of_the_crop() -> None:
    image = (0.3 + 0.4 * torch.rand(1, 3, 100, 200)).requires_grad_()
    Crop(50).diff(image).sum().backward()
    assert image.grad is not None
    reached = image.grad.abs().sum((0, 1, 2)) > 0
    assert reached[50:150].all()  # the middle square of 100
    assert not reached[: 50 - 4].any()  # bicubic looks two coarse pixels, four fine ones, beyond its place
    assert not reached[150 + 4 :].any()
