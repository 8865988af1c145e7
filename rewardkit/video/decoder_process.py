"""The process that reads videos for another one: requests come on stdin, frames and errors go to stdout.

Requests and answers are lines of JSON; the pixels of an answer follow it as bytes. Nothing is unpickled on either side:
a file that took this process over could only send wrong pixels. Started by `isolated.py`.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import IO

from rewardkit.errors import UnreadableVideoError, first_line
from rewardkit.limits import Limits
from rewardkit.processes import answers_only
from rewardkit.video.file import VideoFile
from rewardkit.video.open import open_video


def main() -> None:
    """Answers until stdin ends, as it does when the other process has gone."""
    answers = answers_only()
    _go_first()
    _say(answers, {})
    limits = Limits.model_validate_json(sys.argv[-1])
    video: VideoFile | None = None
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            if "open" in request:
                if video is not None:
                    video.close()
                    video = None
                video = open_video(
                    os.fsdecode(bytes.fromhex(request["open"])),
                    max_pixels=limits.max_pixels,
                    max_frames=limits.max_frames,
                )
                _answer(answers, video)
            elif video is not None:
                _answer(answers, video, video.read(request["read"]).numpy().data)
        except Exception as error:  # noqa: BLE001 - a decoder may raise anything on a stranger's file
            _answer(answers, video, error=error)


def _answer(
    answers: IO[bytes], video: VideoFile | None, pixels: memoryview | None = None, error: Exception | None = None
) -> None:
    facts: dict[str, object] = {}
    if error is not None:
        plain = isinstance(error, UnreadableVideoError | MemoryError)
        said = str(error) if plain else f"cannot decode: {type(error).__name__}: {first_line(error)}"
        facts = {"error": said[:2000], "kind": type(error).__name__}
    if video is not None:
        facts["info"] = asdict(video.info)
    _say(answers, facts, pixels)


def _say(answers: IO[bytes], facts: dict[str, object], pixels: memoryview | None = None) -> None:
    answers.write(json.dumps(facts).encode() + b"\n")
    if pixels is not None:
        answers.write(pixels)
    answers.flush()


def _go_first() -> None:
    """Where memory runs out, Linux is to stop this process and not the one that it works for."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
