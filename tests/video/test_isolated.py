"""Videos that are read in other processes, which crash, hang and run out of memory."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rewardkit.errors import DecoderDiedError, OverLimitError, UnreadableVideoError
from rewardkit.limits import Limits
from rewardkit.video import Decoders, open_video
from rewardkit.video.isolated import DecoderProcess


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    with Decoders(Limits(isolate=True)) as found:
        yield found


def child_of(decoders: Decoders) -> int:
    (process,) = decoders._idle
    return process._child.pid


def test_another_process_reads_the_same_frames(decoders: Decoders, h264_clip: Path) -> None:
    with open_video(h264_clip) as here, decoders.open(h264_clip) as there:
        assert there.info == here.info
        index = [7, 0, 7, here.info.num_frames - 1]
        assert torch.equal(there.read(index), here.read(index))


def test_what_is_wrong_with_a_video_is_said_as_here(decoders: Decoders, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no film at all")
    with pytest.raises(UnreadableVideoError) as here:
        open_video(tmp_path / "a.mp4")
    with pytest.raises(UnreadableVideoError) as there, decoders.open(tmp_path / "a.mp4"):
        pass
    assert str(there.value) == str(here.value)


def test_a_crash_is_an_error_of_its_video_and_the_next_is_read(decoders: Decoders, h264_clip: Path) -> None:
    with decoders.open(h264_clip):
        pass
    os.kill(child_of(decoders), signal.SIGSEGV)
    said = r"ends the process that reads it \(signal SIGSEGV\)"
    with pytest.raises(DecoderDiedError, match=said), decoders.open(h264_clip) as video:
        video.read([0])
    with decoders.open(h264_clip) as video:
        assert video.read([0]).shape[0] == 1


def test_a_video_that_takes_too_long_is_given_up(tmp_path: Path, h264_clip: Path) -> None:
    limits = Limits(timeout=1.0)
    with Decoders(limits) as decoders:
        with decoders.open(h264_clip):
            pass
        os.kill(child_of(decoders), signal.SIGSTOP)  # so hangs a decoder in an endless loop
        start = time.perf_counter()
        said = "takes longer to read than the limit of 1 seconds"
        with pytest.raises(OverLimitError, match=said), decoders.open(h264_clip) as video:
            video.read([0])
        assert 0.9 < time.perf_counter() - start < 5
        with decoders.open(h264_clip) as video:
            assert video.read([0]).shape[0] == 1


def test_frames_beyond_the_limit_are_refused_here_and_there(h264_clip: Path) -> None:
    count = open_video(h264_clip).info.num_frames
    open_video(h264_clip, max_frames=count).close()
    with pytest.raises(OverLimitError, match=f"has more than {count - 1} frames, which is the limit"):
        open_video(h264_clip, max_frames=count - 1)
    with Decoders(Limits(isolate=True, max_pixels=10)) as decoders:  # noqa: SIM117
        with pytest.raises(OverLimitError, match="limit of 10"), decoders.open(h264_clip):
            pass


def test_processes_end_with_the_run_and_with_the_process_that_started_them(h264_clip: Path) -> None:
    with Decoders(Limits(isolate=True)) as decoders:
        with decoders.open(h264_clip):
            pass
        pid = child_of(decoders)
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    left = DecoderProcess(Limits())
    left._requests.close()  # as the system does for a parent that was killed
    assert left._child.wait(timeout=10) == 0
    left.stop()


def test_threads_share_processes_and_get_their_own_frames(decoders: Decoders, h264_clip: Path) -> None:
    with open_video(h264_clip) as here:
        expected = here.read(range(8))
    wrong: list[int] = []

    def read(number: int) -> None:
        with decoders.open(h264_clip) as video:
            if not torch.equal(video.read([number])[0], expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert 1 <= len(decoders._idle) <= 8


def test_a_film_over_which_libav_itself_aborts_harms_nobody(decoders: Decoders, h264_clip: Path) -> None:
    """Found by `benchmarks/fuzz.py`: opened in this process, PyAV 18.1 (FFmpeg 8.1) would end it."""
    film = Path(__file__).parent.parent / "fuzz" / "crashes" / "stream.ts"
    with pytest.raises(UnreadableVideoError) as said, decoders.open(film):  # a later FFmpeg may find a sentence for it
        pass
    assert str(film) in str(said.value)
    with decoders.open(h264_clip) as video:
        assert video.read([0]).shape[0] == 1
