"""Judges in a file of their own, served from a thread, and how to ask them without rewardkit."""

import json
import socket
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

from rewardkit.serving.scorer_server import address, load_judge, make_server

DIGEST = """
import hashlib

def score(videos, prompts):
    assert prompts is None
    return [digest(video) for video in videos]

def digest(video):
    facts = [(frame.shape, frame.tobytes()) for frame in video]
    return int.from_bytes(hashlib.sha256(repr(facts).encode()).digest()[:3], "big")
"""
"""A number that depends on every byte and on the shape; 24 bits, which float32 holds exactly."""

BRIGHTNESS_AND_LETTERS = """
CARD = {"name": "letters", "needs_prompt": True, "frames": "uniform:3", "score_range": (0, None), "unit": "letters"}

def score(videos, prompts):
    return [brightness(video) + len(prompt) for video, prompt in zip(videos, prompts)]

def brightness(video):
    return sum(sum(frame.tobytes()) for frame in video) / sum(frame.nbytes for frame in video) / 255
"""


GREY = {"shape": [2, 1, 3, 3], "frames": b64encode(bytes([51] * 18)).decode()}
REQUEST = {"protocol": 1, "videos": [GREY, GREY], "prompts": ["abc", "a"]}
JSON = {"Content-Type": "application/json"}


def ask(
    url: str, path: str, body: object = None, headers: Mapping[str, str] = JSON, method: str | None = None
) -> tuple[int, dict[str, object]]:
    """Status and answer; a body makes it a POST."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, sent, dict(headers))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def judge_file(folder: Path, code: str, name: str = "my_judge.py") -> Path:
    file = folder / name
    file.write_text(code)
    return file


@contextmanager
def serving(file: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """Where `score` of the file answers."""
    with running(make_server(load_judge(f"{file}:score"), host, 0)) as url:
        yield url


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[str]:
    """Where a server gives these statuses and bodies, one a request, whatever is asked."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = left.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

    with running(HTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url


@contextmanager
def running(server: HTTPServer) -> Iterator[str]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield address(server)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def raw(url: str, sent: bytes) -> bytes:
    """All that a server answers to bytes that need be no HTTP."""
    with connected(url) as connection:
        connection.sendall(sent)
        return everything(connection)


def connected(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def everything(connection: socket.socket) -> bytes:
    """What comes until the other end hangs up, however it does."""
    came = b""
    try:
        while block := connection.recv(1 << 16):
            came += block
    except ConnectionResetError:
        pass
    return came
