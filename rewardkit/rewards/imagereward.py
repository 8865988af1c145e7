"""ImageReward: how well a picture serves its prompt, as people ranked it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.heads import Head, linear_stack, load_head
from rewardkit.rewards.interface import ImageReward
from rewardkit.rewards.preprocessing import Crop, Mode, Preprocessing
from rewardkit.rewards.prompts import PromptCache, paired
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.blip import BertTokenizer, BlipArchitecture, BlipTower, Tokens, load_blip
from rewardkit.weights.filling import Placement
from rewardkit.weights.hub import HubFile

MEAN, STD = 0.16717362830052426, 1.0333394966054072  # of raw scores over the authors' data; scores are standardised
HEAD_WIDTHS = (1024, 128, 64, 16, 1)
BERT = HubFile(
    "google-bert/bert-base-uncased",
    "vocab.txt",
    "86b5e0934494bd15c9632b12f734a8a67f723594",
    231_508,
    "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
)


class HumanRanking(ImageReward):
    """The text tower reads the prompt while it looks at the picture; a head turns that into a score."""

    preprocessing: Preprocessing
    takes_bytes = True

    def __init__(
        self,
        card: RewardCard,
        tower: BlipTower,
        head: Head,
        tokenizer: BertTokenizer,
        preprocessing: Preprocessing,
    ) -> None:
        super().__init__()
        self.card = card
        self.tower = tower
        self.head = head
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.texts = PromptCache()

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """The score of each picture with its own prompt: 0 is average, 1 a standard deviation better."""
        prompts = paired(self.card.name, prompts, images)
        patches = self.tower.image_tokens(self.preprocessing(self.card.name, images))
        tokens = Tokens(*self.texts.features(prompts, self.tokenizer))
        raw: Tensor = self.head(self.tower.read(tokens, patches)).squeeze(-1)
        return (raw - MEAN) / STD

    def truncates(self, prompt: str) -> bool:
        """Whether `prompt` has more than 35 tokens."""
        return self.tokenizer.length(prompt) > self.tokenizer.context


def load_imagereward(
    card: RewardCard,
    placement: Placement,
    checkpoint: Path,
    tokenizer: Path,
    architecture: BlipArchitecture,
    preprocess: Mode = "auto",
) -> HumanRanking:
    """ImageReward from the official `ImageReward.pt`.

    Args:
        card: its card.
        placement: device and precision.
        checkpoint: the weights.
        tokenizer: `vocab.txt` of bert-base-uncased.
        architecture: what the file must hold.
        preprocess: `exact`, `diff`, or `auto`.
    """
    tower = load_blip(card.name, checkpoint, architecture, placement, under="blip.")
    width = architecture.text_width
    head = load_head(card.name, checkpoint, lambda: linear_stack(width, HEAD_WIDTHS), placement, under="mlp.layers.")
    words = BertTokenizer(card.name, tokenizer)
    return HumanRanking(card, tower, head, words, Preprocessing(Crop(), mode=preprocess))


IMAGEREWARD = Release(
    RewardCard(
        name="imagereward",
        summary="how well a picture serves its prompt, as people ranked it",
        source="ImageReward, Xu et al., arXiv:2304.05977; image-reward 1.5, ImageReward/ImageReward.py",
        code_licence="Apache-2.0",
        weights_licence="Apache-2.0",
        score_range=(-2.0, 2.0),
        unit="standard deviations from the authors' mean",
        needs_prompt=True,
        max_prompt_tokens=35,
        parameters=446_665_953,
        input="224x224, middle square",
        preprocess=("exact", "diff"),
    ),
    load_imagereward,
    {
        "checkpoint": HubFile("THUDM/ImageReward", "ImageReward.pt", "5736be03b2652728fb87788c9797b0570450ab72"),
        "tokenizer": BERT,
    },
    {"architecture": BlipArchitecture()},
)
