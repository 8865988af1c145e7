"""What a reward says of itself, so that it can be listed, chosen and checked without being run."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class RewardCard(BaseModel):
    """The facts about one reward model. Higher scores are better, always.

    Attributes:
        name: as typed on the command line.
        summary: one line, what it measures.
        source: paper or repository@commit and file that the formula comes from.
        code_licence: SPDX identifier of the code it follows.
        weights_licence: SPDX identifier of its weights; None for a reward without weights.
        score_range: (lowest, highest) that can or usually does occur; None where nobody has said.
        unit: what one point of score means.
        differentiable: whether gradient flows from score to pixels.
        needs_prompt: whether it reads the prompt.
        max_prompt_tokens: longer prompts are cut; None where no prompt is read.
        video_level: whether it judges frames together, in order, rather than one by one.
        frames: the sampler it is used with when none is named.
        parameters: how many weights it has; None for a reward without weights.
        input: what size it sees, and how a picture of another shape gets there.
        preprocess: the ways it has to get there: `exact` is the official one, `diff` has gradient.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    summary: str = ""
    source: str = "not stated"
    code_licence: str = "not stated"
    weights_licence: str | None = None
    score_range: tuple[float | None, float | None] | None = None
    unit: str = "arbitrary"
    differentiable: bool = True
    needs_prompt: bool = False
    max_prompt_tokens: int | None = None
    video_level: bool = False
    frames: str = "uniform:8"
    parameters: int | None = None
    input: str = "the picture as it is"
    preprocess: tuple[Literal["exact", "diff"], ...] = ()

    @property
    def kind(self) -> Literal["image", "video"]:
        """Whether it scores single pictures or whole videos."""
        return "video" if self.video_level else "image"

    @property
    def range_in_words(self) -> str:
        """`0 to 1`, `0 to open`, or `not stated`."""
        if self.score_range is None:
            return "not stated"
        low, high = ("open" if edge is None else f"{edge:g}" for edge in self.score_range)
        return f"{low} to {high}"
