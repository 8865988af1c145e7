"""What the client of a judge gives away, and what a server can do to it."""

import json
import logging
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

import rewardkit as rk
from rewardkit.errors import RewardFailedError, UsageError
from rewardkit.rewards.remote import RemoteReward
from rewardkit.serving import scorer_client
from tests.serving.judging import DIGEST, answering, judge_file, running, serving

SECRET = "a-token-of-the-tests-8d1f0c"
CARD = {"protocol": 1, "name": "plain"}
VIDEO = torch.zeros(2, 1, 3, 4, 5)


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARDKIT_TOKEN", SECRET)


@contextmanager
def recording(
    answer: Callable[[BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]],
) -> Iterator[tuple[str, list[str]]]:
    """A server that answers so, and the Authorization headers of all that asked."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            seen.append(self.headers.get("Authorization", ""))
            status, headers, body = answer(self)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

    with running(HTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url, seen


@contextmanager
def speaking(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A place that takes one connection and says whatever it likes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):  # the client has had enough, as it should
                connection.recv(1 << 16)
                talk(connection)

        thread = Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


def test_the_token_goes_along(tmp_path: Path) -> None:
    with serving(judge_file(tmp_path, DIGEST)) as url:
        assert RemoteReward(url)(VIDEO).shape == (2,)
    with recording(lambda _: (200, {}, json.dumps(CARD).encode())) as (url, seen):
        RemoteReward(url)
    assert seen == [f"Bearer {SECRET}"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with recording(lambda _: (200, {}, json.dumps(CARD).encode())) as (elsewhere, seen):
        with (
            recording(lambda _: (status, {"Location": f"{elsewhere}/card"}, b"")) as (url, _),
            pytest.raises(UsageError, match=rf"{url} sends elsewhere \({status}\), where nobody follows"),
        ):
            RemoteReward(url)
        assert seen == [], "neither the token nor a video goes to another address"
        RemoteReward(elsewhere)
        assert len(seen) == 1, "which would have been seen"


@pytest.mark.parametrize(
    ("mine", "why"),
    [("another-token-of-16-or-more", "does not take the one that is set here"), (None, "none is set here")],
)
def test_a_refused_token_is_one_sentence(
    mine: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(judge_file(tmp_path, DIGEST)) as url:
        reward = RemoteReward(url)
        if mine is None:
            monkeypatch.delenv("REWARDKIT_TOKEN")
        else:
            monkeypatch.setenv("REWARDKIT_TOKEN", mine)
        with pytest.raises(UsageError) as at_first:
            RemoteReward(url)
        with pytest.raises(RewardFailedError) as later:
            reward(torch.zeros(2, 8, 3, 512, 512))  # more than a socket holds: refused while it is still being sent
    assert (
        str(later.value) == f"{url} asks for the REWARDKIT_TOKEN that it was started with: {'it ' if mine else ''}{why}"
    )
    assert str(at_first.value) == f"no judge to ask: {later.value}"


def test_a_token_that_cannot_be_sent_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARDKIT_TOKEN", "two words\r\nX-Evil: 1")
    with (
        recording(lambda _: (200, {}, b"{}")) as (url, seen),
        pytest.raises(UsageError, match=r"no judge to ask: REWARDKIT_TOKEN can only be sent if it is visible"),
    ):
        RemoteReward(url)
    assert seen == []


def test_the_token_is_in_no_copy_of_the_reward(tmp_path: Path) -> None:
    with serving(judge_file(tmp_path, DIGEST)) as url:
        reward = RemoteReward(url)
        reward(VIDEO)
    assert SECRET.encode() not in pickle.dumps(reward)
    assert SECRET not in repr(vars(reward)) + repr(vars(reward._server)) + repr(rk.create_reward(reward))


def test_the_token_is_in_no_row_header_or_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even where a server repeats what it was sent, as those for debugging do."""
    caplog.set_level(logging.DEBUG)

    def repeat(request: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        said = str(request.headers.get("Authorization"))
        if request.path == "/card":
            return 200, {}, json.dumps({**CARD, "summary": said, "source": said}).encode()
        return 500, {}, json.dumps({"error": f"got {said}"}).encode()

    films = tmp_path / "films"
    films.mkdir()
    np.save(films / "a.npy", np.zeros((2, 4, 5, 3), dtype=np.uint8))
    with recording(repeat) as (url, seen):
        table = rk.score_folder(films, f"remote[url={url}]", out=tmp_path / "scores.jsonl")
    assert seen == [f"Bearer {SECRET}"] * 2
    (row,) = table
    assert row.error == f"{url} answers 500: got Bearer ..."
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes()
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("url", ["http://me:secret@127.0.0.1:1", "http://me@127.0.0.1:1", "http://:secret@127.0.0.1:1"])
def test_a_password_in_an_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match=r"no name or password in an address.*set REWARDKIT_TOKEN instead") as caught:
        RemoteReward(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/?token=a", "http://127.0.0.1:1/#a", "http://127.0.0.1:1/ü"])
def test_what_an_address_cannot_have_is_not_dropped(url: str) -> None:
    with pytest.raises(UsageError, match=r"needs an address such as http://127.0.0.1:8765: got"):
        RemoteReward(url)


def test_an_answer_has_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_client, "LARGEST_ANSWER", 1000)
    for spare, much in ((0, False), (1, True)):
        body = json.dumps(CARD).encode().ljust(1000 + spare)
        with answering((200, body)) as url:
            if much:
                with pytest.raises(UsageError, match="answers with more than 1000 bytes"):
                    RemoteReward(url)
            else:
                RemoteReward(url)


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    sent = 0

    def pour(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        while sent < 2**28:
            sent += connection.send(b" " * 2**16)

    with speaking(pour) as url, pytest.raises(UsageError, match="answers with more than 1048576 bytes"):
        RemoteReward(url)
    assert sent < 2**26


def drip(piece: bytes) -> Callable[[socket.socket], None]:
    """Says it again and again: never silent for long, and not done for seconds."""

    def talk(connection: socket.socket) -> None:
        connection.settimeout(0.005)
        until = time.monotonic() + 5
        while time.monotonic() < until:
            connection.sendall(piece)
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue

    return talk


@pytest.mark.parametrize("piece", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["a byte", "not yet"])
def test_a_server_that_drips_does_not_hold_the_client(piece: bytes) -> None:
    with speaking(drip(piece)) as url, pytest.raises(UsageError, match=r"did not answer within 0.2 seconds"):
        RemoteReward(url, timeout=0.2)


def test_a_dripping_body_does_not_hold_the_client() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n")
        drip(b" ")(connection)

    with speaking(talk) as url, pytest.raises(UsageError, match=r"did not answer within 0.2 seconds"):
        RemoteReward(url, timeout=0.2)


def test_an_answer_in_pieces_is_read_within_its_time() -> None:
    """The guard above does not take every slow server for a lost one."""

    def talk(connection: socket.socket) -> None:
        for byte in b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(CARD).encode():
            connection.sendall(bytes([byte]))

    with speaking(talk) as url:
        assert RemoteReward(url, timeout=5).card.summary == "plain: a judge in another process"
