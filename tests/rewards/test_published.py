"""Numbers that authors published, on a machine that has the weights: `pytest -m weights`.

Put the demo pictures into a folder and name it in REWARDKIT_PICTURES: `demo_image.jpg` of the hpsv2 wheel
(assets/demo_image.jpg), `1.webp` to `4.webp` of zai-org/ImageReward (assets/images).
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import rewardkit as rk
from rewardkit.rewards.catalog import reward_files

PICTURES = Path(os.environ.get("REWARDKIT_PICTURES", "no such folder"))
OCEAN = "a painting of an ocean with clouds and birds, day time, low depth field effect"

pytestmark = pytest.mark.weights


def reward_here(name: str) -> rk.ImageReward:
    for source in reward_files(name).values():
        if source.cached() is None:
            pytest.skip(f"no {source} on this machine: rewardkit download {name}")
    return rk.create_image_reward(name, device="cpu")


def picture(name: str) -> Tensor:
    if not (PICTURES / name).exists():
        pytest.skip(f"no {name} in REWARDKIT_PICTURES")
    pixels = np.array(Image.open(PICTURES / name).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def test_hpsv2_1_of_the_demo_picture() -> None:
    """tgxs002/HPSv2, issue 30."""
    score = reward_here("hpsv2.1")(picture("demo_image.jpg"), ["cat with horn"])
    assert score.item() == pytest.approx(0.288, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "expected"), [("1.webp", 0.58116), ("2.webp", 0.27453), ("3.webp", -1.41318), ("4.webp", -2.02957)]
)
def test_imagereward_of_the_readmes_pictures(name: str, expected: float) -> None:
    score = reward_here("imagereward")(picture(name), [OCEAN])
    assert score.item() == pytest.approx(expected, abs=0.01)
