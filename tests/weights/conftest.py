"""A hub of our own in place of the real one."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults import Record, note
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
    monkeypatch.setattr("rewardkit.weights.hub.FIRST_WAIT", 0.01)
    with ExitStack() as running:
        yield ask


FAULTS = {
    "test_a_download_that_fails_is_begun_anew": "hub that answers 500, resets or sends a shorter file, then the file",
    "test_a_download_that_always_fails_is_one_sentence_and_leaves_nothing": "hub that always does: an error, no file",
    "test_a_download_that_stops_is_resumed": "hub that sends half, or stalls, then the file",
    "test_a_hub_that_always_stalls_is_given_up": "hub that always stalls: an error, no file",
    "test_another_byte_is_noticed_and_the_file_fetched_anew": "hub that sends another byte once",
    "test_another_byte_twice_is_an_error_and_leaves_nothing": "hub that always sends another byte: an error, no file",
}


@pytest.fixture(autouse=True)
def noted(request: pytest.FixtureRequest, record_property: Record) -> None:
    fault = FAULTS.get(getattr(request.node, "originalname", ""))
    if fault:
        note(record_property, fault)
