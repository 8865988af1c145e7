"""BLIPScore: how well a picture fits its prompt, by BLIP as it was trained."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.imagereward import BERT
from rewardkit.rewards.preprocessing import Crop, Mode, Preprocessing
from rewardkit.rewards.release import Release
from rewardkit.rewards.similarity import Similarity
from rewardkit.rewards.towers.blip import BertTokenizer, BlipArchitecture, BlipTower
from rewardkit.weights.filling import Placement, filled
from rewardkit.weights.reading import Tensors, read_tensors
from rewardkit.weights.source import ElsewhereFile

KEPT = ("visual_encoder.", "text_encoder.", "vision_proj.", "text_proj.")
POSITIONS = "visual_encoder.pos_embed"


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
        checkpoint: the file.
        tokenizer: `vocab.txt` of bert-base-uncased.
        architecture: what the file must hold.
        preprocess: `exact`, `diff`, or `auto`.
    """
    tensors = read_tensors(card.name, checkpoint)
    kept = {name: value for name, value in tensors.items() if name.startswith(KEPT)}
    tensors.clear()
    _resize_positions(kept, architecture)
    tower = filled(
        card.name, lambda: BlipTower(architecture), kept, checkpoint, placement, ["text_encoder.*position_ids"]
    )
    return Similarity(card, tower, BertTokenizer(card.name, tokenizer), Preprocessing(Crop(), mode=preprocess))


def _resize_positions(tensors: Tensors, architecture: BlipArchitecture) -> None:
    """Position embeddings of a checkpoint trained at another size, as salesforce/BLIP, models/vit.py does it."""
    positions, side = tensors.get(POSITIONS), architecture.size // architecture.patch
    if positions is None or positions.shape[1] == 1 + side * side:
        return
    own = round((positions.shape[1] - 1) ** 0.5)
    grid = positions[:, 1:].float().view(1, own, own, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    tensors[POSITIONS] = torch.cat([positions[:, :1].float(), resized], dim=1)


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
