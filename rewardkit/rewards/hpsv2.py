"""HPSv2 and HPSv2.1: which of two pictures for a prompt people would prefer."""

from __future__ import annotations

from pathlib import Path

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.preprocessing import Mode, PadToSquare, Preprocessing
from rewardkit.rewards.release import Release
from rewardkit.rewards.similarity import Similarity
from rewardkit.rewards.towers.clip import Architecture, OpenAITokenizer, configuration, load_clip
from rewardkit.rewards.towers.words import WordTokenizer
from rewardkit.weights.filling import Placement
from rewardkit.weights.hub import HubFile

REVISION = "697403c78157020a1ae59d23f111aa58ced35b0a"
SHA256_OF_2_1 = "c57a38fb4a2f7e7c15bf00da2ea377cdf165448b4dd1052a484c215a998c9837"
CARD = RewardCard(
    name="hpsv2.1",
    summary="which of two pictures for a prompt people would prefer; trained on HPD v2.1",
    source="HPSv2, Wu et al., arXiv:2306.09341; hpsv2 1.2.0, hpsv2/img_score.py",
    code_licence="Apache-2.0",
    weights_licence="Apache-2.0",
    score_range=(0.2, 0.35),
    unit="cosine of picture and prompt; only scores for the same prompt compare",
    needs_prompt=True,
    max_prompt_tokens=77,
    parameters=986_109_441,
    input="224x224, longer side, padded black",
    preprocess=("exact", "diff"),
)


def load_hpsv2(
    card: RewardCard,
    placement: Placement,
    checkpoint: Path,
    architecture: Architecture,
    tokenizer: Path | None = None,
    preprocess: Mode = "auto",
    antialias: bool = True,
) -> Similarity:
    """HPSv2 from an official checkpoint: `HPS_v2_compressed.pt`, `HPS_v2.1_compressed.pt` or `HPS_v2.pt`.

    The rewards of the mini world are small models of the same kind.

    Args:
        card: which of them.
        placement: device and precision.
        checkpoint: the weights.
        architecture: what the file must hold; it also says what size is read.
        tokenizer: a vocabulary with one word a line, for a model that was not trained with OpenAI's tokenizer.
        preprocess: `exact`, `diff`, or `auto`.
        antialias: False resizes as torchvision before 0.17 did, with which the numbers of the paper were made.
    """
    tower = load_clip(card.name, checkpoint, architecture, placement)
    config = configuration(architecture)
    preprocessing = Preprocessing(PadToSquare(config["vision_cfg"]["image_size"], antialias), mode=preprocess)
    if tokenizer is None:
        return Similarity(card, tower, OpenAITokenizer(), preprocessing)
    text = config["text_cfg"]
    words = WordTokenizer(card.name, tokenizer, text["context_length"], text["vocab_size"])
    return Similarity(card, tower, words, preprocessing)


HPSV2_1 = Release(
    CARD,
    load_hpsv2,
    {"checkpoint": HubFile("xswu/HPSv2", "HPS_v2.1_compressed.pt", REVISION, 1_972_490_005, SHA256_OF_2_1)},
    {"architecture": "ViT-H-14"},
)
HPSV2_0 = Release(
    CARD.model_copy(
        update={
            "name": "hpsv2.0",
            "summary": "which of two pictures for a prompt people would prefer; InstructVideo's reward",
            "score_range": (0.2, 0.3),
        }
    ),
    load_hpsv2,
    {"checkpoint": HubFile("xswu/HPSv2", "HPS_v2_compressed.pt", REVISION)},
    {"architecture": "ViT-H-14"},
)
