"""A hub that fails in all the ways it can: real sockets, real huggingface_hub, a real cache."""

import re
from pathlib import Path

import pytest

from rewardkit.errors import MissingWeightsError, UsageError
from tests.weights.fake_hub import CONTENT, FILE, FakeHub, Fault, Start, failure, kept, warnings_of

HALF = f"bytes={len(CONTENT) // 2}-"


def test_a_hub_that_works_is_asked_once(start: Start, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    hub = start(FakeHub())
    path = FILE.locate("plain")
    assert path.read_bytes() == CONTENT
    assert FILE.locate("plain") == path
    assert hub.asked == [("HEAD", None), ("GET", None)]
    assert kept(cache) == [CONTENT]
    assert warnings_of(caplog) == []


@pytest.mark.parametrize(
    ("gets", "ranges"),
    [
        (["500"], [None, None]),
        (["500", "503"], [None, None, None]),
        (["reset"], [None, None]),
        (["reset", "500"], [None, None, None]),
        (["short"], [None, None]),
    ],
    ids=str,
)
def test_a_download_that_fails_is_begun_anew(
    gets: list[Fault], ranges: list[None], start: Start, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = start(FakeHub(gets=list(gets)))
    assert FILE.locate("plain").read_bytes() == CONTENT
    assert hub.ranges() == ranges
    assert kept(cache) == [CONTENT]
    said = warnings_of(caplog)
    assert len(said) == len(gets)
    reason = {"500": "the hub answered 500", "reset": "ReadError: .*", "short": "OSError: Consistency check failed: .*"}
    begins = rf"plain: model\.pt of someone/model@0123456789ab did not come \({reason[gets[0]]}\)"
    assert re.fullmatch(rf"{begins}; try 2 of 3 is in 0\.01 seconds", said[0])
    assert len(said) == 1 or said[1].endswith("try 3 of 3 is in 0.02 seconds"), "each wait is twice as long"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("500", "the hub answered 500"),
        ("reset", "ReadError: "),
        ("short", f"Consistency check failed: file should be of size {len(CONTENT)} but has size {len(CONTENT) // 2}"),
    ],
)
def test_a_download_that_always_fails_is_one_sentence_and_leaves_nothing(
    fault: Fault, why: str, start: Start, cache: Path
) -> None:
    hub = start(FakeHub(always=fault))
    said = failure(MissingWeightsError)
    assert why in said
    assert ", 3 times): run `rewardkit download plain` later or where there is a network" in said
    assert hub.count("GET") == 3
    assert kept(cache) == []
    assert FILE.cached() is None


@pytest.mark.slow  # huggingface_hub waits a second before it resumes
@pytest.mark.parametrize("fault", ["half", "stall"])
def test_a_download_that_stops_is_resumed(
    fault: Fault, start: Start, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = start(FakeHub(gets=[fault]))
    assert FILE.locate("plain").read_bytes() == CONTENT
    assert hub.ranges() == [None, HALF if fault == "half" else None]
    assert kept(cache) == [CONTENT]
    assert warnings_of(caplog) == [], "huggingface_hub does it"


@pytest.mark.slow  # six times a second of silence and one of waiting
def test_a_hub_that_always_stalls_is_given_up(start: Start, cache: Path) -> None:
    hub = start(FakeHub(always="stall"))
    assert "cannot be fetched now (ReadTimeout: timed out): run" in failure(MissingWeightsError)
    assert hub.count("GET") == 6
    assert kept(cache) == []


@pytest.mark.slow  # huggingface_hub waits a second
def test_a_hub_that_does_not_say_what_the_file_is_is_asked_again(start: Start, cache: Path) -> None:
    hub = start(FakeHub(heads=["500", "500"]))
    assert FILE.locate("plain").read_bytes() == CONTENT
    assert (hub.count("HEAD"), hub.count("GET")) == (3, 1)


def test_a_hub_that_hangs_up_without_a_word_is_asked_again(
    start: Start, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = start(FakeHub(heads=["cut"]))
    assert FILE.locate("plain").read_bytes() == CONTENT
    assert (hub.count("HEAD"), hub.count("GET")) == (2, 1)
    (said,) = warnings_of(caplog)
    assert "(RemoteProtocolError: Server disconnected without sending a response.)" in said


@pytest.mark.slow  # huggingface_hub waits for 23 seconds, between seven tries
def test_a_hub_that_never_says_what_the_file_is_is_given_up(start: Start, cache: Path) -> None:
    hub = start(FakeHub(heads=["500"] * 100))
    assert "cannot be fetched now (the hub answered 500): run `rewardkit download plain`" in failure(
        MissingWeightsError
    )
    assert (hub.count("HEAD"), hub.count("GET")) == (7, 0)
    assert kept(cache) == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("404", "EntryNotFound"),
        ("404", "RevisionNotFound"),
        ("401", "RepoNotFound"),
        ("404", None),
        ("401", "GatedRepo"),
        ("403", "GatedRepo"),
        ("403", None),
        ("410", None),
    ],
)
def test_a_refusal_is_not_asked_again(
    status: str, code: str | None, start: Start, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = start(FakeHub(heads=[status] * 100, error_code=code))
    said = failure(UsageError)
    assert said.startswith("plain: the hub does not give model.pt of someone/model@0123456789ab: ")
    assert status in said
    assert hub.asked == [("HEAD", None)]
    assert kept(cache) == []
    assert warnings_of(caplog) == []


@pytest.mark.parametrize("status", ["403", "404"])
def test_a_refusal_of_the_download_itself_is_not_asked_again(status: Fault, start: Start, cache: Path) -> None:
    hub = start(FakeHub(always=status))
    assert status in failure(UsageError)
    assert hub.count("GET") == 1


def test_what_the_hubs_other_store_says_is_one_sentence(start: Start, cache: Path) -> None:
    """Files in Xet storage come through hf_xet, which raises RuntimeError for whatever goes wrong."""
    pytest.importorskip("hf_xet")
    link = '<{url}/api/models/someone/model/xet-read-token/x>; rel="xet-auth"'
    hub = start(FakeHub(extra={"X-Xet-Hash": "ab" * 32, "Link": link}))
    assert re.search(r"cannot be fetched now \(RuntimeError: .*404 Not Found.*\): run", failure(MissingWeightsError))
    assert (hub.count("HEAD"), hub.count("GET")) == (1, 0)
    assert kept(cache) == []
