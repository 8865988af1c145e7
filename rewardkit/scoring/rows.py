"""What scoring one video leaves behind: a row; and what was the same for all rows: the header."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

ErrorKind = Literal["prompt", "video", "limit", "crash", "memory", "reward"]
ShardFormat = Literal["jsonl", "parquet"]
PromptSource = Literal["manifest", "sidecar", "filename", "literal", "none"]


class PartScore(BaseModel):
    """What one reward of a weighted sum gave for one video.

    Attributes:
        score: before its coefficient.
        per_frame: one score a scored frame; None for a reward that judges the video as a whole.
        frame_index: the frames scored, counted from 0.
        weights: one weight a scored frame; None where per_frame is None.
        preprocess: how frames got to the model's size, `exact` or `diff`; None where they are judged as they are.
    """

    model_config = ConfigDict(extra="forbid")

    score: float
    per_frame: list[float] | None
    frame_index: list[int]
    weights: list[float] | None
    preprocess: str | None = None


class ScoreRow(BaseModel):
    """The result for one video. A failed video has status `error`, one sentence in `error`, and no number.

    Attributes:
        key: fingerprint of video, prompt, reward and weights; a row with the same key need not be made again.
        path: the video, as it was named.
        prompt_source: where the prompt was found.
        prompt_truncated: whether the prompt was longer than the reward reads.
        reward: the reward's spec.
        score: the number asked for; None when status is `error`.
        per_frame, frame_index, weights, preprocess: as in PartScore; for a weighted sum they stand in `parts`, and
            frame_index holds all frames that were decoded.
        parts: for a weighted sum, each reward's own result.
        num_frames, fps, width, height: of the video file (fps None where the format has none).
        decode_ms, model_ms: milliseconds spent on this video (its share of its batch).
        error_kind: what was wrong: the `prompt` that is missing, the `video` that cannot be read, a `limit` that it
            goes over, the `crash` of the process that read it, `memory` that ran out, or the `reward`; None also in
            rows of before there were kinds.
    """

    model_config = ConfigDict(extra="forbid")

    key: str
    path: str
    prompt: str | None
    prompt_source: PromptSource
    prompt_truncated: bool = False
    reward: str
    score: float | None = None
    per_frame: list[float] | None = None
    frame_index: list[int] | None = None
    weights: list[float] | None = None
    preprocess: str | None = None
    parts: dict[str, PartScore] = {}
    num_frames: int | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    decode_ms: float | None = None
    model_ms: float | None = None
    status: Literal["ok", "error"]
    error: str | None = None
    error_kind: ErrorKind | None = None


class ScoreHeader(BaseModel):
    """What all rows of one file share; written beside them as `{out}.header.json`.

    Attributes:
        reward: the reward's spec.
        fingerprint: of reward, weights, dtype and seed; rows of different fingerprints do not belong in one file.
        cwd: the folder that relative paths of rows start from.
        configuration: every setting in force, defaults included.
        versions: of rewardkit and the libraries that decide scores.
        weights_sha256: checkpoint name to sha256.
        created: when the first row was made, as `2026-11-23 18:08 UTC`.
    """

    model_config = ConfigDict(extra="forbid")

    reward: str
    fingerprint: str
    cwd: str
    configuration: dict[str, object]
    versions: dict[str, str]
    weights_sha256: dict[str, str]
    device: str
    dtype: str
    platform: str
    created: str
