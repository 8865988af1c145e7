"""LAION's aesthetic predictors: how much people like the look of a picture, whatever it shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.clipscore import OPENAI_L14
from rewardkit.rewards.heads import Head, linear_stack, load_head
from rewardkit.rewards.interface import ImageReward
from rewardkit.rewards.preprocessing import Crop, Mode, Preprocessing
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.clip import Architecture, load_clip
from rewardkit.weights.filling import Placement
from rewardkit.weights.hub import HubFile
from rewardkit.weights.source import ElsewhereFile

V2_WIDTHS = (1024, 128, 64, 16, 1)


class Tower(Protocol):
    """Pictures as vectors."""

    def images(self, pixels: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image feature"]:
        """One vector a picture, not normalised."""


class Aesthetic(ImageReward):
    """A head on the direction of a tower's picture vector."""

    preprocessing: Preprocessing
    takes_bytes = True

    def __init__(self, card: RewardCard, tower: Tower, head: Head, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.card = card
        self.tower = tower
        self.head = head
        self.preprocessing = preprocessing

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """The rating of each picture; prompts are not read."""
        del prompts
        seen = self.tower.images(self.preprocessing(self.card.name, images))
        rating: Tensor = self.head(F.normalize(seen, dim=-1)).squeeze(-1)
        return rating


def load_aesthetic_v1(
    card: RewardCard,
    placement: Placement,
    checkpoint: Path,
    backbone: Path,
    architecture: Architecture,
    preprocess: Mode = "auto",
) -> Aesthetic:
    """One linear layer on OpenAI's CLIP ViT-L/14.

    Args:
        card: its card.
        placement: device and precision.
        checkpoint: the head, `sa_0_4_vit_l_14_linear.pth`.
        backbone: OpenAI's CLIP ViT-L/14, `ViT-L-14.pt` or a copy in open_clip's or transformers' layout.
        architecture: what the backbone must hold.
        preprocess: `exact`, `diff`, or `auto`.
    """
    tower = load_clip(card.name, backbone, architecture, placement)
    head = load_head(card.name, checkpoint, lambda: nn.Linear(tower.width, 1), placement)
    return Aesthetic(card, tower, head, Preprocessing(Crop(), mode=preprocess))


def load_aesthetic_v2(
    card: RewardCard,
    placement: Placement,
    checkpoint: Path,
    backbone: Path,
    architecture: Architecture,
    preprocess: Mode = "auto",
) -> Aesthetic:
    """Five linear layers without activations on OpenAI's CLIP ViT-L/14.

    Args:
        card: its card.
        placement: device and precision.
        checkpoint: the head, `sac+logos+ava1-l14-linearMSE.pth`.
        backbone: OpenAI's CLIP ViT-L/14, `ViT-L-14.pt` or a copy in open_clip's or transformers' layout.
        architecture: what the backbone must hold.
        preprocess: `exact`, `diff`, or `auto`.
    """
    tower = load_clip(card.name, backbone, architecture, placement)
    head = load_head(card.name, checkpoint, lambda: linear_stack(tower.width, V2_WIDTHS), placement, under="layers.")
    return Aesthetic(card, tower, head, Preprocessing(Crop(), mode=preprocess))


CARD = RewardCard(
    name="aesthetic-v2",
    summary="how much people like the look of a picture, from 1 to 10; trained on SAC, LOGOS and AVA",
    source="christophschuhmann/improved-aesthetic-predictor, simple_inference.py",
    code_licence="Apache-2.0",
    weights_licence="Apache-2.0",
    score_range=(3.0, 7.5),
    unit="rating from 1 to 10, not bounded",
    parameters=304_894_177,
    input="224x224, middle square",
    preprocess=("exact", "diff"),
)
BACKBONE = {"architecture": "ViT-L-14-quickgelu"}
AESTHETIC_V2 = Release(
    CARD,
    load_aesthetic_v2,
    {
        "checkpoint": HubFile(  # TRL's copy of sac+logos+ava1-l14-linearMSE.pth
            "trl-lib/ddpo-aesthetic-predictor", "aesthetic-model.pth", "cf4bd10345610935a80a5d3be9a3133c50f121e4"
        ),
        "backbone": OPENAI_L14,
    },
    BACKBONE,
)
AESTHETIC_V1 = Release(
    CARD.model_copy(
        update={
            "name": "aesthetic-v1",
            "summary": "how much people like the look of a picture, from 1 to 10; trained on SAC",
            "source": "LAION-AI/aesthetic-predictor, asthetics_predictor.ipynb",
            "code_licence": "MIT",
            "weights_licence": "MIT",
            "parameters": 303_966_977,
        }
    ),
    load_aesthetic_v1,
    {
        "checkpoint": ElsewhereFile(
            "sa_0_4_vit_l_14_linear.pth",
            "https://github.com/LAION-AI/aesthetic-predictor/tree/6d122adad522ab246644d9dc1c6d7a3810ee255f",
            4_071,
            "2cd4e60f4f24ae3bcd57b847b13c1f3ba27edc28cc1a7f9ce74ee9f421243cba",
        ),
        "backbone": OPENAI_L14,
    },
    BACKBONE,
)
