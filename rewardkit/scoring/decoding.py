"""Decoding ahead: threads read the planned frames of the next videos while a reward scores those before."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from rewardkit.errors import BadInputError, DecoderDiedError, OverLimitError, RewardkitError, first_line
from rewardkit.limits import Limits
from rewardkit.reducers.plan import FramePlan
from rewardkit.reducers.reward import Reward
from rewardkit.scoring.altering import Alteration
from rewardkit.scoring.prompts import ScoreItem
from rewardkit.scoring.rows import ErrorKind
from rewardkit.storage import here
from rewardkit.types import Frames
from rewardkit.video import Decoders, FrameReader, VideoInfo, open_video

Opener = Callable[[str | Path], AbstractContextManager[FrameReader]]
"""What opens a video: here, or in another process."""

BYTES_AHEAD = 2**30
"""How much is decoded ahead of the reward; a minute of 1080p is several times as much, and is then decoded alone."""

VIDEOS_AHEAD = 16
"""At least, where bytes allow: a batch of 64 frames is 16 videos of four, and the next is read while it is scored."""

BYTES_PINNED = 2**28
"""Of one video at most; the system cannot use what is pinned otherwise, and torch keeps it for the next."""


class MissingPromptError(BadInputError):
    """A prompt is needed and not there, or cannot be read."""


@dataclass(frozen=True, slots=True)
class KeyedItem:
    """A video to score and the key that its row will have."""

    item: ScoreItem
    key: str


@dataclass(frozen=True)
class Decoded:
    """The planned frames of one video, ready to be scored; or, where that failed, the sentence that says why."""

    source: KeyedItem
    decode_ms: float
    info: VideoInfo | None = None
    plan: FramePlan | None = None
    frames: Frames | None = None
    error: str | None = None
    error_kind: ErrorKind | None = None

    @property
    def shape(self) -> tuple[object, ...]:
        """Videos of equal shape can be scored as one batch."""
        if self.plan is None or self.frames is None:
            return (id(self),)
        return (self.plan.shape, self.frames.shape)


Waiting = deque[Future[Decoded]]


def decode_ahead(
    items: Iterable[KeyedItem],
    reward: Reward,
    seed: int,
    num_workers: int,
    alter: Alteration | None = None,
    pinned: bool = False,
    limits: Limits | None = None,
    waiting: Waiting | None = None,
) -> Iterator[Decoded]:
    """The items decoded, in order. Ahead are at most sixteen, or two a worker, and fewer where videos are large.

    Pinned frames are in memory that a GPU copies from by itself, so that nobody waits for the copy. Those ahead are in
    `waiting`, for whoever wants to see how many there are.
    """
    ahead: Waiting = deque() if waiting is None else waiting
    with opener(limits or Limits()) as opens:
        yield from _decode_ahead(items, num_workers, partial(decode, reward, seed, alter, pinned, opens), ahead)


@contextmanager
def opener(limits: Limits) -> Iterator[Opener]:
    """What opens videos within `limits`."""
    if limits.isolated:
        with Decoders(limits) as decoders:
            yield decoders.open
    else:
        yield partial(open_video, max_pixels=limits.max_pixels, max_frames=limits.max_frames)


def _decode_ahead(
    items: Iterable[KeyedItem], num_workers: int, decode_one: Callable[[KeyedItem], Decoded], waiting: Waiting
) -> Iterator[Decoded]:
    remaining = iter(items)
    pool = ThreadPoolExecutor(num_workers, thread_name_prefix="decode")
    try:
        for keyed in islice(remaining, num_workers):
            waiting.append(pool.submit(decode_one, keyed))
        while waiting:
            decoded = waiting.popleft().result()
            size = decoded.frames.nbytes if decoded.frames is not None else 0
            room = max(1, min(max(2 * num_workers, VIDEOS_AHEAD), BYTES_AHEAD // max(1, size)))
            for keyed in islice(remaining, max(0, room - len(waiting))):
                waiting.append(pool.submit(decode_one, keyed))
            yield decoded
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def decode(
    reward: Reward, seed: int, alter: Alteration | None, pinned: bool, opens: Opener, keyed: KeyedItem
) -> Decoded:
    """The frames of one video that `reward` looks at; what goes wrong is said in it."""
    start = time.perf_counter()
    info = plan = None

    def chosen(count: int) -> list[int]:
        nonlocal plan
        plan = reward.plan_one(count, frame_generator(seed, keyed.item.name))
        index = plan.index[0] if alter is None else alter.order(count)[plan.index[0]]
        return index.tolist()

    try:
        _check_prompt(keyed.item, reward)
        with here(keyed.item.path) as path, opens(path) as video:
            try:
                frames = video.read_planned(chosen)
            finally:
                info = video.info
        frames = frames if alter is None else alter.pictures(frames)
        if pinned and frames.nbytes <= BYTES_PINNED:
            with suppress(RuntimeError):  # nothing left to pin: the copy is waited for
                frames = frames.pin_memory()
        return Decoded(keyed, milliseconds_since(start), info, plan, frames)
    except Exception as error:  # noqa: BLE001 - a decoder may raise anything on a stranger's file
        said = "" if isinstance(error, RewardkitError) else f"cannot decode: {type(error).__name__}: "
        return Decoded(
            keyed, milliseconds_since(start), info, error=said + first_line(error), error_kind=_kind_of(error)
        )


def _kind_of(error: Exception) -> ErrorKind:
    kinds: dict[type[Exception], ErrorKind] = {
        MissingPromptError: "prompt", OverLimitError: "limit", DecoderDiedError: "crash", MemoryError: "memory",
    }  # fmt: skip
    return next((kind for raised, kind in kinds.items() if isinstance(error, raised)), "video")


def frame_generator(seed: int, name: str) -> torch.Generator:
    """The generator that chooses the frames of the video called `name`."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode(errors="surrogatepass")).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _check_prompt(item: ScoreItem, reward: Reward) -> None:
    if item.problem is not None:
        raise MissingPromptError(item.problem)
    if reward.needs_prompt and not (item.prompt or "").strip():
        found = "an empty one" if item.prompt is not None else "none"
        raise MissingPromptError(
            f"{reward.name} needs a prompt, this video has {found}: "
            "give --prompts FILE, --prompts filename or --prompt TEXT"
        )


def milliseconds_since(start: float) -> float:
    """Time gone by since `time.perf_counter()` gave `start`."""
    return (time.perf_counter() - start) * 1000
