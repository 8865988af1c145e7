"""Small files that stand for a lot: refused before it is there. Those of a few bytes are among the seeds."""

import time
import zipfile
from pathlib import Path

import pytest

from rewardkit.config import MOST_BYTES, load_config
from rewardkit.errors import BadCheckpointError, UsageError
from rewardkit.scoring.config import ScoreConfig
from rewardkit.scoring.manifest import read_manifest
from rewardkit.weights.reading import read_tensors
from tests.fuzz.targets import run


def test_settings_are_read_up_to_a_length(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f"seed = 3 # {'x' * (MOST_BYTES - 11)}")
    assert load_config(ScoreConfig, path, {}).seed == 3
    path.write_text(f"seed = 3 # {'x' * (MOST_BYTES - 10)}")
    with pytest.raises(UsageError, match="it has more than 65536 bytes, as no configuration has"):
        load_config(ScoreConfig, path, {})


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs a file without an end")
def test_settings_without_an_end_are_refused(tmp_path: Path) -> None:
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="more than 65536 bytes"):
        load_config(ScoreConfig, tmp_path / "endless.yaml", {})


def test_a_key_of_parts_takes_no_time(tmp_path: Path) -> None:
    """tomllib alone took 27 seconds for this one, and 20 GB of memory for one four times as long."""
    begun = time.process_time()
    assert run("config", tmp_path, "score.toml", b"a." * 32000 + b"a = 1") == "UsageError"
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("line", ['a = "x.y.z"', "a.b.c = 1", "[a.b]\nc = 1", 'a = "' + "one two. " * 40 + '"'])
def test_dots_are_no_matter_where_they_are_few_or_in_a_sentence(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.toml").write_text(line)
    with pytest.raises(UsageError, match="no setting is called 'a'"):
        load_config(ScoreConfig, tmp_path / "a.toml", {})


def test_aliases_that_help_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("source: &videos [a, b]\nprompts: auto\n")
    assert load_config(ScoreConfig, tmp_path / "a.yaml", {}).source == ["a", "b"]


def test_an_archive_of_zeros_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\x80\x02}.")
        with archive.open("x/data/0", "w") as zeros:
            for _ in range(100):
                zeros.write(bytes(1 << 20))
    with pytest.raises(BadCheckpointError, match="it unpacks to 105 MB, more than 100 times its size"):
        read_tensors("x", path)


def test_a_manifest_may_be_long(tmp_path: Path) -> None:
    lines = (f'{{"path": "{number}.mp4", "prompt": "a red circle"}}\n' for number in range(20_000))
    (tmp_path / "a.jsonl").write_text("".join(lines))
    assert len(read_manifest(tmp_path / "a.jsonl")) == 20_000
