"""BLIPScore: how well a picture fits its prompt, by BLIP as it was trained."""

from __future__ import annotations

from pathlib import Path

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.imagereward import BERT
from rewardkit.rewards.preprocessing import Crop, Mode, Preprocessing
from rewardkit.rewards.release import Release
from rewardkit.rewards.similarity import Similarity
from rewardkit.rewards.towers.blip import BertTokenizer, BlipArchitecture, load_blip
from rewardkit.weights.filling import Placement
from rewardkit.weights.source import ElsewhereFile


def load_blipscore(
    card: RewardCard,
    placement: Placement,
    checkpoint: Path,
    tokenizer: Path,
    architecture: BlipArchitecture,
    preprocess: Mode = "auto",
) -> Similarity:
    """BLIPScore from BLIP's pre-trained `model_large.pth`, whose momentum copies and decoder are left out.

    Args:
        card: its card.
        placement: device and precision.
        checkpoint: the weights.
        tokenizer: `vocab.txt` of bert-base-uncased.
        architecture: what the file must hold.
        preprocess: `exact`, `diff`, or `auto`.
    """
    tower = load_blip(card.name, checkpoint, architecture, placement)
    return Similarity(card, tower, BertTokenizer(card.name, tokenizer), Preprocessing(Crop(), mode=preprocess))


BLIPSCORE = Release(
    RewardCard(
        name="blipscore",
        summary="how well a picture fits its prompt: cosine of BLIP large",
        source="BLIP, Li et al., arXiv:2201.12086; image-reward 1.5, ImageReward/models/BLIPScore.py",
        code_licence="BSD-3-Clause",
        weights_licence="BSD-3-Clause",
        score_range=(0.0, 0.6),
        unit="cosine of picture and prompt",
        needs_prompt=True,
        max_prompt_tokens=35,
        parameters=445_737_984,
        input="224x224, middle square",
        preprocess=("exact", "diff"),
    ),
    load_blipscore,
    {
        "checkpoint": ElsewhereFile(
            "model_large.pth", "https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/model_large.pth"
        ),
        "tokenizer": BERT,
    },
    {"architecture": BlipArchitecture()},
)
