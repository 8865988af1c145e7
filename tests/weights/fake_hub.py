"""A hub with one file that fails as it is told to, on 127.0.0.1."""

import hashlib
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Literal

import pytest

from rewardkit.errors import RewardkitError
from rewardkit.weights import hub
from rewardkit.weights.hub import HubFile

REPO, NAME, REVISION = "someone/model", "model.pt", "0123456789abcdef0123456789abcdef01234567"
CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = HubFile(REPO, NAME, REVISION, sha256=SHA256)

Fault = Literal["500", "503", "403", "404", "half", "reset", "short", "stall", "flip"]
"""A status; half a file and the end, or a reset; a file that says it is half as long; silence; another bit."""


@dataclass
class FakeHub:
    """Fails each request as the next of its list says; after the last it works, or fails `always`."""

    heads: list[str] = field(default_factory=list)  # statuses, or "cut": no answer
    gets: list[Fault] = field(default_factory=list)
    always: Fault | None = None
    error_code: str | None = None
    extra: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""
    over: Event = field(default_factory=Event)

    def count(self, method: str) -> int:
        return sum(asked == method for asked, _ in self.asked)

    def ranges(self) -> list[str | None]:
        """From where each download was asked for."""
        return [start for method, start in self.asked if method == "GET"]


Start = Callable[[FakeHub], FakeHub]


class Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_HEAD(self) -> None:
        self.hub.asked.append(("HEAD", None))
        fault = self.hub.heads.pop(0) if self.hub.heads else None
        if fault is None:
            self.begin(200, len(CONTENT))
        elif fault != "cut":
            self.refuse(fault)

    def do_GET(self) -> None:
        if "/resolve/" not in self.path:  # where the hub keeps what is in its other store
            return self.store()
        self.hub.asked.append(("GET", self.headers.get("Range")))
        fault = self.hub.gets.pop(0) if self.hub.gets else self.hub.always
        if fault is not None and fault.isdigit():
            return self.refuse(fault)
        start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        body = CONTENT[start:]
        half = len(body) // 2
        if fault == "flip":
            body = body[:half] + bytes([body[half] ^ 1]) + body[half + 1 :]
        self.begin(206 if start else 200, half if fault == "short" else len(body), start)
        if fault == "stall":
            self.hub.over.wait(30)
        elif fault in ("half", "short", "reset"):
            self.wfile.write(body[:half])
        else:
            self.wfile.write(body)
        if fault == "reset":
            time.sleep(0.1)  # what was sent must have arrived: a reset takes the rest with it
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        return None

    def begin(self, status: int, length: int, start: int = 0) -> None:
        self.send_response(status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        for name, value in {"X-Repo-Commit": REVISION, "ETag": f'"{SHA256}"', **self.hub.extra}.items():
            self.send_header(name, value.format(url=self.hub.url))
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def refuse(self, status: str) -> None:
        self.send_response(int(status))
        if self.hub.error_code is not None:
            self.send_header("X-Error-Code", self.hub.error_code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def store(self) -> None:
        if "token" not in self.path:
            return self.refuse("404")
        access = {"X-Xet-Cas-Url": self.hub.url, "X-Xet-Access-Token": "x", "X-Xet-Token-Expiration": "4000000000"}
        body = json.dumps({"casUrl": self.hub.url, "accessToken": "x", "exp": 4_000_000_000}).encode()
        self.send_response(200)
        for name, value in access.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients hang up on a hub that stalls."""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    handler = type("OneHub", (Handler,), {"hub": hub})
    with QuietServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            hub.over.set()
            server.shutdown()
            thread.join()


def kept(cache: Path) -> list[bytes]:
    """The contents of all files of a cache that could be taken for a download, whole or not."""
    blobs = [file for folder in ("blobs", "snapshots") for file in cache.glob(f"*/{folder}/**/*")]
    return [file.read_bytes() for file in blobs if file.is_file() and not file.is_symlink()]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Ours, not those of huggingface_hub."""
    return [record.getMessage() for record in caplog.records if record.name == hub.__name__]


def failure(kind: type[RewardkitError]) -> str:
    """What is said where the file cannot be had."""
    with pytest.raises(kind) as caught:
        FILE.locate("plain")
    said = str(caught.value)
    assert "\n" not in said
    assert "model.pt of someone/model@0123456789ab" in said
    return said
