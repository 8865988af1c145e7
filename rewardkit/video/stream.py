"""One decoder over the video stream of one file."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from math import inf
from pathlib import Path
from typing import TypeAlias, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from rewardkit.video.file import check_size, unreadable

VideoPacket: TypeAlias = "Packet[VideoStream]"


PLAYLISTS = frozenset({"concat", "hls", "dash", "imf"})
"""Formats that only name other files, which nobody asked for and whose changes nobody would notice."""


class Decoder:
    """Gives the frames of a file's video stream in the order in which they are shown.

    Attributes:
        damage: what a decoding error said; None as long as there was none.
        cut: whether that error was in the very last packet, as in a recording that was cut off.
    """

    def __init__(self, path: Path, threads: int, max_pixels: int) -> None:
        # no network and no other files: a playlist that calls itself .mp4 must not make us wait for a server
        options = {"protocol_whitelist": "file", "max_pixels": str(max_pixels)}
        try:
            # absolute, because FFmpeg takes "a:b.mp4" for a protocol
            name = str(path.absolute())
            # replace: titles are often not UTF-8
            self._container: InputContainer = av.open(name, "r", options=options, metadata_errors="replace")
        except av.FFmpegError as error:
            raise unreadable(path, f"is not a video file, or is damaged: {error.strerror}") from error
        try:
            if PLAYLISTS & set(self._container.format.name.split(",")):
                raise unreadable(path, f"is a playlist ({self._container.format.name}) and holds no video itself")
            self.stream = _video_stream(path, self._container)
            context = self.stream.codec_context
            check_size(path, context.width, context.height, max_pixels)
        except BaseException:
            self._container.close()
            raise
        # explode: a packet that is partly broken is an error, not a frame patched up from its neighbours
        context.options = {"err_detect": "explode", "max_pixels": str(max_pixels)}
        context.thread_count = threads
        context.thread_type = "AUTO" if threads > 1 else "SLICE"
        self.damage: str | None = None
        self.cut = False

    def packets(self) -> Iterator[VideoPacket]:
        """The packets of the stream, undecoded; where reading fails, they end and `damage` is set."""
        demuxed = cast("Generator[VideoPacket, None, None]", self._container.demux(self.stream))
        with closing(demuxed) as packets:  # PyAV 18.1 keeps the memory of one that is left half-way and not closed
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    return
                except av.FFmpegError as error:
                    self.damage = error.strerror or str(error)
                    return
                except IndexError:  # so PyAV 18.1 stumbles over streams that a damaged file announces half-way
                    self.damage = "a stream appears half-way"
                    return
                if packet.size:
                    yield packet

    def frames(self, sound_from: float) -> Iterator[VideoFrame]:
        """Decoded frames, until the end or until one cannot be decoded, which sets `damage`.

        `sound_from` is the timestamp from which on every packet must decode. What cannot be decoded before it
        is passed over: that is how a stream cut out of a longer one begins.
        """
        packets = self.packets()
        for packet in packets:
            try:
                frames = self.stream.codec_context.decode(packet)
            except av.FFmpegError as error:
                time = packet.dts if packet.pts is None else packet.pts
                if (-inf if time is None else time) < sound_from:
                    continue
                yield from self._rest()  # what came before the damage is still good
                self.damage = error.strerror or str(error)
                self.cut = next(packets, None) is None
                return
            yield from frames
        yield from self._rest()

    def seek(self, timestamp: int) -> None:
        """Go to the last key frame at or before `timestamp`; raises av.FFmpegError if the format cannot."""
        self.damage, self.cut = None, False
        self._container.seek(timestamp, stream=self.stream)

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def _rest(self) -> Iterator[VideoFrame]:
        try:
            yield from self.stream.codec_context.decode(None)
        except av.FFmpegError as error:
            self.damage, self.cut = error.strerror or str(error), True


def _video_stream(path: Path, container: InputContainer) -> VideoStream:
    streams = container.streams.video
    # cover art of a sound file is a "video" of one picture
    films = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    if not films:
        there = "sound with a cover picture" if streams else " and ".join(sorted({s.type for s in container.streams}))
        raise unreadable(path, f"has no video stream, only {there or 'nothing'}")
    if films[0].codec_context is None:
        raise unreadable(path, "uses a video codec that this build of PyAV cannot decode")
    return films[0]
