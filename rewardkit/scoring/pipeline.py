"""From videos to rows: batches of decoded frames go through the reward, and every video leaves a row."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from rewardkit.errors import RewardFailedError, RewardkitError, first_line
from rewardkit.limits import Limits
from rewardkit.reducers.plan import FramePlan
from rewardkit.reducers.reward import Reward, RewardDetail
from rewardkit.scoring.altering import Alteration
from rewardkit.scoring.decoding import Decoded, KeyedItem, Waiting, decode_ahead, milliseconds_since
from rewardkit.scoring.rows import ErrorKind, PartScore, ScoreRow
from rewardkit.types import Frames

AUTO_PIXELS = 2**24
AUTO_FRAMES = 64
MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")  # cuda, mps, cpu, cublas


class NoMemoryError(RewardFailedError):
    """A reward ran out of memory on a single frame."""


class BatchSize:
    """How many frames are scored at once: halved when memory runs out, and remembered by their pixels.

    `auto` takes as many frames as make 2^24 pixels, at most 64.
    """

    def __init__(self, frames: int | Literal["auto"]) -> None:
        self._frames = frames
        self._most_pixels: int | None = None

    def for_frames(self, frames: Frames) -> int:
        """Frames of this size to score at once."""
        pixels = frames.shape[-2] * frames.shape[-1]
        wanted = self._frames if self._frames != "auto" else max(1, min(AUTO_FRAMES, AUTO_PIXELS // pixels))
        return wanted if self._most_pixels is None else max(1, min(wanted, self._most_pixels // pixels))

    def limit(self, count: int, frames: Frames) -> None:
        """Remembers that no more than `count` frames of this size fit."""
        self._most_pixels = count * frames.shape[-2] * frames.shape[-1]


def score_items(
    items: Iterable[KeyedItem],
    reward: Reward,
    *,
    seed: int = 0,
    batch_size: int | Literal["auto"] = "auto",
    num_workers: int = 2,
    device: torch.device | None = None,
    alter: Alteration | None = None,
    limits: Limits | None = None,
    waiting: Waiting | None = None,
) -> Iterator[ScoreRow]:
    """One row a video, in order. What goes wrong with a video stands in its row; the others are scored.

    Frames of random samplers are drawn from (seed, name of the video), so that neither order nor batch nor machine
    changes a score. What is decoded ahead takes a gigabyte at most, or is one video.
    """
    where = device or torch.device("cpu")
    decoded = decode_ahead(items, reward, seed, num_workers, alter, where.type == "cuda", limits, waiting)
    yield from score_decoded(decoded, reward, BatchSize(batch_size), where)


def score_decoded(
    decoded: Iterable[Decoded], reward: Reward, size: BatchSize, device: torch.device
) -> Iterator[ScoreRow]:
    """One row a video that was decoded, in order."""
    for batch in _batches(decoded, size):
        yield from _score_batch(batch, reward, size, device)


def _batches(decoded: Iterable[Decoded], size: BatchSize) -> Iterator[list[Decoded]]:
    """Neighbours of equal shape, until their frames fill a batch."""
    batch: list[Decoded] = []
    for video in decoded:
        if batch and (video.shape != batch[0].shape or _full(batch, size)):
            yield batch
            batch = []
        batch.append(video)
        if video.error is not None or _full(batch, size):
            yield batch
            batch = []
    if batch:
        yield batch


def _full(batch: Sequence[Decoded], size: BatchSize) -> bool:
    frames = batch[0].frames
    return frames is not None and (len(batch) + 1) * len(frames) > size.for_frames(frames)


def _score_batch(batch: list[Decoded], reward: Reward, size: BatchSize, device: torch.device) -> list[ScoreRow]:
    """The rows of a batch; where it fails as a whole, each video is scored alone, so that only the culprit fails."""
    if batch[0].error is not None:
        return [_failed(video, reward, video.error or "", video.error_kind or "video") for video in batch]
    start = time.perf_counter()
    try:
        detail = _score(batch, reward, size, device)
        model_ms = milliseconds_since(start) / len(batch)
        return [_row(video, reward, detail, position, model_ms) for position, video in enumerate(batch)]
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a reward of others may raise anything
        if len(batch) > 1:
            return [row for video in batch for row in _score_batch([video], reward, size, device)]
        raised = "" if isinstance(error, RewardkitError) else f"{reward.name} raised {type(error).__name__}: "
        kind: ErrorKind = "memory" if isinstance(error, NoMemoryError) else "reward"
        return [_failed(batch[0], reward, raised + first_line(error), kind)]


@torch.no_grad()
def _score(batch: Sequence[Decoded], reward: Reward, size: BatchSize, device: torch.device) -> RewardDetail:
    decoded = [video.frames for video in batch if video.frames is not None]
    plan = FramePlan.stack([video.plan for video in batch if video.plan is not None])
    prompts = [video.source.item.prompt or "" for video in batch] if reward.needs_prompt else None
    count, _, height, width = decoded[0].shape
    first = step = min(size.for_frames(decoded[0]), len(decoded) * count)
    while True:
        try:
            detail = reward.detail(_on(device, decoded), prompts, plan=plan, batch_size=step).cpu()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if step == 1:
                raise NoMemoryError(
                    f"{reward.name} ran out of memory on {count} frames of {width}x{height}: {first_line(error)}"
                ) from None
        else:
            if step < first:
                size.limit(step, decoded[0])
            return detail
        if device.type == "cuda":
            torch.cuda.empty_cache()
        step //= 2


def _on(device: torch.device, decoded: Sequence[Frames]) -> Tensor:
    """One tensor, which nobody else holds: it is gone before a smaller batch is tried."""
    return torch.stack([frames.to(device, non_blocking=True) for frames in decoded])


def out_of_memory(error: Exception) -> bool:
    """Whether that is what a library meant, whatever it raised."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in text for words in MEMORY_WORDS)


def _row(video: Decoded, reward: Reward, detail: RewardDetail, position: int, model_ms: float) -> ScoreRow:
    whole = _part(detail, position)
    parts = {name: _part(part, position) for name, part in detail.parts.items()}
    for name, part in {**parts, reward.name: whole}.items():
        for number in [*(part.per_frame or []), part.score]:
            if not math.isfinite(number):
                return _failed(video, reward, f"{name} gave {number} where a finite number is expected", "reward")
    values = whole.model_dump()
    truncated = video.source.item.prompt is not None and reward.truncates(video.source.item.prompt)
    known = {"parts": parts, "model_ms": round(model_ms, 3), "prompt_truncated": truncated}
    return _blank(video, reward).model_copy(update={**values, **known})


def _part(detail: RewardDetail, position: int) -> PartScore:
    def numbers(values: Tensor | None) -> list[float] | None:
        return None if values is None else values[position].tolist()

    return PartScore.model_construct(
        score=detail.score[position].item(),
        per_frame=numbers(detail.per_frame),
        frame_index=torch.unique(detail.frame_index[position]).tolist(),
        weights=numbers(detail.weights),
        preprocess=detail.preprocess,
    )


def _failed(video: Decoded, reward: Reward, sentence: str, kind: ErrorKind) -> ScoreRow:
    return _blank(video, reward).model_copy(update={"status": "error", "error": sentence, "error_kind": kind})


def _blank(video: Decoded, reward: Reward) -> ScoreRow:
    item, info = video.source.item, video.info
    return ScoreRow(
        key=video.source.key,
        path=item.path,
        prompt=item.prompt,
        prompt_source=item.prompt_source,
        reward=reward.spec,
        num_frames=info.num_frames if info else None,
        fps=info.fps if info else None,
        width=info.width if info else None,
        height=info.height if info else None,
        decode_ms=round(video.decode_ms, 3),
        status="ok",
    )
