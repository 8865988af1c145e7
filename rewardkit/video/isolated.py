"""Reads videos in other processes, which may crash, hang or run out of memory without harm to this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch

from rewardkit.errors import DecoderDiedError, OverLimitError, UnreadableVideoError
from rewardkit.limits import Limits
from rewardkit.processes import command, how_it_ended
from rewardkit.types import Frames
from rewardkit.video.file import FrameReader, VideoInfo, unreadable

LONGEST_ANSWER = 1 << 16
KINDS: dict[str, type[Exception]] = {"OverLimitError": OverLimitError, "MemoryError": MemoryError}
FILES_A_PROCESS = 1000
"""After so many a process is replaced, so that what a decoder leaks does not add up."""


class Decoders:
    """Processes that read videos, as many as are in use at once. Use as a context manager; safe to share by threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._idle: list[DecoderProcess] = []
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Decoders:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed = True
            for process in self._idle:
                process.stop()

    def _start(self) -> DecoderProcess:
        return DecoderProcess(self._limits)

    @contextmanager
    def open(self, path: str | Path) -> Iterator[FrameReader]:
        """A video, read in a process that has nothing else to do; as `open_video`.

        Raises:
            UnreadableVideoError: also where reading crashes, or takes longer than the limit.
        """
        with self._lock:
            process = self._idle.pop() if self._idle else None
        process = process or self._start()
        try:
            with process.timed():
                yield IsolatedVideo(process, Path(path))
        finally:
            with self._lock:
                if process.usable and not self._closed:
                    self._idle.append(process)
                else:
                    process.stop()


class DecoderProcess:
    """One process, and how to talk to it; from one thread at a time.

    Raises:
        DecoderDiedError: it ended before it could begin.
    """

    def __init__(self, limits: Limits) -> None:
        words = command("rewardkit.video.decoder_process", limits.model_dump_json())
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        # a session of its own: Ctrl-C is for the run, which ends this process
        self._child = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._requests, self._answers = self._child.stdin, self._child.stdout
        self._timeout, self._late, self._files = limits.timeout, False, 0
        if not self._answers.readline():
            self.stop()
            raise DecoderDiedError(f"cannot start a process that reads videos: {sys.executable} ended at once")

    @property
    def usable(self) -> bool:
        """Whether another video may be read."""
        return self._child.poll() is None and not self._late and self._files < FILES_A_PROCESS

    def stop(self) -> None:
        """Ends the process."""
        self._child.kill()
        self._child.wait()
        with suppress(OSError):  # of a request that nobody will read
            self._requests.close()
        self._answers.close()

    @contextmanager
    def timed(self) -> Iterator[None]:
        """In here the process is ended once the time for a video is over."""
        self._files += 1
        watch = threading.Timer(self._timeout, self._end_late) if self._timeout is not None else None
        if watch is not None:
            watch.start()
        try:
            yield
        finally:
            if watch is not None:
                watch.cancel()

    def ask(self, path: Path, request: Mapping[str, object]) -> dict[str, Any]:
        """The answer to a request about the video at `path`.

        Raises:
            UnreadableVideoError: what the process says is wrong with it, or that it has ended over it.
        """
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
            line = self._answers.readline(LONGEST_ANSWER)
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise self._ended(path)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def pixels(self, path: Path, shape: tuple[int, ...]) -> Frames:
        """What follows an answer: frames of this shape."""
        frames = np.empty(shape, dtype=np.uint8)
        if self._answers.readinto(frames.data.cast("B")) < frames.nbytes:  # type: ignore[attr-defined]
            raise self._ended(path)
        return torch.from_numpy(frames)

    def _end_late(self) -> None:
        self._late = True
        self._child.kill()

    def _ended(self, path: Path) -> UnreadableVideoError:
        code = self._child.wait()
        if self._late:
            problem = f"takes longer to read than the limit of {self._timeout:g} seconds"
            return unreadable(path, problem, OverLimitError)
        ended = f"signal {how_it_ended(code)}" if code < 0 else how_it_ended(code)
        problem = f"ends the process that reads it ({ended}): it is damaged, or too large for this machine's memory"
        return unreadable(path, problem, DecoderDiedError)


class IsolatedVideo(FrameReader):
    """A video that another process reads."""

    def __init__(self, process: DecoderProcess, path: Path) -> None:
        self.path, self._process = path, process
        self._ask({"open": os.fsencode(path.absolute()).hex()})

    def read(self, index: Sequence[int]) -> Frames:
        """As FrameReader.read."""
        self._ask({"read": list(index)})
        return self._process.pixels(self.path, (len(index), 3, self.info.height, self.info.width))

    def close(self) -> None:
        """Nothing to let go of: the process closes this video when it opens the next."""

    def _ask(self, request: Mapping[str, object]) -> None:
        answer = self._process.ask(self.path, request)
        if "info" in answer:
            self.info = VideoInfo(**answer["info"])
        if "error" in answer:
            raise KINDS.get(answer["kind"], UnreadableVideoError)(answer["error"])
