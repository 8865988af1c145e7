"""A hub of our own in place of the real one."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rewardkit.weights import fetching
from tests.weights.fake_hub import FakeHub, Start, serving


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
def start(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Makes a hub the one that is asked, with little patience on our side."""
    from huggingface_hub import constants

    def ask(hub: FakeHub) -> FakeHub:
        running.enter_context(serving(hub))
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        return hub

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)  # only whole pieces of so many bytes are resumed after
    monkeypatch.setattr(fetching, "FIRST_WAIT", 0.01)
    with ExitStack() as running:
        yield ask
