"""CLIP-IQA: whether a picture looks like a good photo, by CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from rewardkit.pixels import check_images
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward
from rewardkit.rewards.preprocessing import Mode, Native, Preprocessing
from rewardkit.rewards.prompts import Features, PromptCache
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.clip import Architecture, ClipTower, OpenAITokenizer, cosine, load_clip
from rewardkit.weights.filling import Placement
from rewardkit.weights.hub import HubFile

GOOD, BAD = "Good photo.", "Bad photo."
LEAST = 32  # pixels a side: what the network shrinks to one


class ClipIqa(ImageReward):
    """How much closer a picture is to `Good photo.` than to `Bad photo.`, at its own size."""

    preprocessing: Preprocessing
    takes_bytes = True

    def __init__(self, card: RewardCard, tower: ClipTower, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.card = card
        self.tower = tower
        self.preprocessing = preprocessing
        self.tokenizer = OpenAITokenizer()
        self.texts = PromptCache()

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """The share of `Good photo.`, between 0 and 1; prompts are not read."""
        del prompts
        check_images(self.card.name, images, least=LEAST)
        seen = self.tower.images_at_any_size(self.preprocessing(self.card.name, images))
        (said,) = self.texts.features([GOOD, BAD], self._encode)
        good, bad = (cosine(seen, text.expand_as(seen)) for text in said)
        return torch.sigmoid(self.tower.scale * (good - bad))

    def _encode(self, prompts: list[str]) -> Features:
        return (self.tower.texts(self.tokenizer(prompts)),)


def load_clip_iqa(
    card: RewardCard, placement: Placement, checkpoint: Path, architecture: Architecture, preprocess: Mode = "auto"
) -> ClipIqa:
    """CLIP-IQA on OpenAI's RN50.

    Args:
        card: its card.
        placement: device and precision.
        checkpoint: OpenAI's `RN50.pt`, or a copy in open_clip's layout.
        architecture: what the file must hold.
        preprocess: `exact`, `diff`, or `auto`; they differ in rounding to 8 bits alone.
    """
    tower = load_clip(card.name, checkpoint, architecture, placement)
    return ClipIqa(card, tower, Preprocessing(Native(), mode=preprocess))


CLIP_IQA = Release(
    RewardCard(
        name="clip-iqa",
        summary="whether a picture looks like a good photo",
        source="CLIP-IQA, Wang et al., AAAI 2023, arXiv:2207.12396; formula only, one pair of prompts",
        code_licence="Apache-2.0",
        weights_licence="MIT",
        score_range=(0.0, 1.0),
        unit="share of `Good photo.` against `Bad photo.`",
        parameters=102_007_137,
        input="the picture's own size, at least 32x32",
        preprocess=("exact", "diff"),
    ),
    load_clip_iqa,
    {
        "checkpoint": HubFile(
            "timm/resnet50_clip.openai",
            "open_clip_model.safetensors",
            "ec3d92cf63a5f9d591f0d611b736895966c73076",
            408_291_932,
            "da0baa37fb2211eee5729ab69ed587eb10d48f5b7076ceeed01552fc3d4cb4ee",
        )
    },
    {"architecture": "RN50-quickgelu"},
)
