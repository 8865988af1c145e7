"""JPEG size: how few bytes the picture needs."""

from __future__ import annotations

import io
from collections.abc import Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from rewardkit.errors import BadInputError
from rewardkit.pixels import as_images
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.gradient import refuse_gradient
from rewardkit.rewards.interface import ImageReward

QUALITY = 95
LARGEST = 65535  # pixels a side: the format's limit


class JpegSize(ImageReward):
    """Minus the size of the picture as JPEG, in kilobytes of 1000 bytes at quality 95: smoother pictures score higher.

    The compressibility reward of the reinforcement-learning papers; its weight -1 gives their
    incompressibility. It grows with the picture's area, may differ by some bytes between builds of libjpeg,
    and has no gradient.

    Source: Black et al., "Training diffusion models with reinforcement learning" (DDPO), arXiv:2305.13301;
    kvablack/ddpo-pytorch@1958463, ddpo_pytorch/rewards.py, jpeg_compressibility: 4:2:0, rounded to uint8.
    """

    card = RewardCard(
        name="jpeg",
        summary="minus the size of the picture as JPEG at quality 95",
        source="compressibility, Black et al., arXiv:2305.13301; kvablack/ddpo-pytorch@1958463, rewards.py",
        code_licence="Apache-2.0",
        score_range=(None, 0.0),
        unit="kilobytes of 1000 bytes",
        differentiable=False,
    )

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """Minus the kilobytes of each picture, as float32 or float64 like the pictures; prompts are not read.

        Raises:
            BadInputError: the pictures ask for a gradient, or are wider or higher than 65,535 pixels.
        """
        del prompts
        refuse_gradient("jpeg", images)
        pixels = as_images("jpeg", images)
        if max(pixels.shape[-2:]) > LARGEST:
            raise BadInputError(f"jpeg needs at most {LARGEST} pixels a side: got {tuple(pixels.shape[-2:])}")
        levels = (pixels * 255).round().clamp(0, 255).to("cpu", torch.uint8)
        sizes = [_jpeg_bytes(level) / 1000 for level in levels]
        return -torch.tensor(sizes, dtype=pixels.dtype, device=pixels.device)


def _jpeg_bytes(levels: Tensor) -> int:
    buffer = io.BytesIO()
    picture = levels.permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=QUALITY)
    return buffer.getbuffer().nbytes
