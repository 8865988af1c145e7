"""Serves a judge of videos over HTTP. One file, Python 3.8 or later, standard library only: it needs no rewardkit.

    python scorer_server.py my_judge.py:score --port 8765

`score(videos, prompts)` in `my_judge.py` gives one number a video, higher is better. A video is a list of frames; a
frame is a memoryview of bytes, RGB, shape (height, width, 3): `numpy.asarray(frame)` is the picture. `prompts` is a
list of texts, or None unless the file says `CARD = {"needs_prompt": True}`. rewardkit's
docs/how-to/judge-in-another-process.md describes CARD, the protocol and the token.

It listens to this machine only. Any other `--host` needs a secret in the environment variable REWARDKIT_TOKEN, which
whoever asks must send.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import importlib.util
import io
import json
import math
import os
import re
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from queue import SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import Any, NamedTuple

PROTOCOL = 1
HOST, PORT = "127.0.0.1", 8765
TOKEN = "REWARDKIT_TOKEN"
"""The environment variable with the secret. No option has it: other users of a machine see the words of a command."""
LARGEST_BODY = 2**30
"""Bytes of one request; with other characters than ASCII a quarter, as Python may take four bytes for each."""
MOST_VIDEOS, MOST_FRAMES = 2**10, 2**16
"""Of one request: a frame of a single pixel takes some two hundred bytes here."""
MOST_VALUES = 2**20
"""Brackets, braces and commas of one request: each may begin an object of a hundred bytes."""
MOST_CLIENTS = 128
"""Clients at a time, all but one of which wait."""
BUSY = b'{"error": "too many clients wait here: try again later"}'
PATIENCE = 30.0
"""Seconds for the head of a request, and again for its body, which has one more for each MiB."""
CARD_KEYS = (
    "name", "summary", "source", "code_licence", "weights_licence", "score_range", "unit", "needs_prompt", "frames",
    "weights_sha256",
)  # fmt: skip


class Answer(NamedTuple):
    """What a client gets: a status of HTTP, and what is sent as JSON."""

    status: int
    content: dict[str, Any]


class BadJudgeError(Exception):
    """The judge cannot be loaded."""


class BadTokenError(Exception):
    """REWARDKIT_TOKEN is missing where others can come, or does not do."""


class RefusedError(Exception):
    """A request gets a sentence and a status instead of scores."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status

    def answer(self) -> Answer:
        """What the client gets."""
        return Answer(self.status, {"error": str(self)})


class Judge(NamedTuple):
    """What gives scores.

    Attributes:
        name: for errors.
        function: from videos and prompts to one number a video.
        card: what it says of itself, with PROTOCOL as `protocol`.
    """

    name: str
    function: Callable[..., Iterable[float]]
    card: dict[str, Any]

    def scores(self, videos: Sequence[Sequence[memoryview]], prompts: Sequence[str] | None) -> list[float]:
        """One finite number a video.

        Raises:
            RefusedError: 500, the function raised or gave something else.
        """
        try:
            given = [float(score) for score in self.function(videos, prompts)]
        except (Exception, SystemExit) as error:  # code of others may raise anything
            traceback.print_exc()
            raise RefusedError(500, f"{self.name} raised {_in_words(error)}") from error
        if len(given) != len(videos):
            raise RefusedError(500, f"{self.name} gave {len(given)} numbers for {len(videos)} videos")
        for score in given:
            if not math.isfinite(score):
                raise RefusedError(500, f"{self.name} gave {score} where a finite number is expected")
        return given


def load_judge(name: str) -> Judge:
    """The function that `FILE.py:FUNCTION` names, and what its file says of itself in `CARD`.

    Raises:
        BadJudgeError: no such file or function, the file cannot be imported, or its CARD cannot be read.
    """
    path, _, function = name.rpartition(":")
    file = Path(path).resolve()
    if file.suffix != ".py" or not file.is_file():
        raise BadJudgeError(f"the judge {name!r} is no file: write FILE.py:FUNCTION, as in my_judge.py:score")
    module = _import_file(file)
    score = getattr(module, function, None)
    if not callable(score):
        raise BadJudgeError(f"{file} has no function called {function!r}")
    return Judge(f"{file.name}:{function}", score, _card(file, getattr(module, "CARD", {})))


def read_token() -> str | None:
    """The secret that REWARDKIT_TOKEN holds, or None where it is not set.

    Raises:
        BadTokenError: it is easy to guess, or cannot stand in a header.
    """
    said = os.environ.get(TOKEN)
    if said is not None and not re.fullmatch(r"[!-~]{16,1024}", said):
        raise BadTokenError(
            f"{TOKEN} needs 16 to 1024 visible ASCII characters without spaces: this one does not do; "
            "`openssl rand -hex 32` makes a good one"
        )
    return said


def token_for(host: str) -> str | None:
    """The token that a server at this host asks for; None where it asks nobody, on loopback without REWARDKIT_TOKEN.

    Raises:
        BadTokenError: others than this machine can reach the host and there is no token, or the token does not do.
    """
    token = read_token()
    if token is None and not is_loopback(host):
        raise BadTokenError(
            f"{host or 'every address'} can be reached by others: set {TOKEN} to a secret, such as "
            f"`openssl rand -hex 32` makes, here and where the judge is asked, or serve at {HOST}"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it: 127.0.0.0/8, ::1, localhost."""
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def read_json(body: bytes) -> object:
    """What the body of a request says. It never takes many times the memory of the body.

    Raises:
        RefusedError: 400, it is not JSON; 413, it would take too much memory.
    """
    # counted before any object is made; base64 has none of these signs
    if sum(map(body.count, b"[{,")) > MOST_VALUES:
        raise RefusedError(413, f"a request has at most {MOST_VALUES} brackets, braces and commas")
    if len(body) > LARGEST_BODY // 4 and not body.isascii():
        raise RefusedError(413, f"a request of more than {LARGEST_BODY // 4} bytes must be ASCII: escape the rest")
    try:
        return json.loads(body, parse_int=_whole_number)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the request is not JSON") from None


def read_request(request: object, needs_prompt: bool) -> tuple[list[list[memoryview]], list[str] | None]:
    """The videos and prompts of a request; no prompts for a judge that reads none.

    Raises:
        RefusedError: 400, the request is not what the protocol says; 413, it has too many videos or frames.
    """
    if not isinstance(request, dict) or request.get("protocol") != PROTOCOL:
        raise RefusedError(400, f"this server speaks protocol {PROTOCOL}: the request must say so")
    videos, prompts = request.get("videos"), request.get("prompts")
    if not isinstance(videos, list) or not videos:
        raise RefusedError(400, "the request needs a list of videos")
    if len(videos) > MOST_VIDEOS:
        raise RefusedError(413, f"a request has at most {MOST_VIDEOS} videos: got {len(videos)}")
    if prompts is not None and not (isinstance(prompts, list) and all(isinstance(text, str) for text in prompts)):
        raise RefusedError(400, "prompts must be null or a list of texts")
    if prompts is not None and len(prompts) != len(videos):
        raise RefusedError(400, f"got {len(prompts)} prompts, {len(videos)} videos: send one a video")
    if needs_prompt and prompts is None:
        raise RefusedError(400, "this judge needs one prompt a video: got none")
    shapes = [read_shape(video) for video in videos]
    frames = sum(shape[0] for shape in shapes)
    if frames > MOST_FRAMES:
        raise RefusedError(413, f"a request has at most {MOST_FRAMES} frames: got {frames}")
    return list(map(read_frames, shapes, videos)), prompts if needs_prompt else None


def read_shape(video: object) -> list[int]:
    """How many frames, their height, their width, and 3.

    Raises:
        RefusedError: 400, it says something else.
    """
    shape = video.get("shape") if isinstance(video, dict) else None
    if not (isinstance(shape, list) and len(shape) == 4 and all(type(n) is int and n > 0 for n in shape)):
        raise RefusedError(400, f"a video needs a shape [frames, height, width, 3]: got {repr(shape)[:100]}")
    if shape[3] != 3:
        raise RefusedError(400, f"a video needs 3 channels: got shape {shape}")
    return shape


def read_frames(shape: list[int], video: dict[str, Any]) -> list[memoryview]:
    """The frames of a video, each of shape (height, width, 3).

    Raises:
        RefusedError: 400, there are no pixels, or they do not fill the shape.
    """
    try:
        pixels = bytearray(base64.b64decode(video["frames"], validate=True))
    except (KeyError, TypeError, ValueError):
        raise RefusedError(400, "a video needs its frames as base64") from None
    size = shape[1] * shape[2] * 3
    if len(pixels) != shape[0] * size:
        raise RefusedError(400, f"a video of shape {shape} has {shape[0] * size} bytes: got {len(pixels)}")
    whole = memoryview(pixels)
    return [whole[start : start + size].cast("B", shape[1:]) for start in range(0, len(pixels), size)]


class PunctualReader(io.RawIOBase):
    """Reads a connection until a time: bytes that drip in one by one buy no more of it."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        super().__init__()
        self._connection = connection
        self._file = connection.makefile("rb", buffering=0)
        self.allow(seconds)

    def allow(self, seconds: float) -> None:
        """Sets the time anew, from now."""
        self._until = time.monotonic() + seconds

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """What has come, as of any file.

        Raises:
            socket.timeout: the time is over.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise socket.timeout("the time is over")  # noqa: UP041 - another class before Python 3.10
        self._connection.settimeout(left)
        return self._file.readinto(buffer)

    def close(self) -> None:
        """Lets go of the connection."""
        self._file.close()
        super().close()


class ScoreHandler(BaseHTTPRequestHandler):
    """Answers `GET /card` and `POST /score` in JSON."""

    server: JudgeServer

    def setup(self) -> None:
        """Sets how long the head of the request may take."""
        super().setup()
        self.rfile.close()
        self._reader = PunctualReader(self.connection, PATIENCE)
        self.rfile = io.BufferedReader(self._reader)

    def do_GET(self) -> None:
        """The judge's card."""
        try:
            self._admit("/card")
        except RefusedError as refusal:
            self._answer(refusal.answer())
        else:
            self._answer(Answer(200, self.server.judge.card))

    def do_POST(self) -> None:
        """The scores of the videos in the body, which is read when its turn comes."""
        try:
            self._admit("/score")
            length = self._length()
        except RefusedError as refusal:
            self._answer(refusal.answer())
        else:
            self._answer(self.server.in_turn(partial(self._scored, length)))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Says in JSON what the class above finds, such as too many headers."""
        self._answer(Answer(code, {"error": message or explain or self.responses[code][0]}))

    def _admit(self, path: str) -> None:
        token = self.server.token
        if token is not None:
            given = self.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
                raise RefusedError(401, f"this server needs the header Authorization: Bearer and its {TOKEN}")
        elif not is_loopback(re.sub(r":\d*$", "", self.headers.get("Host", "")).strip("[]")):
            # a web page may give its own name our address, and its browser then lets it ask us (DNS rebinding)
            raise RefusedError(
                403, f"without {TOKEN} this server answers to the names of this machine, as {HOST}, alone"
            )
        if self.path != path:
            raise RefusedError(404, f"no {self.command} {self.path[:100]} here: GET /card or POST /score")

    def _length(self) -> int:
        if self.headers.get_content_type() != "application/json":
            # other types a browser sends for the page of a stranger without asking us first
            raise RefusedError(415, "the request needs Content-Type: application/json")
        announced = self.headers.get("Content-Length", "")
        if not (announced.isascii() and announced.isdigit()):
            raise RefusedError(411, "the request needs a Content-Length")
        if len(announced) > 18 or int(announced) > LARGEST_BODY:
            raise RefusedError(413, f"a request has at most {LARGEST_BODY} bytes: got {announced[:18]}")
        return int(announced)

    def _scored(self, length: int) -> Answer:
        judge = self.server.judge
        try:
            # nothing else holds the body or its texts, so that they are gone while the judge works
            videos, prompts = read_request(read_json(self._body(length)), bool(judge.card["needs_prompt"]))
            scores = judge.scores(videos, prompts)
        except RefusedError as refusal:
            return refusal.answer()
        return Answer(200, {"protocol": PROTOCOL, "scores": scores})

    def _body(self, length: int) -> bytes:
        seconds = PATIENCE + length / 2**20
        self._reader.allow(seconds)
        try:
            body = self.rfile.read(length)
        except OSError:
            raise RefusedError(408, f"the request took longer than {seconds:.3g} seconds") from None
        if len(body) != length:
            raise RefusedError(400, f"the request announced {length} bytes: got {len(body)}")
        return body

    def _answer(self, answer: Answer) -> None:
        body = json.dumps(answer.content).encode()
        try:
            self.connection.settimeout(PATIENCE)
            self.send_response(answer.status)
            if answer.status == 401:
                self.send_header("WWW-Authenticate", "Bearer")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError as error:
            self.log_message("the client has gone: %s", error)


class JudgeServer(ThreadingHTTPServer):
    """Reads what clients ask in threads of its own, and asks the judge in the thread of `serve_forever`.

    A client that dawdles holds nobody up before it is admitted. The judge runs where it was loaded, if that thread
    serves: torch has its device and its gradient mode for each thread.

    Raises:
        BadTokenError: the host can be reached by others and there is no token.
    """

    daemon_threads = True
    request_queue_size = MOST_CLIENTS

    def __init__(self, judge: Judge, host: str, port: int) -> None:
        self.judge = judge
        self.token = token_for(host)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = BoundedSemaphore(MOST_CLIENTS)
        self._turns: SimpleQueue[tuple[Callable[[], Answer], Future[Answer]] | None] = SimpleQueue()
        super().__init__((host, port), ScoreHandler)

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Answers until `shutdown`."""
        Thread(target=super().serve_forever, args=(poll_interval,), daemon=True).start()
        try:
            for work, done in iter(self._turns.get, None):
                try:
                    done.set_result(work())
                except Exception as error:  # noqa: BLE001 - raised again in the thread that waits for it
                    done.set_exception(error)
        finally:
            super().shutdown()

    def shutdown(self) -> None:
        """Takes no more requests; those that wait for their turn are still answered."""
        super().shutdown()
        self._turns.put(None)

    def in_turn(self, work: Callable[[], Answer]) -> Answer:
        """What `work` gives in the thread of `serve_forever`: one after the other."""
        done: Future[Answer] = Future()
        self._turns.put((work, done))
        return done.result()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for another client; one that finds none is told so."""
        if self._room.acquire(blocking=False):
            return True
        with suppress(OSError):
            request.sendall(b"HTTP/1.0 503 Busy\r\nContent-Type: application/json\r\n\r\n" + BUSY)
        return False

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers one client and makes room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()


def make_server(judge: Judge, host: str = HOST, port: int = PORT) -> JudgeServer:
    """A server that listens already; port 0 takes any free one. One request reaches the judge at a time.

    Raises:
        BadTokenError: the host can be reached by others and REWARDKIT_TOKEN is not set, or does not do.
    """
    return JudgeServer(judge, host, port)


def address(server: HTTPServer) -> str:
    """Where it answers: `http://127.0.0.1:8765`."""
    host, port = str(server.server_address[0]), server.server_address[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(judge: str, host: str = HOST, port: int = PORT, load: Callable[[str], Judge] = load_judge) -> int:
    """Serves until Ctrl-C; the exit code: 0, or 2 where the judge cannot be loaded or the address not be had."""
    try:
        token = token_for(host)  # before minutes go by in which a judge is loaded
        with make_server(load(judge), host, port) as server:
            _say(
                f"{judge} answers at {address(server)}; {f'it asks for {TOKEN}; ' if token else ''}stop it with Ctrl-C"
            )
            server.serve_forever()
    except KeyboardInterrupt:
        _say("stopped")
    except (OSError, OverflowError) as error:
        _say(f"error: cannot listen at {host}:{port}: {error}")
        return 2
    except (BadJudgeError, BadTokenError) as error:
        _say(f"error: {error}")
        return 2
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """The command line of this file."""
    parser = argparse.ArgumentParser(description="Serves a judge of videos over HTTP, for rewardkit's reward `remote`.")
    parser.add_argument("judge", help="FILE.py:FUNCTION")
    parser.add_argument("--host", default=HOST, help=f"default %(default)s: this machine only; others need {TOKEN}")
    parser.add_argument("--port", type=int, default=PORT, help="default %(default)s; 0 takes any free one")
    chosen = parser.parse_args(words)
    return serve(chosen.judge, chosen.host, chosen.port)


def _import_file(file: Path) -> object:
    # a name of its own, so that a judge called random.py hides nothing; its neighbours can be imported
    spec = importlib.util.spec_from_file_location(f"judge_{file.stem}", str(file))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        raise BadJudgeError(f"cannot import {file}: {_in_words(error)}") from error
    return module


def _card(file: Path, said: Any) -> dict[str, Any]:
    try:
        unknown = sorted(said.keys() - set(CARD_KEYS))
        # the judge's own file counts as weights: once it has changed, old scores are not taken for new ones
        weights = {file.name: hashlib.sha256(file.read_bytes()).hexdigest(), **said.get("weights_sha256", {})}
        card = {"protocol": PROTOCOL, "name": file.stem, "needs_prompt": False, **said, "weights_sha256": weights}
        json.dumps(card)
    except (AttributeError, TypeError, ValueError) as error:
        raise BadJudgeError(f"CARD of {file} must be a dict of plain values: {error}") from error
    if unknown:
        raise BadJudgeError(f"CARD of {file} says {', '.join(unknown)}: it may say {', '.join(CARD_KEYS)}")
    return card


def _whole_number(digits: str) -> int:
    if len(digits) > 18:  # before Python 3.11 the time for more grows with their square
        raise RefusedError(400, "a whole number of a request has at most 18 digits")
    return int(digits)


def _in_words(error: BaseException) -> str:
    line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
