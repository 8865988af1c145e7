"""Which frames a file shows, and from which of them decoding may start."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from math import inf
from pathlib import Path
from typing import NamedTuple

from rewardkit.video.file import check_length, unreadable
from rewardkit.video.stream import Decoder, VideoPacket

# For others (VP8 hides frames, MPEG-2 codes fields apart, ...) only decoding tells how many frames there are.
ONE_FRAME_A_PACKET = frozenset({"h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg", "gif", "png", "prores", "ffv1"})

EMPTY_MPEG4_BYTES = 8
"""An MPEG-4 packet this small says "nothing coded here" and shows no frame."""


@dataclass(frozen=True)
class Timeline:
    """The frames that decoding from the start shows, in order.

    Attributes:
        pts: presentation timestamp of each frame, in the stream's time base.
        sound_from: timestamp from which on every packet must decode. Minus infinity, except for a stream that
            begins inside a group of pictures: there the decoder complains, with reason, until its second key frame.
        keys: numbers of the key frames to which one may seek, ascending; empty if one must decode from the start.
        key_times: where to seek for each of them.
        exact: whether `pts` comes from decoding; then frames are known by their place, because timestamps may be
            missing or doubled.
    """

    pts: tuple[int | None, ...]
    sound_from: float = -inf
    keys: tuple[int, ...] = ()
    key_times: tuple[int, ...] = ()
    exact: bool = False

    def start_for(self, number: int) -> int:
        """The nearest frame at or before `number` where decoding may start; 0 is the start of the file."""
        place = bisect_right(self.keys, number) - 1
        return self.keys[place] if place >= 0 else 0

    def seek_time(self, start: int) -> int:
        """The timestamp that a seek to key frame `start` takes."""
        return self.key_times[self.keys.index(start)]


class Stamp(NamedTuple):
    """What a packet says of itself. `shown` is False where an edit list cuts its frame away."""

    pts: int | None
    dts: int | None
    key: bool
    shown: bool
    doubtful: bool


def survey(path: Path, reopen: Callable[[], Decoder], max_frames: int | None) -> Timeline:
    """Finds the timeline of a file: from its packets where they can be believed, else by decoding it once.

    No more packets or frames are looked at than the limit allows.
    """
    with closing(reopen()) as decoder:
        stream = decoder.stream
        codec, container = stream.codec_context.name, stream.container.format.name
        stamps = [_stamp(packet, codec) for packet in islice(decoder.packets(), _enough(max_frames))]
        damage = decoder.damage
    if damage is not None:
        raise unreadable(path, f"is damaged, reading stops after {len(stamps)} packets: {damage}")
    if not stamps:
        raise unreadable(path, "has a video stream without any frames")
    check_length(path, len(stamps), max_frames)
    sound_from = _sound_from(stamps)
    if codec not in ONE_FRAME_A_PACKET or sound_from > -inf or not _believable(stamps):
        return survey_by_decoding(path, reopen, sound_from, max_frames)
    pts = sorted(stamp.pts for stamp in stamps if stamp.shown and stamp.pts is not None)
    number = {time: place for place, time in enumerate(pts)}
    # these two look a time up among presentation times, all others among decoding times
    by_pts = container.startswith(("mov", "matroska"))
    keys = {
        number[stamp.pts]: stamp.pts if by_pts or stamp.dts is None else stamp.dts
        for stamp in stamps
        if stamp.key and stamp.shown and stamp.pts is not None
    }
    return Timeline(tuple(pts), sound_from, tuple(sorted(keys)), tuple(keys[key] for key in sorted(keys)))


def survey_by_decoding(
    path: Path, reopen: Callable[[], Decoder], sound_from: float, max_frames: int | None
) -> Timeline:
    """Finds the timeline by decoding the whole file; `sound_from` as in Timeline.

    A last packet that cannot be decoded is where the recording was cut off; any earlier one is damage.
    """
    with closing(reopen()) as decoder:
        pts = tuple(frame.pts for frame in islice(decoder.frames(sound_from), _enough(max_frames)))
        check_length(path, len(pts), max_frames)
        if decoder.damage is not None and not decoder.cut:
            raise unreadable(path, f"is damaged after frame {len(pts)}: {decoder.damage}")
    if not pts:
        raise unreadable(path, "has no frame that can be decoded")
    return Timeline(pts, sound_from, exact=True)


def _enough(max_frames: int | None) -> int | None:
    """How many to look at to know whether there are too many."""
    return None if max_frames is None else max_frames + 1


def _stamp(packet: VideoPacket, codec: str) -> Stamp:
    empty = codec == "mpeg4" and packet.size < EMPTY_MPEG4_BYTES
    doubtful = packet.is_corrupt or empty
    return Stamp(packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard, doubtful)


def _sound_from(stamps: list[Stamp]) -> float:
    """As in Timeline."""
    keys = [stamp.pts for stamp in stamps if stamp.key and stamp.pts is not None]
    shown = [stamp.pts for stamp in stamps if stamp.shown and stamp.pts is not None]
    # pictures that lead the first key frame lean on frames that are not there
    if stamps[0].key and (not keys or not shown or min(shown) >= keys[0]):
        return -inf
    return keys[1] if len(keys) > 1 else inf


def _believable(stamps: list[Stamp]) -> bool:
    """Whether sorting the shown packets by timestamp must give the frames that decoding shows."""
    times = [stamp.pts for stamp in stamps if stamp.shown]
    doubtful = any(stamp.doubtful for stamp in stamps)
    return bool(times) and None not in times and len(set(times)) == len(times) and not doubtful
