"""What comes from a hub is what was published, or an error; and the cache keeps nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewardkit.errors import BadCheckpointError, OutputError
from rewardkit.weights.hub import HubFile
from tests.weights.fake_hub import (
    CONTENT,
    FILE,
    NAME,
    REPO,
    REVISION,
    SHA256,
    FakeHub,
    Start,
    failure,
    kept,
    serving,
    warnings_of,
)


def test_another_byte_is_noticed_and_the_file_fetched_anew(
    start: Start, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = start(FakeHub(gets=["flip"]))
    assert FILE.locate("plain").read_bytes() == CONTENT
    assert hub.count("GET") == 2
    assert kept(cache) == [CONTENT]
    (said,) = warnings_of(caplog)
    begins = "plain: model.pt of someone/model@0123456789ab is not what was published, its sha256 is "
    assert said.startswith(begins)
    assert said.endswith(f"..., expected {SHA256[:12]}...; deleted, and fetched anew")


def test_another_byte_twice_is_an_error_and_leaves_nothing(start: Start, cache: Path) -> None:
    hub = start(FakeHub(always="flip"))
    said = failure(BadCheckpointError)
    assert "plain needs model.pt" in said
    assert "and twice the hub gave something else: its sha256 is" in said
    assert hub.count("GET") == 2
    assert kept(cache) == []
    assert FILE.cached() is None


def test_without_a_known_sha256_another_byte_is_not_noticed(start: Start, cache: Path) -> None:
    """So that it is the sha256 which the tests above test."""
    start(FakeHub(gets=["flip"]))
    assert HubFile(REPO, NAME, REVISION).locate("plain").read_bytes() != CONTENT


def test_a_file_that_went_bad_in_the_cache_is_fetched_anew(start: Start, cache: Path) -> None:
    hub = start(FakeHub())
    path = FILE.locate("plain")
    path.resolve().write_bytes(CONTENT[:-1])
    assert FILE.locate("plain").read_bytes() == CONTENT
    assert hub.count("GET") == 2
    assert kept(cache) == [CONTENT]


def test_without_a_network_a_bad_file_is_left_to_its_owner(
    start: Start, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(FakeHub())
    path = FILE.locate("plain")
    path.resolve().write_bytes(b"bad")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "delete it and download it again" in failure(BadCheckpointError)
    assert path.read_bytes() == b"bad"


def test_a_link_to_a_file_outside_the_cache_is_deleted_but_not_the_file(
    start: Start, cache: Path, tmp_path: Path
) -> None:
    start(FakeHub())
    mine = tmp_path / "mine.pt"
    mine.write_bytes(b"another model")
    path = FILE.locate("plain")
    path.unlink()
    path.symlink_to(mine)
    assert FILE.locate("plain").read_bytes() == CONTENT
    assert mine.read_bytes() == b"another model"


def test_a_disk_that_takes_no_more_is_not_the_hubs_fault(start: Start, cache: Path) -> None:
    resource = pytest.importorskip("resource")
    hub = start(FakeHub())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(CONTENT) // 2, before[1]))
    try:
        said = failure(OutputError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"cannot keep model.pt of someone/model@0123456789ab in {cache}: [Errno 27] File too large" in said
    assert hub.count("GET") == 1
    assert kept(cache) == []


def test_a_cache_that_is_a_file_is_not_the_hubs_fault(start: Start, cache: Path) -> None:
    hub = start(FakeHub())
    cache.write_text("")
    assert f"cannot keep model.pt of someone/model@0123456789ab in {cache}: " in failure(OutputError)
    assert hub.count("GET") == 0


@pytest.mark.slow  # starts the command line
def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    """With the environment that users set, and nothing of huggingface_hub changed."""
    with serving(FakeHub()) as hub:
        environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-m", "rewardkit", "download", "hpsv2.1"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == BadCheckpointError.exit_code
    assert hub.count("GET") == 2
    assert "error: hpsv2.1 needs HPS_v2.1_compressed.pt (1.97 GB) of xswu/HPSv2@" in done.stderr
    assert "fetched anew" in done.stderr
    assert "Traceback" not in done.stderr
    assert kept(tmp_path / "hub") == []
