"""Read chosen frames of mp4, mkv, avi, ts, gif, ...: never a wrong one, and decode little more than them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import cast

import av
from av.video.frame import VideoFrame

from rewardkit.video.completeness import check_complete
from rewardkit.video.file import Picture, VideoFile, VideoInfo, check_size, unreadable
from rewardkit.video.orientation import orientation_of
from rewardkit.video.stream import Decoder
from rewardkit.video.timeline import survey, survey_by_decoding

CONTAINER_SUFFIXES: frozenset[str] = frozenset(
    {".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg"}
    | {".wmv", ".flv", ".ogv", ".gif"}
)


class _OutOfStepError(Exception):
    """A decoded frame is not the one that the timeline announces at its place."""


class ContainerFile(VideoFile):
    """A video file that FFmpeg reads.

    Opening lists the packets (their timestamps and key flags; nothing is decoded), and decodes the first
    frame. Reading decodes on, or seeks if a key frame lies between here and the wanted frame, and compares
    the timestamp of every decoded frame with the list. If they differ, it starts again without seeking; if
    they still differ, the list is wrong, and frame n is the n-th that decoding shows. Files whose packets
    cannot be believed from the outset (cut inside a group of pictures, timestamps missing or doubled) are
    decoded once when opened.
    """

    def __init__(self, path: Path, decoder_threads: int, max_pixels: int, max_frames: int | None = None) -> None:
        check_complete(path)
        self.path = path
        self._threads, self._max_pixels, self._max_frames = decoder_threads, max_pixels, max_frames
        self._timeline = survey(path, self._reopen, max_frames)
        self._decoder = self._reopen()
        self._next = 0
        try:
            self._frames: Iterator[VideoFrame] = self._play_from(0)
            first = self._first_frame()
            check_size(path, first.width, first.height, max_pixels)
            self._orientation = orientation_of(path, first)
        except BaseException:
            self.close()
            raise
        # the first frame may be asked for: put it back
        self._frames, self._next = chain([first], self._frames), 0
        width, height = self._orientation.size(first.width, first.height)
        rate = self._decoder.stream.average_rate
        self.info = VideoInfo(len(self._timeline.pts), float(rate) if rate else None, width, height)

    def close(self) -> None:
        """Let go of the file."""
        self._frames = iter(())  # it holds this object, which holds it: a circle that only the garbage collector undoes
        self._decoder.close()

    def _pictures(self, wanted: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        while True:
            try:
                for number in wanted:
                    yield number, self._picture(self._advance(number))
                return
            except _OutOfStepError:
                self._trust_less()
                self.info = replace(self.info, num_frames=len(self._timeline.pts))
                self._check(wanted)

    def _picture(self, frame: VideoFrame) -> Picture:
        # one thread: FFmpeg would take one a core, which fight with those of other files
        picture = frame.to_ndarray(format="rgb24", threads=1)
        return self._orientation.turn(cast(Picture, picture))

    def _advance(self, number: int) -> VideoFrame:
        """Decode up to frame `number` and give it."""
        start = self._timeline.start_for(number)
        if number < self._next or start > self._next:
            self._frames, self._next = self._play_from(start), start
        for frame in self._frames:
            self._next += 1
            if self._next > number:
                if frame.is_corrupt:
                    raise unreadable(self.path, f"is damaged at frame {number}")
                return frame
        raise unreadable(self.path, f"ends before frame {number}")

    def _play_from(self, start: int) -> Iterator[VideoFrame]:
        """Frames `start`, `start` + 1, ..., each compared with the timeline."""
        timeline = self._timeline
        key_time = timeline.pts[start] if start else None
        self._go_to(start)
        place = start
        for frame in self._decoder.frames(timeline.sound_from if key_time is None else key_time):
            if key_time is not None and (frame.pts is None or frame.pts < key_time):
                continue  # the seek landed earlier, or a picture leads the key frame
            if not timeline.exact and frame.pts != timeline.pts[place]:
                break
            yield frame
            place += 1
        # a decoder that starts at a key frame may complain where one that starts at the beginning does not
        if self._decoder.damage is not None and not start:
            raise unreadable(self.path, f"is damaged at or after frame {place}: {self._decoder.damage}")
        if not timeline.exact:
            raise _OutOfStepError

    def _go_to(self, start: int) -> None:
        if start:
            try:
                self._decoder.seek(self._timeline.seek_time(start))
            except av.FFmpegError as error:
                raise _OutOfStepError from error
        else:  # opened anew: in some formats a seek does not find back to the very first packet
            self._decoder.close()
            self._decoder = self._reopen()

    def _first_frame(self) -> VideoFrame:
        while True:
            try:
                return self._advance(0)
            except _OutOfStepError:
                self._trust_less()

    def _trust_less(self) -> None:
        """Do without seeking; if that is already so, without the list of packets."""
        if self._timeline.keys:
            self._timeline = replace(self._timeline, keys=(), key_times=())
        else:
            self._timeline = survey_by_decoding(self.path, self._reopen, self._timeline.sound_from, self._max_frames)
        self._frames, self._next = self._play_from(0), 0

    def _reopen(self) -> Decoder:
        return Decoder(self.path, self._threads, self._max_pixels)
