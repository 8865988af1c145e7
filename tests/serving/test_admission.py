"""Who may ask a judge: everybody on this machine, or whoever has the token, and no page in a browser."""

import json
import socket
from pathlib import Path

import pytest

from rewardkit.serving import scorer_server
from rewardkit.serving.scorer_server import BadTokenError, is_loopback, read_token, token_for
from tests.serving.judging import BRIGHTNESS_AND_LETTERS, JSON, REQUEST, ask, judge_file, raw, serving

SECRET = "a-token-of-the-tests-8d1f0c"
BEARER = {"Authorization": f"Bearer {SECRET}"}
SCORES = {"protocol": 1, "scores": [3.2, 1.2]}


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    return judge_file(tmp_path, BRIGHTNESS_AND_LETTERS)


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("REWARDKIT_TOKEN", SECRET)
    return SECRET


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "::",
        "",
        "0",
        "192.0.2.1",
        "128.0.0.1",
        "2001:db8::1",
        "example.org",
        "127.0.0.1.example.org",
        "127.1",
    ],
)
def test_a_host_that_others_reach_is_refused_without_a_token_before_the_judge_is_loaded(
    host: str, judge: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    judge_file(tmp_path, "import pathlib\npathlib.Path(__file__).with_name('loaded').touch()")
    assert scorer_server.main([f"{judge}:score", "--host", host]) == 2
    said = capfd.readouterr().err
    assert said.startswith(
        f"error: {host or 'every address'} can be reached by others: set REWARDKIT_TOKEN to a secret"
    )
    assert said.count("\n") == 1
    assert not (tmp_path / "loaded").exists()


def test_a_server_made_in_python_is_refused_too(judge: Path) -> None:
    with pytest.raises(BadTokenError, match="set REWARDKIT_TOKEN to a secret"):
        scorer_server.make_server(scorer_server.load_judge(f"{judge}:score"), "0.0.0.0", 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_no_token(host: str, judge: Path) -> None:
    assert is_loopback(host)
    assert token_for(host) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_token_that_is_set_holds_for_every_host(host: str, token: str) -> None:
    assert token_for(host) == token


@pytest.mark.parametrize("weak", ["", "x" * 15, "x" * 1025, "x" * 15 + " ", "x" * 16 + "\r\nX: 1", "ü" * 16])
def test_a_token_that_does_not_do_is_refused_and_not_repeated(weak: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARDKIT_TOKEN", weak)
    for ask_for_it in (read_token, lambda: token_for("127.0.0.1")):
        with pytest.raises(BadTokenError, match="needs 16 to 1024 visible ASCII characters") as caught:
            ask_for_it()
        assert not weak or weak not in str(caught.value)
    monkeypatch.setenv("REWARDKIT_TOKEN", "x" * 16)
    assert read_token() == "x" * 16


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Authorization": SECRET},
        {"Authorization": f"Basic {SECRET}"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {SECRET[:-1]}"},
        {"Authorization": f"Bearer {SECRET}x"},
        {"Authorization": f"Bearer {SECRET.upper()}"},
        {"Authorization": "Bearer \xfc"},
    ],
    ids=str,
)
def test_another_token_or_none_gets_401_for_every_route(sent: dict[str, str], judge: Path, token: str) -> None:
    sentence = "this server needs the header Authorization: Bearer and its REWARDKIT_TOKEN"
    with serving(judge) as url:
        assert ask(url, "/card", headers=sent) == (401, {"error": sentence})
        assert ask(url, "/score", REQUEST, {**JSON, **sent}) == (401, {"error": sentence})
        assert ask(url, "/other", headers=sent)[0] == 401, "nor does it say which routes there are"


def test_the_right_token_gets_card_and_scores(judge: Path, token: str) -> None:
    with serving(judge) as url:
        assert ask(url, "/card", headers=BEARER)[1]["name"] == "letters"
        assert ask(url, "/score", REQUEST, {**JSON, **BEARER}) == (200, SCORES)
        elsewhere = {**JSON, **BEARER, "Host": "gpu-7.example.org:8765"}
        assert ask(url, "/score", REQUEST, elsewhere) == (200, SCORES), "with a token its name does not matter"


def test_401_comes_before_the_body_is_read(judge: Path, token: str) -> None:
    head = b"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\nContent-Type: application/json\r\n"
    with serving(judge) as url:
        refused = raw(url, head + b"\r\n")
    assert refused.startswith(b"HTTP/1.0 401 ")
    assert b"\r\nWWW-Authenticate: Bearer\r\n" in refused


def test_the_token_is_neither_logged_nor_answered(judge: Path, token: str, capfd: pytest.CaptureFixture[str]) -> None:
    answers = []
    with serving(judge) as url:
        for headers in (BEARER, {"Authorization": f"Bearer {SECRET}x"}, {"Authorization": "Bearer nothing"}):
            answers += [ask(url, "/card", headers=headers), ask(url, "/score", REQUEST, {**JSON, **headers})]
            answers += [ask(url, "/score", b"[", {**JSON, **headers})]
    logged = "".join(capfd.readouterr())
    assert '"POST /score HTTP/1.1" 401' in logged
    assert SECRET not in logged + json.dumps(answers)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", None])
def test_what_a_web_page_can_post_unasked_is_refused(kind: str | None, judge: Path) -> None:
    """A browser sends these types to any address for any page; others only where that address has agreed."""
    headers = {} if kind is None else {"Content-Type": kind}
    with serving(judge) as url:
        refused = ask(url, "/score", REQUEST, headers)
        assert ask(url, "/score", REQUEST, {"Content-Type": "application/json; charset=utf-8"}) == (200, SCORES)
        asked_before = raw(url, b"OPTIONS /score HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://example.org\r\n\r\n")
    assert refused == (415, {"error": "the request needs Content-Type: application/json"})
    assert asked_before.startswith(b"HTTP/1.0 501 ")
    assert b"access-control" not in asked_before.lower()


@pytest.mark.parametrize(
    "name", ["example.org", "example.org:8765", "127.0.0.1.example.org", "x@127.0.0.1", "192.0.2.1:8765", "[::1", ""]
)
def test_a_name_that_is_not_this_machines_is_refused(name: str, judge: Path) -> None:
    """As a page sends it whose own name was pointed at 127.0.0.1."""
    with serving(judge) as url:
        for answer in (ask(url, "/card", headers={"Host": name}), ask(url, "/score", REQUEST, {**JSON, "Host": name})):
            assert answer[0] == 403


def test_a_request_without_a_name_is_refused(judge: Path) -> None:
    with serving(judge) as url:
        assert raw(url, b"GET /card HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 403 ")


@pytest.mark.parametrize("name", ["127.0.0.1", "127.0.0.1:8765", "localhost:9", "LocalHost", "[::1]:8765", "127.0.0.2"])
def test_the_names_of_this_machine_are_answered(name: str, judge: Path) -> None:
    with serving(judge) as url:
        assert ask(url, "/score", REQUEST, {**JSON, "Host": name}) == (200, SCORES)


def test_a_judge_answers_at_the_other_loopback(judge: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(judge, "::1") as url:
        assert url.startswith("http://[::1]:")
        assert ask(url, "/card")[1]["name"] == "letters"
