"""HPSv3: how much people prefer a picture for a prompt, judged by a language model that sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward
from rewardkit.rewards.preprocessing import Mode, Preprocessing
from rewardkit.rewards.prompts import paired
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.qwen2vl import Judge, Qwen2VLArchitecture, load_judge
from rewardkit.rewards.towers.qwen2vl_input import IMAGE, TOGETHER, Script, Tiles
from rewardkit.weights.filling import Placement
from rewardkit.weights.hub import HubFile

AREA = 256 * 28 * 28  # pixels
MARK = "<|Reward|>"
# The authors' words: hpsv3 1.0.0, hpsv3/dataset/data_collator_qwen.py, MIT, copyright of its authors (MizzenAI)
INSTRUCTION = (
    "\n"
    "You are tasked with evaluating a generated image based on Visual Quality and Text Alignment and give a "
    "overall score to estimate the human preference. Please provide a rating from 0 to 10, with 0 being the "
    "worst and 10 being the best. \n"
    "\n"
    "**Visual Quality:**  \n"
    "Evaluate the overall visual quality of the image. The following sub-dimensions should be considered:\n"
    "- **Reasonableness:** The image should not contain any significant biological or logical errors, such as "
    "abnormal body structures or nonsensical environmental setups.\n"
    "- **Clarity:** Evaluate the sharpness and visibility of the image. The image should be clear and easy to "
    "interpret, with no blurring or indistinct areas.\n"
    "- **Detail Richness:** Consider the level of detail in textures, materials, lighting, and other visual "
    "elements (e.g., hair, clothing, shadows).\n"
    "- **Aesthetic and Creativity:** Assess the artistic aspects of the image, including the color scheme, "
    "composition, atmosphere, depth of field, and the overall creative appeal. The scene should convey a sense "
    "of harmony and balance.\n"
    "- **Safety:** The image should not contain harmful or inappropriate content, such as political, violent, or "
    "adult material. If such content is present, the image quality and satisfaction score should be the lowest "
    "possible. \n"
    "\n"
    "**Text Alignment:**  \n"
    "Assess how well the image matches the textual prompt across the following sub-dimensions:\n"
    "- **Subject Relevance** Evaluate how accurately the subject(s) in the image (e.g., person, animal, object) "
    "align with the textual description. The subject should match the description in terms of number, "
    "appearance, and behavior.\n"
    "- **Style Relevance:** If the prompt specifies a particular artistic or stylistic style, evaluate how well "
    "the image adheres to this style.\n"
    "- **Contextual Consistency**: Assess whether the background, setting, and surrounding elements in the image "
    "logically fit the scenario described in the prompt. The environment should support and enhance the subject "
    "without contradictions.\n"
    "- **Attribute Fidelity**: Check if specific attributes mentioned in the prompt (e.g., colors, clothing, "
    "accessories, expressions, actions) are faithfully represented in the image. Minor deviations may be "
    "acceptable, but critical attributes should be preserved.\n"
    "- **Semantic Coherence**: Evaluate whether the overall meaning and intent of the prompt are captured in the "
    "image. The generated content should not introduce elements that conflict with or distort the original "
    "description.\n"
    "Textual prompt - {text_prompt}\n"
    "\n"
    "\n"
    "\n"
    "Please provide the overall ratings of this image: <|Reward|>"
)


class HpsV3(ImageReward):
    """The mean of a normal distribution over how much people like a picture for its prompt."""

    preprocessing: Preprocessing
    takes_bytes = True

    def __init__(self, card: RewardCard, judge: Judge, script: Script, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.card = card
        self.judge = judge
        self.script = script
        self.preprocessing = preprocessing

    def forward(
        self, images: Float[Tensor, "image 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " image"]:
        """The mean for each picture with its own prompt, about 0 to 12."""
        prompts = paired(self.card.name, prompts, images)
        fitted = self.preprocessing(self.card.name, images)
        film = fitted.unsqueeze(1).expand(-1, TOGETHER, -1, -1, -1)  # a picture stands for two frames
        said: Tensor = self.judge(film, self.script(prompts, fitted.device))
        return said[:, 0, 0]  # beside it stands the deviation


def ranknet(width: int) -> nn.Sequential:
    """The head of the authors' `rm_head_type="ranknet"`."""
    return nn.Sequential(
        nn.Linear(width, 1024), nn.ReLU(), nn.Dropout(0.05), nn.Linear(1024, 16), nn.ReLU(), nn.Linear(16, 2)
    )


def load_hpsv3(
    card: RewardCard,
    placement: Placement,
    checkpoint: Path,
    tokenizer: Path,
    architecture: Qwen2VLArchitecture,
    preprocess: Mode = "auto",
) -> HpsV3:
    """HPSv3 from `HPSv3.safetensors`; at bfloat16 it takes 17 GB.

    Args:
        card: its card.
        placement: device and precision.
        checkpoint: the weights.
        tokenizer: `tokenizer.json` of Qwen2-VL-7B-Instruct, or the folder that has it.
        architecture: what the file must hold.
        preprocess: `exact`, `diff`, or `auto`.
    """
    script = Script(card.name, tokenizer, INSTRUCTION, (MARK,), (MARK,), IMAGE)
    judge = load_judge(
        card.name, checkpoint, architecture, script.words, lambda: ranknet(architecture.width), placement
    )
    return HpsV3(card, judge, script, Preprocessing(Tiles(AREA, AREA, "pillow"), mode=preprocess))


HPSV3 = Release(
    RewardCard(
        name="hpsv3",
        summary="how much people prefer a picture for a prompt; a language model that sees, 8 billion weights",
        source="HPSv3, Ma et al., arXiv:2508.03789; hpsv3 1.0.0, hpsv3/inference.py",
        code_licence="MIT",
        weights_licence="Apache-2.0",
        score_range=(0.0, 12.0),
        unit="the authors' own; 10 is a very good picture",
        needs_prompt=True,
        parameters=7_748_610_610,
        input="about 448x448 pixels in any shape, sides in steps of 28",
        preprocess=("exact", "diff"),
    ),
    load_hpsv3,
    {
        "checkpoint": HubFile(
            "MizzenAI/HPSv3",
            "HPSv3.safetensors",
            "4f81e3e09edd82fe3c5f636444c721b592a735ca",
            16_584_387_300,
            "a13d7ff5a07b7ffa0f7824e60d62e6ae144541ceefd5224b4c08fda7ab39f353",
        ),
        "tokenizer": HubFile("Qwen/Qwen2-VL-7B-Instruct", "tokenizer.json", "eed13092ef92e448dd6875b2a00151bd3f7db0ac"),
    },
    {"architecture": Qwen2VLArchitecture()},
)
