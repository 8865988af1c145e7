"""A closed video leaves nothing behind: scoring a million takes no more memory than scoring one."""

from __future__ import annotations

import ctypes
import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clips import h264

from rewardkit.video import open_video


class MallocState(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "top",
        )
    ]


C = ctypes.CDLL(None)


def bytes_in_use() -> int:
    """What C code has allocated and not freed."""
    C.mallinfo2.restype = MallocState
    state = C.mallinfo2()
    return int(state.uordblks + state.hblkhd)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The garbage collector comes rarely; until then a thousand decoders may wait for it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return h264(tmp_path_factory.mktemp("clip") / "clip.mp4", num_frames=8)


@pytest.mark.parametrize("index", [[], [0], [0, 7], [7, 0]])
@pytest.mark.usefixtures("no_collector")
def test_a_closed_video_is_gone_without_the_collector(clip: Path, index: list[int]) -> None:
    with open_video(clip) as video:
        video.read(index)
        gone = weakref.ref(video)
    del video
    assert gone() is None


@pytest.mark.usefixtures("no_collector")
def test_a_video_that_is_not_closed_waits_for_the_collector(clip: Path) -> None:
    """So that the test above can fail: a video and the generator of its frames hold each other."""
    video = open_video(clip)
    gone = weakref.ref(video)
    del video
    assert gone() is not None
    gc.collect()
    assert gone() is None


def left(read: Callable[[], object], count: int = 200) -> float:
    """Bytes that are still in use after a call."""
    for _ in range(50):
        read()
    before = bytes_in_use()
    for _ in range(count):
        read()
    return (bytes_in_use() - before) / count


@pytest.mark.skipif(not hasattr(C, "mallinfo2"), reason="needs glibc 2.33")
def test_nothing_is_left_of_frames_that_nobody_asked_for(clip: Path) -> None:
    def read() -> None:
        with open_video(clip) as video:
            video.read([0])  # seven are left undecoded, in a generator of which PyAV 18.1 would keep 145 bytes

    def read_and_leak() -> None:
        read()
        C.malloc(145)

    assert left(read) < 100
    assert left(read_and_leak) > 100, "a leak of that size is seen"
