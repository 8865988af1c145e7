"""The settings of `rewardkit score`, from a file or the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt


class ScoreConfig(BaseModel):
    """What to score, with what, and where the rows go; `score_folder` and `create_reward` explain each setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: list[str] = []
    reward: str = "technical"
    frames: str | None = None
    weights: str | None = None
    reduce: str | None = None
    prompts: str = "auto"
    prompt: str | None = None
    out: Path | None = None
    overwrite: bool = False
    retry_failed: bool = False
    limit: PositiveInt | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: PositiveInt | Literal["auto"] = "auto"
    num_workers: PositiveInt | Literal["auto"] = "auto"
    seed: int = 0
