"""The composite: falls with each defect, bounded, explains itself."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from pictures import blurred, brightened, compressed, flattened, noisy, picture
from torch import Tensor

from rewardkit.rewards.technical import CURVES, Technical
from rewardkit.video import read_video

CLIPS = Path(__file__).parents[2].parent / "shared/data"
DEFECTS: dict[str, tuple[Callable[[Tensor, float], Tensor], Sequence[float]]] = {
    "blur": (blurred, (0.7, 1, 1.6, 2.5, 4)),
    "noise": (noisy, (0.01, 0.02, 0.04, 0.08, 0.16)),
    "jpeg": (lambda images, quality: compressed(images, int(quality)), (80, 60, 40, 20, 10)),
    "low contrast": (flattened, (0.8, 0.65, 0.5, 0.35, 0.2)),
    "darkening": (brightened, (0.8, 0.65, 0.5, 0.35, 0.2)),
}
each_defect = pytest.mark.parametrize("defect", DEFECTS)


def path_of_scores(image: Tensor, defect: str) -> list[float]:
    spoil, strengths = DEFECTS[defect]
    versions = [image, *(spoil(image, strength).clamp(0, 1) for strength in strengths)]
    return [Technical()(version).item() for version in versions]


@each_defect
@pytest.mark.parametrize("seed", range(5))
def test_technical_falls_with_each_strength_on_drawn_pictures(seed: int, defect: str) -> None:
    scores = path_of_scores(picture(seed), defect)
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)


@each_defect
@pytest.mark.skipif(not CLIPS.is_dir(), reason="no ../shared/data beside this checkout")
@pytest.mark.parametrize("clip", ["instructvideo/0001_16055587_cat-walking.mp4", "wan21_tuned/3.mp4"])
def test_technical_falls_with_each_strength_on_real_frames(clip: str, defect: str) -> None:
    scores = path_of_scores(read_video(CLIPS / clip, [8]), defect)
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)


def test_parts_add_up_to_the_score() -> None:
    images = torch.cat([picture(0), picture(1)])
    parts = Technical().parts(images)
    assert parts.keys() == CURVES.keys()
    torch.testing.assert_close(sum(parts.values()), Technical()(images))


def test_weights_add_up_to_one() -> None:
    assert sum(curve.weight for curve in CURVES.values()) == pytest.approx(1)


@each_defect
def test_each_defect_lowers_its_own_part_most(defect: str) -> None:
    own = {
        "blur": "sharpness",
        "noise": "noise",
        "jpeg": "blockiness",
        "low contrast": "contrast",
        "darkening": "exposure",
    }
    spoil, strengths = DEFECTS[defect]
    clean, worst = Technical().parts(picture(0)), Technical().parts(spoil(picture(0), strengths[-1]).clamp(0, 1))
    lost = {name: (clean[name] - worst[name]).item() / curve.weight for name, curve in CURVES.items()}
    assert max(lost, key=lambda name: lost[name]) == own[defect]


@pytest.mark.parametrize("name", CURVES)
def test_no_part_can_exceed_its_weight(name: str) -> None:
    torch.manual_seed(0)
    extremes = torch.stack(
        [torch.zeros(3, 24, 32), torch.ones(3, 24, 32), torch.rand(3, 24, 32), 50 * torch.randn(3, 24, 32)]
    )
    part = Technical().parts(extremes)[name]
    assert (part >= 0).all()
    assert (part <= CURVES[name].weight).all()


def test_ascent_from_a_spoiled_picture_raises_the_score() -> None:
    spoiled = noisy(flattened(blurred(picture(0), 1.6), 0.5), 0.02).requires_grad_()
    before = Technical()(spoiled)
    before.sum().backward()
    assert spoiled.grad is not None
    step = spoiled.detach() + 0.01 * spoiled.grad / spoiled.grad.abs().max()
    assert Technical()(step).item() > before.item()
