import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rewardkit import write_video

CHILD = """
import sys
from pathlib import Path
from rewardkit import score_folder
table = score_folder(sys.argv[1], "technical", limit=int(sys.argv[2]), out=sys.argv[3], num_workers=2, device="cpu")
assert len(table) == int(sys.argv[2]) and not table.failed()
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def peak(folder: Path, count: int, out: Path) -> int:
    """Peak kilobytes of a fresh process; not getrusage, whose peak begins with the memory of the parent."""
    words = [sys.executable, "-c", CHILD, str(folder), str(count), str(out)]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_videos(tmp_path: Path) -> None:
    films = tmp_path / "films"
    for number in range(1000):
        if number < 8:
            film = torch.rand(16, 3, 96, 128, generator=torch.Generator().manual_seed(number))
            write_video(films / f"{number}.mp4", film, 8)
        else:
            os.link(films / f"{number % 8}.mp4", films / f"{number}.mp4")
    few, many = (peak(films, count, tmp_path / f"{count}.jsonl") for count in (100, 1000))
    assert many <= 1.1 * few
