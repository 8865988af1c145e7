import io

import numpy as np
import pytest
import torch
from pictures import noisy, picture
from PIL import Image

from rewardkit.errors import BadInputError
from rewardkit.rewards.jpeg import JpegSize


def test_score_is_minus_the_kilobytes_that_pillow_writes() -> None:
    image = picture(0)
    file = io.BytesIO()
    levels = np.clip(np.round(image[0].numpy().transpose(1, 2, 0) * 255), 0, 255).astype(np.uint8)
    Image.fromarray(levels).save(file, "JPEG", quality=95)
    assert JpegSize()(image).item() == pytest.approx(-len(file.getvalue()) / 1000, rel=1e-6)


def test_score_falls_with_noise() -> None:
    scores = [JpegSize()(noisy(picture(0), sigma)).item() for sigma in (0, 0.01, 0.02, 0.04, 0.08, 0.16)]
    assert scores == sorted(scores, reverse=True)


def test_gradient_is_refused() -> None:
    images = picture(0).requires_grad_()
    with pytest.raises(BadInputError, match="jpeg has no gradient"):
        JpegSize()(images)
    with torch.no_grad():
        assert JpegSize()(images).item() < 0
    assert not JpegSize().card.differentiable


def test_pictures_beyond_the_formats_limit_are_refused() -> None:
    with pytest.raises(BadInputError, match="at most 65535 pixels"):
        JpegSize()(torch.zeros(1, 3, 1, 65536))
