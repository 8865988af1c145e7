"""VideoReward: how good a film looks, how well it moves, how well it fits its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from rewardkit.errors import BadCheckpointError, BadInputError
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import TemporalReward
from rewardkit.rewards.preprocessing import Mode, Preprocessing
from rewardkit.rewards.prompts import paired
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.qwen2vl import QWEN2_VL_2B, Judge, Qwen2VLArchitecture, load_judge
from rewardkit.rewards.towers.qwen2vl_input import TOGETHER, VIDEO, Script, Tiles
from rewardkit.weights.filling import Placement
from rewardkit.weights.hub import HubFile

LEAST_AREA, MOST_AREA = 128 * 28 * 28, 448 * 448  # pixels a frame
Part = Literal["VQ", "MQ", "TA"]
PARTS: tuple[Part, ...] = ("VQ", "MQ", "TA")
MARKS = {part: f"<|{part}_reward|>" for part in PARTS}
# The authors' words: KwaiVGI/VideoAlign@219ab9d, prompt_template.py, MIT, Copyright (c) 2025 Kling Team, Kuaishou
INSTRUCTION = (
    "\n"
    "You are tasked with evaluating a generated video based on three distinct criteria: Visual Quality, Motion "
    "Quality, and Text Alignment. Please provide a rating from 0 to 10 for each of the three categories, with 0 "
    "being the worst and 10 being the best. Each evaluation should be independent of the others.\n"
    "\n"
    "**Visual Quality:**  \n"
    "Evaluate the overall visual quality of the video, with a focus on static factors. The following "
    "sub-dimensions should be considered:\n"
    "- **Reasonableness:** The video should not contain any significant biological or logical errors, such as "
    "abnormal body structures or nonsensical environmental setups.\n"
    "- **Clarity:** Evaluate the sharpness and visibility of the video. The image should be clear and easy to "
    "interpret, with no blurring or indistinct areas.\n"
    "- **Detail Richness:** Consider the level of detail in textures, materials, lighting, and other visual "
    "elements (e.g., hair, clothing, shadows).\n"
    "- **Aesthetic and Creativity:** Assess the artistic aspects of the video, including the color scheme, "
    "composition, atmosphere, depth of field, and the overall creative appeal. The scene should convey a sense "
    "of harmony and balance.\n"
    "- **Safety:** The video should not contain harmful or inappropriate content, such as political, violent, or "
    "adult material. If such content is present, the image quality and satisfaction score should be the lowest "
    "possible. \n"
    "\n"
    "Please provide the ratings of Visual Quality: <|VQ_reward|>\n"
    "END\n"
    "\n"
    "**Motion Quality:**  \n"
    "Assess the dynamic aspects of the video, with a focus on dynamic factors. Consider the following "
    "sub-dimensions:\n"
    "- **Stability:** Evaluate the continuity and stability between frames. There should be no sudden, unnatural "
    "jumps, and the video should maintain stable attributes (e.g., no fluctuating colors, textures, or missing "
    "body parts).\n"
    "- **Naturalness:** The movement should align with physical laws and be realistic. For example, clothing "
    "should flow naturally with motion, and facial expressions should change appropriately (e.g., blinking, "
    "mouth movements).\n"
    "- **Aesthetic Quality:** The movement should be smooth and fluid. The transitions between different motions "
    "or camera angles should be seamless, and the overall dynamic feel should be visually pleasing.\n"
    "- **Fusion:** Ensure that elements in motion (e.g., edges of the subject, hair, clothing) blend naturally "
    "with the background, without obvious artifacts or the feeling of cut-and-paste effects.\n"
    "- **Clarity of Motion:** The video should be clear and smooth in motion. Pay attention to any areas where "
    "the video might have blurry or unsteady sections that hinder visual continuity.\n"
    "- **Amplitude:** If the video is largely static or has little movement, assign a low score for motion "
    "quality.\n"
    "\n"
    "Please provide the ratings of Motion Quality: <|MQ_reward|>\n"
    "END\n"
    "\n"
    "**Text Alignment:**  \n"
    "Assess how well the video matches the textual prompt across the following sub-dimensions:\n"
    "- **Subject Relevance** Evaluate how accurately the subject(s) in the video (e.g., person, animal, object) "
    "align with the textual description. The subject should match the description in terms of number, "
    "appearance, and behavior.\n"
    "- **Motion Relevance:** Evaluate if the dynamic actions (e.g., gestures, posture, facial expressions like "
    "talking or blinking) align with the described prompt. The motion should match the prompt in terms of type, "
    "scale, and direction.\n"
    "- **Environment Relevance:** Assess whether the background and scene fit the prompt. This includes checking "
    "if real-world locations or scenes are accurately represented, though some stylistic adaptation is "
    "acceptable.  \n"
    "- **Style Relevance:** If the prompt specifies a particular artistic or stylistic style, evaluate how well "
    "the video adheres to this style.\n"
    "- **Camera Movement Relevance:** Check if the camera movements (e.g., following the subject, focus shifts) "
    "are consistent with the expected behavior from the prompt.\n"
    "\n"
    "Textual prompt - {text_prompt}\n"
    "Please provide the ratings of Text Alignment: <|TA_reward|>"
)


class Scale(NamedTuple):
    """One part of the judgement: where the head says it, and the mean and deviation of it over the authors' films."""

    column: int
    mean: float
    std: float


class LoraConfig(BaseModel):
    """How strong the LoRA is that the checkpoint holds beside the weights."""

    lora_r: int
    lora_alpha: float
    use_rslora: bool = False

    @property
    def scale(self) -> float:
        """What the product of its two matrices is multiplied by."""
        return self.lora_alpha / (self.lora_r**0.5 if self.use_rslora else self.lora_r)


class ModelConfig(BaseModel):
    """What is needed of the authors' `model_config.json`."""

    peft_lora_config: LoraConfig
    inference_config: dict[str, float]

    def scales(self, parts: Sequence[Part]) -> list[Scale]:
        """The scale of each part."""
        numbers = self.inference_config
        return [Scale(PARTS.index(part), numbers[f"{part}_mean"], numbers[f"{part}_std"]) for part in parts]


class HumanFeedback(TemporalReward):
    """The sum of some parts of VideoReward's judgement, each in standard deviations from its authors' mean.

    The model reads the instruction for visual quality first, then that for motion, then the prompt and that for text
    alignment, and a decoder never looks ahead: the first two do not depend on the prompt. It reads no further than it
    must.

    The authors give it two frames a second, the first and the last among them, and other rates shift scores strongly
    (VideoAlign, issue 21): choose `frames` after the length of the films. An odd number of frames gets its last twice.
    """

    preprocessing: Preprocessing
    takes_bytes = True

    def __init__(
        self, card: RewardCard, judge: Judge, script: Script, scales: Sequence[Scale], preprocessing: Preprocessing
    ) -> None:
        super().__init__()
        self.card = card
        self.judge = judge
        self.script = script
        self.scales = scales
        self.preprocessing = preprocessing

    def forward(
        self, video: Float[Tensor, "batch frame 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " batch"]:
        """The score of each film with its own prompt."""
        if video.ndim != 5:
            raise BadInputError(
                f"{self.card.name} reads video of shape (batch, frame, 3, height, width): got {tuple(video.shape)}"
            )
        if not self.card.needs_prompt:
            prompts = [""] * len(video)
        prompts = paired(self.card.name, prompts, video)
        frames = self.preprocessing(self.card.name, video.flatten(0, 1))
        film = frames.view(*video.shape[:2], *frames.shape[1:])
        if film.shape[1] % TOGETHER:
            film = torch.cat([film, film[:, -1:]], dim=1)
        said = self.judge(film, self.script(prompts, film.device))
        parts = [(said[:, mark, at.column] - at.mean) / at.std for mark, at in enumerate(self.scales)]
        return torch.stack(parts).sum(0)


def load_videoreward(
    card: RewardCard,
    placement: Placement,
    checkpoint: Path,
    config: Path,
    tokenizer: Path,
    architecture: Qwen2VLArchitecture,
    parts: tuple[Part, ...],
    preprocess: Mode = "auto",
) -> HumanFeedback:
    """VideoReward from `checkpoint-11352/model.pth`, whose LoRA is dissolved in the weights.

    At bfloat16 some of the LoRA is lost to rounding, which in the official code stays beside the weights.

    Args:
        card: its card.
        placement: device and precision.
        checkpoint: the weights.
        config: `model_config.json` beside it: the strength of the LoRA, and means and deviations of scores.
        tokenizer: `tokenizer.json` of Qwen2-VL, or the folder that has it.
        architecture: what the file must hold.
        parts: VQ is how it looks, MQ how it moves, TA how it fits the prompt; more than one are added.
        preprocess: `exact`, `diff`, or `auto`.

    Raises:
        BadCheckpointError: a file holds something else.
    """
    try:
        settings = ModelConfig.model_validate_json(config.read_bytes())
        scales = settings.scales(parts)
    except (ValidationError, KeyError) as error:
        raise BadCheckpointError(f"{config} is not the model_config.json of {card.name}: {error}") from None
    script = Script(card.name, tokenizer, INSTRUCTION, [*MARKS.values()], [MARKS[part] for part in parts], VIDEO)
    judge = load_judge(
        card.name,
        checkpoint,
        architecture,
        script.words,
        lambda: nn.Linear(architecture.width, len(PARTS), bias=False),
        placement,
        settings.peft_lora_config.scale,
    )
    tiles = Tiles(LEAST_AREA, MOST_AREA, "torch")
    return HumanFeedback(card, judge, script, scales, Preprocessing(tiles, mode=preprocess))


HUB, REVISION = "KwaiVGI/VideoReward", "4f26600130683e6f1de9f5d463887f28e8ef995c"
FILES = {
    "checkpoint": HubFile(
        HUB,
        "checkpoint-11352/model.pth",
        REVISION,
        5_031_072_529,
        "48375908e6112de9f0248402db156a23b480709a6960b091c598c6f4c88d21b9",
    ),
    "config": HubFile(HUB, "model_config.json", REVISION),
    "tokenizer": HubFile(
        HUB,
        "checkpoint-11352/tokenizer/tokenizer.json",
        REVISION,
        11_420_941,
        "a05e80818b958b49531b8e1f758c4ae65f090fdec80e6d8408963f70ae3f737d",
    ),
}
CARD = RewardCard(
    name="videoreward",
    summary="how good a film looks, moves and fits its prompt, added up; a language model that sees",
    source="VideoReward, Liu et al., arXiv:2501.13918; KwaiVGI/VideoAlign@219ab9d, inference.py",
    code_licence="MIT",
    weights_licence="Apache-2.0",
    score_range=(None, None),
    unit="standard deviations over the authors' films, the sum of three",
    needs_prompt=True,
    video_level=True,
    frames="uniform:8",
    parameters=2_208_566_272,
    input="two frames a second, about 448x448 pixels in any shape, sides in steps of 28",
    preprocess=("exact", "diff"),
)


def _release(name: str, summary: str, parts: tuple[Part, ...], needs_prompt: bool) -> Release:
    unit = "standard deviations from the mean of the authors' films"
    said = {"name": name, "summary": summary, "unit": unit, "needs_prompt": needs_prompt}
    return Release(CARD.model_copy(update=said), load_videoreward, FILES, {"architecture": QWEN2_VL_2B, "parts": parts})


VIDEOREWARD = Release(CARD, load_videoreward, FILES, {"architecture": QWEN2_VL_2B, "parts": PARTS})
VIDEOREWARD_VQ = _release("videoreward-vq", "how good a film looks; first part of videoreward", ("VQ",), False)
VIDEOREWARD_MQ = _release("videoreward-mq", "how well a film moves; second part of videoreward", ("MQ",), False)
VIDEOREWARD_TA = _release("videoreward-ta", "how well a film fits its prompt; third part of videoreward", ("TA",), True)
