"""PickScore: which of two pictures users of an image generator picked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.preprocessing import Crop, Mode, Preprocessing
from rewardkit.rewards.release import Release
from rewardkit.rewards.similarity import Similarity
from rewardkit.rewards.towers.clip import Architecture, HuggingFaceTokenizer, load_clip
from rewardkit.weights.filling import Placement
from rewardkit.weights.hub import HubFile


def load_pickscore(
    card: RewardCard,
    placement: Placement,
    checkpoint: Path,
    architecture: Architecture,
    preprocess: Mode = "auto",
    scale: Literal["logit", "cosine"] = "logit",
) -> Similarity:
    """PickScore from the official `model.safetensors` or `pytorch_model.bin`.

    Args:
        card: its card.
        placement: device and precision.
        checkpoint: the weights.
        architecture: what the file must hold.
        preprocess: `exact`, `diff`, or `auto`.
        scale: `logit` multiplies by the learned scale (about 100), as published; `cosine` does not.
    """
    tower = load_clip(card.name, checkpoint, architecture, placement)
    preprocessing = Preprocessing(Crop(offset="transformers"), mode=preprocess)
    factor = tower.scale.item() if scale == "logit" else 1.0
    return Similarity(card, tower, HuggingFaceTokenizer(), preprocessing, factor=factor)


PICKSCORE = Release(
    RewardCard(
        name="pickscore",
        summary="which of two pictures for a prompt users of an image generator picked",
        source="Pick-a-Pic, Kirstain et al., arXiv:2305.01569; yuvalkirstain/PickScore, README",
        code_licence="MIT",
        weights_licence="not stated",
        score_range=(18.0, 24.0),
        unit="100 times the cosine of picture and prompt; only scores for the same prompt compare",
        needs_prompt=True,
        max_prompt_tokens=77,
        parameters=986_109_441,
        input="224x224, middle square",
        preprocess=("exact", "diff"),
    ),
    load_pickscore,
    {
        "checkpoint": HubFile(
            "yuvalkirstain/PickScore_v1", "model.safetensors", "a4e4367c6dfa7288a00c550414478f865b875800"
        )
    },
    {"architecture": "ViT-H-14"},
)
