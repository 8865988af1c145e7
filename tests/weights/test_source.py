"""Where files come from: the hub's cache, without a network, and what is said when they are not there."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewardkit.errors import BadCheckpointError, MissingWeightsError, OutputError
from rewardkit.registry import REWARDS
from rewardkit.rewards.catalog import list_rewards, reward_files
from rewardkit.weights.content import in_words, sha256_of
from rewardkit.weights.hub import HubFile
from rewardkit.weights.source import ElsewhereFile, PackageFile

REVISION = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache on a machine without a network."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def put(hub: Path, content: bytes = CONTENT) -> Path:
    """A file in the cache, as the hub's library lays it out."""
    path = hub / "models--someone--model" / "snapshots" / REVISION / "model.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_a_file_in_the_cache_is_found_without_a_network(hub: Path) -> None:
    file = HubFile("someone/model", "model.pt", REVISION, sha256=SHA256)
    path = put(hub)
    assert file.locate("x") == path
    assert file.cached() == path


def test_another_revision_does_not_do(hub: Path) -> None:
    put(hub)
    other = HubFile("someone/model", "model.pt", "f" * 40)
    assert other.cached() is None
    with pytest.raises(MissingWeightsError):
        other.locate("x")


def test_a_missing_file_is_named_with_size_place_and_command(hub: Path) -> None:
    file = HubFile("xswu/HPSv2", "HPS_v2.1_compressed.pt", REVISION, 1_972_490_005)
    with pytest.raises(MissingWeightsError) as caught:
        file.locate("hpsv2.1")
    said = str(caught.value)
    assert "hpsv2.1 needs HPS_v2.1_compressed.pt (1.97 GB) of xswu/HPSv2@0123456789ab" in said
    assert str(hub) in said
    assert "`rewardkit download hpsv2.1`" in said
    assert "\n" not in said
    assert caught.value.exit_code == 4


def test_a_file_with_another_content_is_refused(hub: Path) -> None:
    put(hub, b"something else")
    with pytest.raises(BadCheckpointError, match=r"is not the file that was published as model\.pt"):
        HubFile("someone/model", "model.pt", REVISION, sha256=SHA256).locate("x")


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (
            OSError(28, "No space left on device"),
            OutputError,
            r"x: cannot keep model.pt of someone/model@.*No space left",
        ),
        (PermissionError(13, "Permission denied"), OutputError, "Permission denied"),
        (ConnectionError("cut off"), MissingWeightsError, "cannot be fetched now"),
    ],
)
def test_what_goes_wrong_while_fetching_is_told_apart(
    hub: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, kind: type[Exception], sentence: str
) -> None:
    def fetch(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    monkeypatch.setattr("rewardkit.weights.hub.FIRST_WAIT", 0)
    with pytest.raises(kind, match=sentence):
        HubFile("someone/model", "model.pt", REVISION).locate("x")


def test_a_file_from_elsewhere_says_where() -> None:
    file = ElsewhereFile("MPS_overall.pth", "https://example.org/MPS_overall.pth", 4_000_000)
    with pytest.raises(MissingWeightsError, match=r"mps needs MPS_overall.pth \(4 MB\) from https://example.org"):
        file.locate("mps")


def test_a_file_of_a_package_is_where_the_package_is() -> None:
    file = PackageFile("rewardkit.rewards", "measured.json")
    assert file.locate("x") == file.cached()
    assert "hpsv2.1" in file.locate("x").read_text()


def test_a_file_that_a_package_lacks_is_named() -> None:
    file = PackageFile("rewardkit.rewards", "no.json")
    assert file.cached() is None
    with pytest.raises(
        MissingWeightsError, match=r"x needs no.json of rewardkit.rewards, which this installation lacks"
    ):
        file.locate("x")


def test_sha256_is_of_the_content_now(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(CONTENT)
    assert sha256_of(path) == SHA256
    path.write_bytes(CONTENT * 2)
    assert sha256_of(path) == hashlib.sha256(CONTENT * 2).hexdigest()


@pytest.mark.parametrize(
    ("size", "words"), [(34, "34 bytes"), (4071, "4.07 kB"), (3.7e6, "3.7 MB"), (1.97e9, "1.97 GB")]
)
def test_sizes_in_words(size: float, words: str) -> None:
    assert in_words(int(size)) == words


@pytest.mark.parametrize("name", [name for name in list_rewards() if reward_files(name)])
def test_every_hub_file_is_pinned_to_a_commit(name: str) -> None:
    for source in reward_files(name).values():
        if isinstance(source, HubFile):
            assert len(source.revision) == 40
            assert set(source.revision) <= set("0123456789abcdef")
        if isinstance(source, HubFile | ElsewhereFile):
            assert source.sha256 is None or len(source.sha256) == 64
    assert REWARDS.load(name)


def rewardkit(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    command = [sys.executable, "-m", "rewardkit", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_environment_decides_where_the_cache_is(tmp_path: Path) -> None:
    missing = rewardkit(tmp_path, "download", "hpsv2.1", "technical", "miniworld")
    assert missing.returncode == 4
    assert "error: hpsv2.1 needs HPS_v2.1_compressed.pt (1.97 GB)" in missing.stderr
    assert str(tmp_path / "hub") in missing.stderr
    assert "technical has no weights to fetch" in missing.stderr
    assert "miniworld comes with its weights: there is nothing to fetch" in missing.stderr
    assert "Traceback" not in missing.stderr
