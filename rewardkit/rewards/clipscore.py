"""CLIPScore: how well a picture fits its prompt, by CLIP as it was trained."""

from __future__ import annotations

from pathlib import Path

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.preprocessing import Crop, Mode, Preprocessing
from rewardkit.rewards.release import Release
from rewardkit.rewards.similarity import Similarity
from rewardkit.rewards.towers.clip import Architecture, OpenAITokenizer, load_clip
from rewardkit.weights.filling import Placement
from rewardkit.weights.hub import HubFile

COSINE = RewardCard(
    name="clipscore-l14",
    summary="how well a picture fits its prompt: cosine of OpenAI's CLIP ViT-L/14",
    source="CLIP, Radford et al., arXiv:2103.00020; image-reward 1.5, ImageReward/models/CLIPScore.py",
    code_licence="MIT",
    weights_licence="MIT",
    score_range=(0.1, 0.4),
    unit="cosine of picture and prompt",
    needs_prompt=True,
    max_prompt_tokens=77,
    parameters=427_616_513,
    input="224x224, middle square",
    preprocess=("exact", "diff"),
)
OPENAI_B32 = HubFile(
    "timm/vit_base_patch32_clip_224.openai",
    "open_clip_model.safetensors",
    "a6f597a30f7b82c51704746581f9a4e41421e878",
    605_143_284,
    "e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
)
OPENAI_L14 = HubFile(
    "timm/vit_large_patch14_clip_224.openai",
    "open_clip_model.safetensors",
    "18d0535469bb561bf468d76c1d73aa35156c922b",
    1_710_517_724,
    "9ce2e8a8ebfff3793d7d375ad6d3c35cb9aebf3de7ace0fc7308accab7cd207e",
)
LAION_H14 = HubFile(
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    "open_clip_model.safetensors",
    "1c2b8495b28150b8a4922ee1c8edee224c284c0c",
    3_944_517_836,
    "0084e75319a50ad85ef45377bad5bc38f2f58824459eb690048d51c9f8863be5",
)


def load_clipscore(
    card: RewardCard,
    placement: Placement,
    checkpoint: Path,
    architecture: Architecture,
    preprocess: Mode = "auto",
    prefix: str = "",
    factor: float = 1.0,
    floored: bool = False,
) -> Similarity:
    """Agreement by CLIP, from OpenAI's own archive (`ViT-L-14.pt`) or a file in open_clip's or transformers' layout.

    Args:
        card: which of them.
        placement: device and precision.
        checkpoint: the weights.
        architecture: what the file must hold; OpenAI's weights need one with QuickGELU.
        preprocess: `exact`, `diff`, or `auto`.
        prefix: put before every prompt.
        factor: what the cosine is multiplied by.
        floored: whether negative cosines count as 0.
    """
    tower = load_clip(card.name, checkpoint, architecture, placement)
    preprocessing = Preprocessing(Crop(), mode=preprocess)
    return Similarity(card, tower, OpenAITokenizer(), preprocessing, prefix, factor, floored)


CLIPSCORE = Release(
    COSINE.model_copy(
        update={
            "name": "clipscore",
            "summary": "how well a picture fits its prompt: CLIPScore as published, on OpenAI's ViT-B/32",
            "source": "CLIPScore, Hessel et al., arXiv:2104.08718; jmhessel/clipscore, clipscore.py",
            "score_range": (0.0, 2.5),
            "unit": "2.5 * max(cosine, 0) of picture and `A photo depicts` with the prompt",
            "parameters": 151_277_313,
        }
    ),
    load_clipscore,
    {"checkpoint": OPENAI_B32},
    {"architecture": "ViT-B-32-quickgelu", "prefix": "A photo depicts ", "factor": 2.5, "floored": True},
)
CLIPSCORE_L14 = Release(COSINE, load_clipscore, {"checkpoint": OPENAI_L14}, {"architecture": "ViT-L-14-quickgelu"})
CLIPSCORE_H14 = Release(
    COSINE.model_copy(
        update={
            "name": "clipscore-h14",
            "summary": "how well a picture fits its prompt: cosine of LAION's CLIP ViT-H/14",
            "source": "OpenCLIP, Cherti et al., arXiv:2212.07143; as in Ji4chenLi/t2v-turbo",
            "parameters": 986_109_441,
        }
    ),
    load_clipscore,
    {"checkpoint": LAION_H14},
    {"architecture": "ViT-H-14"},
)
