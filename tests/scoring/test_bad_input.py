"""A folder of everything that can be wrong with a video: each gets one clear sentence, and the rest is scored."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from rewardkit import UsageError, write_video
from rewardkit.config import load_config
from rewardkit.scoring.config import ScoreConfig
from rewardkit.scoring.folder import score_folder
from rewardkit.scoring.rows import ScoreRow
from rewardkit.scoring.table import ScoreTable
from tests.scoring.films import save_film

BRIGHT = "tests.judges:Brightness"


def film(frames: int = 12) -> torch.Tensor:
    return torch.rand(frames, 3, 48, 64, generator=torch.Generator().manual_seed(0))


def audio_only(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ScoreRow]:
    """The rows of a folder with three good films and every kind of bad one."""
    folder = tmp_path_factory.mktemp("bad")
    write_video(folder / "good.mp4", film(), 12)
    whole = (folder / "good.mp4").read_bytes()
    save_film(folder / "good 日本\nü.npy", 0.2)
    save_film(folder / "one-frame.npy", 0.2, frames=1)
    (folder / "empty.mp4").touch()
    (folder / "cut-in-half.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "cut-header.mp4").write_bytes(whole[:40])
    (folder / "text.mp4").write_text("this is not a video\n" * 100)
    audio_only(folder / "audio.mp4")
    np.save(folder / "no-frames.npy", np.zeros((0, 3, 4, 6), np.uint8))
    np.save(folder / "no-pixels.npy", np.zeros((5, 3, 0, 0), np.uint8))
    np.save(folder / "out-of-range.npy", np.full((5, 3, 4, 6), 7.0, np.float32))
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1, np.uint8))
    header["shape"] = (2, 3, 60000, 60000)  # 21 GB announced, nothing there
    with (folder / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    (folder / "dangling.mp4").symlink_to(folder / "nowhere.mp4")
    os.mkfifo(folder / "pipe.mp4")
    chunk = b"IHDR" + struct.pack(">II", 100_000, 100_000) + b"\x08\x02\0\0\0"
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (folder / "bomb").mkdir()
    (folder / "bomb" / "1.png").write_bytes(png + struct.pack(">I", 64) + b"IDAT" + b"\0" * 64)
    table = score_folder(folder, BRIGHT, out=folder / "rows.jsonl")
    assert list(ScoreTable.read(folder / "rows.jsonl")) == list(table)
    return {Path(row.path).name: row for row in table}


@pytest.mark.parametrize("name", ["good.mp4", "good 日本\nü.npy", "one-frame.npy"])
def test_good_files_are_scored_beside_the_bad_ones(rows: dict[str, ScoreRow], name: str) -> None:
    assert rows[name].status == "ok", rows[name].error
    assert rows[name].score is not None


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("empty.mp4", "empty"),
        ("cut-in-half.mp4", "bytes"),
        ("cut-header.mp4", "not finished"),
        ("text.mp4", "not a video"),
        ("audio.mp4", "no video"),
        ("no-frames.npy", "no frames"),
        ("no-pixels.npy", "0x0"),
        ("out-of-range.npy", "0"),
        ("huge.npy", "greater than file size"),
        ("dangling.mp4", "link"),
        ("pipe.mp4", "a device, pipe or socket"),
        ("bomb", "100000"),
    ],
)
def test_bad_files_have_one_clear_sentence_and_no_number(rows: dict[str, ScoreRow], name: str, sentence: str) -> None:
    row = rows[name]
    assert row.status == "error"
    assert row.score is None
    assert row.per_frame is None
    assert row.error is not None
    assert sentence in row.error, row.error
    assert name in row.error, "the sentence names the file"
    assert "\n" not in row.error
    assert "Error:" not in row.error, "a sentence, not an exception's type"


@pytest.mark.parametrize("reward", ["flicker", "smoothness", "motion", f"{BRIGHT}[frames=segments:2]"])
def test_one_frame_is_too_few_for_what_needs_more(tmp_path: Path, reward: str) -> None:
    save_film(tmp_path / "one.npy", 0.2, frames=1, height=32, width=32)
    [row] = score_folder(tmp_path, reward)
    assert row.status == "error"
    assert row.error is not None
    assert "frames" in row.error
    assert "1" in row.error


def test_every_file_has_its_row(rows: dict[str, ScoreRow]) -> None:
    assert len(rows) == 15


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can give up its rights")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    save_film(tmp_path / "secret.npy", 0.2)
    save_film(tmp_path / "open.npy", 0.2)
    (tmp_path / "secret.npy").chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder.is_relative_to("/tmp/pytest-of-root"):
            folder.chmod(0o755)
    code = (
        "import torch\nfrom tests.judges import Brightness\nfrom rewardkit.scoring.folder import score_folder\n"
        "import rewardkit.reducers.create, sys, os\nos.setuid(65534)\n"
        f"for row in score_folder({str(tmp_path)!r}, Brightness()):\n    print(row.status, row.error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ok None" in done.stdout
    assert "secret.npy" in done.stdout
    assert "ermission" in done.stdout


@pytest.mark.parametrize(("setting", "value"), [("seed", 2**63), ("timeout", float("inf")), ("timeout", 0)])
def test_numbers_that_no_clock_or_generator_takes_are_refused(setting: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{setting}: Input should be"):
        load_config(ScoreConfig, None, {setting: value})
