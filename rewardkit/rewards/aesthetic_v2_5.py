"""Aesthetic predictor v2.5: how much people like the look of a picture, on SigLIP.

The head and the code of its authors are under the AGPL. Nothing of that code is here: this loader was written from the
names and shapes of the weights and the published description. The weights are the user's to download and to use within
their licence.
"""

from __future__ import annotations

from pathlib import Path

from rewardkit.rewards.aesthetic import Aesthetic
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.heads import linear_stack, load_head
from rewardkit.rewards.preprocessing import SIGLIP_COLOURS, Mode, Preprocessing, Squash
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.siglip import SiglipArchitecture, load_siglip
from rewardkit.weights.filling import Placement
from rewardkit.weights.hub import HubFile
from rewardkit.weights.source import ElsewhereFile

HEAD_WIDTHS = (1024, 128, 64, 16, 1)
DROPOUTS = (0.5, 0.5, 0.5, 0.2)


def load_aesthetic_v2_5(
    card: RewardCard,
    placement: Placement,
    checkpoint: Path,
    backbone: Path,
    architecture: SiglipArchitecture,
    preprocess: Mode = "auto",
) -> Aesthetic:
    """Aesthetic predictor v2.5.

    Args:
        card: its card.
        placement: device and precision.
        checkpoint: the head, `aesthetic_predictor_v2_5.pth`.
        backbone: `model.safetensors` of google/siglip-so400m-patch14-384.
        architecture: what the backbone must hold.
        preprocess: `exact`, `diff`, or `auto`.
    """
    tower = load_siglip(card.name, backbone, architecture, placement)
    head = load_head(
        card.name,
        checkpoint,
        lambda: linear_stack(architecture.width, HEAD_WIDTHS, DROPOUTS),
        placement,
        under="scoring_head.",
    )
    return Aesthetic(card, tower, head, Preprocessing(Squash(architecture.size), SIGLIP_COLOURS, preprocess))


AESTHETIC_V2_5 = Release(
    RewardCard(
        name="aesthetic-v2.5",
        summary="how much people like the look of a picture, from 1 to 10; on SigLIP",
        source="discus0434/aesthetic-predictor-v2-5@c0e1556, README (code AGPL-3.0, not used here)",
        code_licence="Apache-2.0",
        weights_licence="AGPL-3.0 (head), Apache-2.0 (SigLIP)",
        score_range=(1.0, 10.0),
        unit="rating from 1 to 10; 5.5 and more is good",
        parameters=429_546_785,
        input="384x384, squashed; the last 6 rows and columns are not seen",
        preprocess=("exact", "diff"),
    ),
    load_aesthetic_v2_5,
    {
        "checkpoint": ElsewhereFile(
            "aesthetic_predictor_v2_5.pth",
            "https://github.com/discus0434/aesthetic-predictor-v2-5/tree/c0e15567fa61252cbff43d70c49a8bd27202ca9a/models",
            2_644_834,
            "a6caf256b3dc434273c98dcb12f6bf17c5d4fc647d8df11f038386923dd06220",
        ),
        "backbone": HubFile(
            "google/siglip-so400m-patch14-384",
            "model.safetensors",
            "9fdffc58afc957d1a03a25b10dba0329ab15c2a3",
            3_511_950_624,
            "ea2abad2b7f8a9c1aa5e49a244d5d57ffa71c56f720c94bc5d240ef4d6e1d94a",
        ),
    },
    {"architecture": SiglipArchitecture()},
)
