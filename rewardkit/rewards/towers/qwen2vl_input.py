"""What Qwen2-VL is given: pictures cut into patches, and prompts put into the authors' instruction as tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from rewardkit.errors import BadCheckpointError, BadInputError
from rewardkit.rewards.pillow import resize_by_pillow
from rewardkit.rewards.preprocessing import Fit, resize

PATCH, MERGED, TOGETHER = 14, 2, 2  # pixels a patch; patches a token along each side; frames a patch
TILE = PATCH * MERGED
LONGEST = 200  # longer side by shorter side, at most
IMAGE, VIDEO = "<|image_pad|>", "<|video_pad|>"
CHAT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<|vision_start|>{shown}<|vision_end|>"
)
"""How Qwen2-VL's chat template begins, up to the user's words."""


@dataclass(frozen=True)
class Tiles(Fit):
    """Both sides to multiples of 28 pixels, the area between `least` and `most` or close to it, the shape nearly kept.

    Source: smart_resize of qwen-vl-utils, as in hpsv3 1.0.0, hpsv3/dataset/utils.py.
    """

    least: int
    most: int
    by: Literal["pillow", "torch"]

    def exact(self, images: UInt8[Tensor, "image 3 height width"]) -> Tensor:
        """By what the official code uses, on the CPU; torch, too, rounds to 8 bits there."""
        rows, columns = self.sides(*images.shape[-2:])
        if self.by == "pillow":
            return resize_by_pillow(images, rows, columns)
        if images.shape[-2:] == (rows, columns):
            return images
        small = F.interpolate(images.cpu().float(), (rows, columns), mode="bicubic", antialias=True)
        return small.clamp(0, 255).round().to(torch.uint8)

    def diff(self, images: Float[Tensor, "image 3 height width"]) -> Tensor:
        """By antialiased interpolation."""
        return resize(images, *self.sides(*images.shape[-2:]))

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns for a picture of this size.

        Raises:
            BadInputError: it is more than 200 times as long as wide.
        """
        if max(height, width) > LONGEST * min(height, width):
            raise BadInputError(f"Qwen2-VL reads pictures up to {LONGEST}:1: got {width}x{height}; crop it first")
        rows, columns = (max(TILE, round(side / TILE) * TILE) for side in (height, width))
        if rows * columns > self.most:
            shrink = math.sqrt(height * width / self.most)
            rows, columns = (math.floor(side / shrink / TILE) * TILE for side in (height, width))
        elif rows * columns < self.least:
            grow = math.sqrt(self.least / (height * width))
            rows, columns = (math.ceil(side * grow / TILE) * TILE for side in (height, width))
        return rows, columns


def patches(film: Float[Tensor, "film frame 3 row column"]) -> Float[Tensor, "patch value"]:
    """Cuts films of an even number of frames into patches of 2x14x14, in the order in which Qwen2-VL reads them.

    Source: huggingface/transformers@v4.45.2, models/qwen2_vl/image_processing_qwen2_vl.py.
    """
    films, frames, _, rows, columns = film.shape
    tall, wide = (rows // TILE, MERGED, PATCH), (columns // TILE, MERGED, PATCH)
    cut = film.reshape(films, frames // TOGETHER, TOGETHER, 3, *tall, *wide)
    # film, time, together, channel, row, merged, y, column, merged, x
    return cut.permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9).flatten(6).flatten(0, 5)


class Reading(NamedTuple):
    """Token ids: before what is shown, the same for all; after it, a row a prompt; and those whose states are read."""

    before: Int[Tensor, " token"]
    after: Int[Tensor, "prompt token"]
    marks: Sequence[int]


class Script:
    """How a prompt is put to the model.

    Args:
        who: the reward, for errors.
        tokenizer: a tokenizer.json, or the folder that has it.
        instruction: the authors' words around `{text_prompt}`. What follows its last mark is never read: a token of a
            decoder knows only what stands before it.
        added: tokens that the authors added to Qwen2-VL's, in their order.
        marks: those of them whose hidden states are read.
        shown: the token that stands for what is shown, IMAGE or VIDEO.

    Raises:
        BadCheckpointError: the tokenizer is not Qwen2-VL's.
    """

    def __init__(
        self, who: str, tokenizer: Path, instruction: str, added: Sequence[str], marks: Sequence[str], shown: str
    ) -> None:
        self.who = who
        self.reserved = (*added, IMAGE, VIDEO)
        self.tokenizer = _read_tokenizer(who, tokenizer / "tokenizer.json" if tokenizer.is_dir() else tokenizer)
        self.tokenizer.add_special_tokens(list(added))
        self.marks = [self.tokenizer.token_to_id(mark) for mark in marks]
        self.shown = self.tokenizer.token_to_id(shown)
        end = max(instruction.index(mark) + len(mark) for mark in marks)
        self.text = CHAT.format(shown=shown) + instruction[:end]

    @property
    def words(self) -> int:
        """How many tokens there are."""
        count: int = self.tokenizer.get_vocab_size()
        return count

    def __call__(self, prompts: Sequence[str], device: torch.device) -> Reading:
        """The tokens of each prompt.

        Raises:
            BadInputError: a prompt holds a token that only the instruction may have.
        """
        rows = [self._tokens(prompt) for prompt in prompts]
        start = rows[0].index(self.shown)
        after = [torch.tensor(row[start + 1 :]) for row in rows]
        padded = nn.utils.rnn.pad_sequence(after, batch_first=True)  # at the end, where no mark looks
        return Reading(torch.tensor(rows[0][:start], device=device), padded.to(device), self.marks)

    def _tokens(self, prompt: str) -> list[int]:
        found = [token for token in self.reserved if token in prompt]
        if found:
            raise BadInputError(f"{self.who} keeps {found[0]} to itself: take it out of the prompt {prompt!r}")
        ids: list[int] = self.tokenizer.encode(self.text.format(text_prompt=prompt)).ids
        return ids


def _read_tokenizer(who: str, path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - tokenizers raises nothing narrower
        raise BadCheckpointError(f"{who} cannot read the tokenizer {path}: {error}") from None
    if tokenizer.token_to_id(IMAGE) is None or tokenizer.token_to_id(VIDEO) is None:
        raise BadCheckpointError(f"{who} needs Qwen2-VL's tokenizer.json: {path} knows no {IMAGE} or {VIDEO}")
    return tokenizer
