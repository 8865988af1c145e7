"""What a run would score, without decoding a frame or loading a weight."""

from __future__ import annotations

from collections import Counter

from pydantic import BaseModel

from rewardkit.device import choose_device, choose_dtype
from rewardkit.reducers.aggregation import AGGREGATIONS, Aggregation
from rewardkit.reducers.attenuation import WEIGHTS, FrameWeights
from rewardkit.reducers.create import named_cards
from rewardkit.reducers.sampling import SAMPLERS, FrameSampler
from rewardkit.scoring.config import ScoreConfig
from rewardkit.scoring.inputs import find_videos
from rewardkit.scoring.output import Out
from rewardkit.scoring.prompts import attach_prompts
from rewardkit.spec import parse_part

SHOWN = 5


class Preview(BaseModel):
    """What was matched.

    Attributes:
        prompt_sources: where prompts were found, with counts; `none` counts videos without one.
        missing_prompts: videos without a prompt although the reward needs one.
        unmatched_prompts: manifest entries that fit no video.
        rows_in_out: rows already in the output file.
    """

    videos: list[str]
    reward: str
    needs_prompt: bool
    prompt_sources: dict[str, int]
    missing_prompts: list[str]
    unmatched_prompts: list[str]
    rows_in_out: int

    def lines(self) -> list[str]:
        """The same for people."""
        sources = ", ".join(f"{count} {source}" for source, count in self.prompt_sources.items())
        need = "needs a prompt" if self.needs_prompt else "needs no prompt"
        lines = [
            f"{len(self.videos)} videos: {_few(self.videos)}",
            f"prompts: {sources}; {self.reward} {need}",
        ]
        if self.missing_prompts:
            lines.append(f"{len(self.missing_prompts)} videos lack a prompt: {_few(self.missing_prompts)}")
        if self.unmatched_prompts:
            lines.append(f"{len(self.unmatched_prompts)} prompts fit no video: {_few(self.unmatched_prompts)}")
        if self.rows_in_out:
            lines.append(f"{self.rows_in_out} rows are in the output already")
        return lines


def preview(settings: ScoreConfig) -> Preview:
    """What `settings` would score.

    Raises:
        UsageError, NothingToDoError: as scoring would.
    """
    _check_choices(settings)
    found = attach_prompts(find_videos(settings.source, settings.allow_outside), settings.prompts, settings.prompt)
    items = found.items[: settings.limit]
    needs_prompt = any(card.needs_prompt for card in named_cards(settings.reward))
    return Preview(
        videos=[item.path for item in items],
        reward=settings.reward,
        needs_prompt=needs_prompt,
        prompt_sources=dict(Counter(item.prompt_source for item in items)),
        missing_prompts=[item.path for item in items if needs_prompt and not (item.prompt or "").strip()],
        unmatched_prompts=found.unmatched,
        rows_in_out=len(Out(settings.out, settings.shards, overwrite=False).there()) if settings.out else 0,
    )


def _check_choices(settings: ScoreConfig) -> None:
    """Refuses what scoring would refuse, as far as that needs no weights."""
    parse_part(FrameSampler, settings.frames or "all", SAMPLERS)
    parse_part(FrameWeights, settings.weights or "equal", WEIGHTS)
    parse_part(Aggregation, settings.reduce or "mean", AGGREGATIONS)
    choose_device(settings.device)
    choose_dtype(settings.dtype)
    if settings.out is not None:
        Out(settings.out, settings.shards, overwrite=False)


def _few(names: list[str]) -> str:
    more = f", ... and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
