"""Two transport streams in a row: one video, two, or none."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
from clips import encode, h264

from rewardkit.errors import UnreadableVideoError
from rewardkit.video import open_video
from rewardkit.video.transport import check_codecs


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A video in H.264 and one in MPEG-2, each with its stream under the same number."""
    folder = tmp_path_factory.mktemp("streams")
    one, other = h264(folder / "a.ts", num_frames=8), encode(folder / "b.ts", "mpeg2video", 8)
    return one.read_bytes(), other.read_bytes()


def test_one_is_read(tmp_path: Path, streams: tuple[bytes, bytes]) -> None:
    for number, content in enumerate(streams):
        (tmp_path / f"{number}.ts").write_bytes(content)
        with open_video(tmp_path / f"{number}.ts") as video:
            assert video.info.num_frames == 8


@pytest.mark.parametrize("junk", [b"", b"\0" * 100, b"\x02\xb0" * 50])
@pytest.mark.parametrize("turned", [False, True])
def test_two_codecs_are_refused_wherever_their_packets_begin(
    tmp_path: Path, streams: tuple[bytes, bytes], turned: bool, junk: bytes
) -> None:
    first, second = streams[::-1] if turned else streams
    (tmp_path / "two.ts").write_bytes(first + junk + second)
    with pytest.raises(UnreadableVideoError, match="changes the codec of its stream 256 half-way: it is two videos"):
        open_video(tmp_path / "two.ts")


def test_a_table_that_is_damaged_says_nothing(tmp_path: Path, streams: tuple[bytes, bytes]) -> None:
    """FFmpeg goes by its checksum, too; every table of the second is spoiled here."""
    first, second = streams
    (tmp_path / "two.ts").write_bytes(first + second.replace(b"\x02\xe1\x00\xf0\x00", b"\x03\xe1\x00\xf0\x00"))
    assert second.count(b"\x02\xe1\x00\xf0\x00") > 0
    with (tmp_path / "two.ts").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        check_codecs(tmp_path / "two.ts", data)


def test_the_same_codec_goes_on(tmp_path: Path, streams: tuple[bytes, bytes]) -> None:
    (tmp_path / "two.ts").write_bytes(streams[0] * 2)
    with open_video(tmp_path / "two.ts") as video:
        assert video.info.num_frames == 16
