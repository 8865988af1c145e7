"""What one client can cost a judge's server: bytes, memory, time and room for others."""

import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from rewardkit.serving import scorer_server
from rewardkit.serving.scorer_server import RefusedError, read_json, read_request
from tests.serving.judging import DIGEST, JSON, REQUEST, ask, connected, everything, judge_file, raw, serving

HEAD = b"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
PIXEL = {"shape": [1, 1, 1, 3], "frames": "AAAA"}


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    return judge_file(tmp_path, DIGEST)


def frames(count: int) -> dict[str, object]:
    """A video of so many frames of one pixel."""
    return {"shape": [count, 1, 1, 3], "frames": "AAAA" * count}


@pytest.mark.parametrize(
    ("request_", "status", "sentence"),
    [
        ({"protocol": 1, "videos": [PIXEL] * 1024}, 200, None),
        ({"protocol": 1, "videos": [PIXEL] * 1025}, 413, "a request has at most 1024 videos: got 1025"),
        ({"protocol": 1, "videos": [frames(2**16)]}, 200, None),
        ({"protocol": 1, "videos": [PIXEL, frames(2**16)]}, 413, "a request has at most 65536 frames: got 65537"),
        ({"protocol": 1, "videos": [frames(1)], "prompts": ["," * 2**20]}, 413, "at most 1048576 brackets, braces"),
        ({"protocol": 1, "videos": [{**PIXEL, "shape": [1, 10**17, 10**17, 3]}]}, 400, "bytes: got 3"),
        ({"protocol": 1, "videos": [{**PIXEL, "shape": [10**18, 1, 1, 3]}]}, 400, "at most 18 digits"),
        ({"protocol": 1, "videos": [PIXEL], "more": 10**4000}, 400, "at most 18 digits"),
        ({"protocol": 1, "videos": [{**PIXEL, "shape": [1] * 10**4}]}, 400, "[1, 1, 1, 1, 1, 1"),
    ],
    ids=["videos", "more videos", "frames", "more frames", "values", "pixels", "digits", "more digits", "shape"],
)
def test_a_request_has_so_much_and_no_more(
    request_: dict[str, object], status: int, sentence: str | None, judge: Path
) -> None:
    with serving(judge) as url:
        got, answer = ask(url, "/score", request_)
    assert got == status
    assert len(json.dumps(answer)) < 20_000
    assert sentence is None or sentence in str(answer["error"])


def test_a_length_beyond_the_limit_is_refused_before_anything_is_read(judge: Path) -> None:
    with serving(judge) as url:
        assert ask(url, "/score", b"", {**JSON, "Content-Length": "-1"})[0] == 411
        assert b" 411 " in raw(url, HEAD + b"\r\n")
        status, answer = ask(url, "/score", b"", {**JSON, "Content-Length": str(2**30 + 1)})
        assert (status, answer["error"]) == (413, "a request has at most 1073741824 bytes: got 1073741825")
        assert ask(url, "/score", b"", {**JSON, "Content-Length": "9" * 5000})[0] == 413


def test_a_large_request_is_ascii(judge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_server, "LARGEST_BODY", 4000)
    request = {**REQUEST, "prompts": ["猫" * 400, ""]}
    with serving(judge) as url:
        status, answer = ask(url, "/score", json.dumps(request, ensure_ascii=False).encode())
        assert (status, answer["error"]) == (413, "a request of more than 1000 bytes must be ASCII: escape the rest")
        assert ask(url, "/score", json.dumps(request).encode())[0] == 200
        small = {**REQUEST, "prompts": ["猫", ""]}
        assert ask(url, "/score", json.dumps(small, ensure_ascii=False).encode())[0] == 200


def peak(body: bytes) -> float:
    """Bytes that it takes at most to read a request, for each byte of it."""
    tracemalloc.start()
    try:
        read_request(read_json(body), needs_prompt=False)
    except RefusedError:
        pass
    finally:
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return highest / len(body)


def around(videos: bytes) -> bytes:
    return b'{"protocol": 1, "videos": [' + videos + b"]}"


def test_an_honest_request_takes_less_than_four_times_its_size() -> None:
    assert peak(around(json.dumps(frames(50_000) | {"shape": [500, 10, 10, 3]}).encode())) < 4


@pytest.mark.parametrize(
    "body",
    [
        around(b",".join([json.dumps(PIXEL).encode()] * 200_000)),
        around(b",".join([b"{}"] * 2**20)),
        around(b",".join([b"[]"] * 2**20)),
        around(b",".join([b"1"] * 2**20)),
        around(json.dumps(frames(200_000)).encode()),
    ],
    ids=["tiny videos", "objects", "lists", "numbers", "tiny frames"],
)
def test_a_hostile_request_takes_less_than_four_times_its_size(body: bytes) -> None:
    assert peak(body) < 4


def test_without_limits_a_hostile_request_would_take_many_times_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_server, "MOST_FRAMES", 2**30)
    assert peak(around(json.dumps(frames(30_000)).encode())) > 20
    assert peak(around(b",".join([b"{}"] * 50_000))) > 15  # as few as this are let through


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"".join(b"X-%d: 1\r\n" % number for number in range(101)), 431),
        (b"X: " + b"x" * 70_000 + b"\r\n", 431),
    ],
    ids=["many headers", "a long header"],
)
def test_heads_have_limits(head: bytes, status: int, judge: Path) -> None:
    with serving(judge) as url:
        refused = raw(url, HEAD + head + b"\r\n")
        assert ask(url, "/card")[0] == 200
    assert refused.startswith(b"HTTP/1.0 %d " % status)
    assert set(json.loads(refused.partition(b"\r\n\r\n")[2])) == {"error"}


def test_a_long_path_is_refused_in_json(judge: Path) -> None:
    with serving(judge) as url:
        refused = raw(url, b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n")
    assert b" 414 " in refused
    assert set(json.loads(refused.partition(b"\r\n\r\n")[2])) == {"error"}


@contextmanager
def dripping(url: str, begin: bytes) -> Iterator[Event]:
    """A client that sends this and then a byte every few milliseconds; set once the server has hung up."""
    dropped, stop = Event(), Event()

    def drip() -> None:
        with connected(url) as connection:
            connection.sendall(begin)
            try:
                while not stop.wait(0.01):
                    connection.sendall(b"1")
            except OSError:
                dropped.set()

    thread = Thread(target=drip)
    thread.start()
    try:
        yield dropped
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "begin", [b"GET /", HEAD, HEAD + b"Content-Length: 1000\r\n\r\n"], ids=["line", "headers", "body"]
)
def test_a_client_that_drips_is_dropped(begin: bytes, judge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(judge) as url:
        monkeypatch.setattr(scorer_server, "PATIENCE", 0.1)
        with dripping(url, begin) as dropped:
            assert dropped.wait(2)
        monkeypatch.setattr(scorer_server, "PATIENCE", 30.0)
        with dripping(url, begin) as dropped:
            assert not dropped.wait(0.3), "with more patience it is not"


def test_a_body_that_does_not_come_has_a_sentence(judge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_server, "PATIENCE", 0.1)
    with serving(judge) as url:
        refused = raw(url, HEAD + b"Content-Length: 10\r\n\r\n{")
        assert b" 408 " in refused
        assert b"the request took longer than 0.1 seconds" in refused
        assert ask(url, "/score", REQUEST)[0] == 200


def test_a_large_body_has_more_time(judge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_server, "PATIENCE", 0.2)
    with serving(judge) as url, connected(url) as slow:
        slow.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % 2**20)  # a second for each MiB
        time.sleep(0.5)
        slow.sendall(json.dumps(REQUEST).encode().ljust(2**20))
        assert b" 200 " in everything(slow)


def test_while_the_judge_works_memory_holds_little_but_pixels(tmp_path: Path) -> None:
    code = "import tracemalloc\n\ndef score(videos, prompts):\n    return [tracemalloc.get_traced_memory()[0]]\n"
    pixels = 3 * 10**6
    with serving(judge_file(tmp_path, code)) as url:
        body = json.dumps({"protocol": 1, "videos": [frames(10**6) | {"shape": [10, 1000, 100, 3]}]}).encode()
        tracemalloc.start()
        try:
            _, answer = ask(url, "/score", body)
        finally:
            tracemalloc.stop()
    (held,) = answer["scores"]  # type: ignore[misc]
    assert pixels < held < 1.2 * pixels


def test_a_client_that_hangs_up_half_way_costs_nobody_else(judge: Path) -> None:
    with serving(judge) as url:
        for sent in (b"", b"POST", HEAD, HEAD + b"Content-Length: 1000\r\n\r\n{"):
            with connected(url) as connection:
                connection.sendall(sent)
        assert ask(url, "/score", REQUEST)[0] == 200


def test_clients_that_say_nothing_hold_nobody_up(judge: Path) -> None:
    with serving(judge) as url, ExitStack() as silent:
        for begin in (b"", b"POST", HEAD):
            silent.enter_context(connected(url)).sendall(begin)
        start = time.monotonic()
        assert ask(url, "/score", REQUEST)[0] == 200
        assert time.monotonic() - start < 5  # of 30 that each may stay


def test_one_client_too_many_is_told_so(judge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_server, "MOST_CLIENTS", 2)
    with serving(judge) as url:
        with connected(url), connected(url), connected(url) as third:
            assert everything(third).endswith(b'\r\n\r\n{"error": "too many clients wait here: try again later"}')
        until = time.monotonic() + 5
        while (status := ask(url, "/card")[0]) == 503 and time.monotonic() < until:
            time.sleep(0.01)
        assert status == 200, "there is room again"
