"""Serves a judge of videos over HTTP. One file, Python 3.8 or later, standard library only: it needs no rewardkit.

    python scorer_server.py my_judge.py:score --port 8765

`score(videos, prompts)` in `my_judge.py` gives one number a video, higher is better. A video is a list of frames; a
frame is a memoryview of bytes, RGB, shape (height, width, 3): `numpy.asarray(frame)` is the picture. `prompts` is a
list of texts, or None unless the file says `CARD = {"needs_prompt": True}`. rewardkit's
docs/how-to/judge-in-another-process.md describes CARD and the protocol.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import json
import math
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

PROTOCOL = 1
HOST, PORT = "127.0.0.1", 8765
LARGEST_BODY = 2**30
"""Bytes of one request."""
CARD_KEYS = (
    "name", "summary", "source", "code_licence", "weights_licence", "score_range", "unit", "needs_prompt", "frames",
    "weights_sha256",
)  # fmt: skip


class BadJudgeError(Exception):
    """The judge cannot be loaded."""


class RefusedError(Exception):
    """A request gets a sentence and a status instead of scores."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Judge:
    """The function that `FILE.py:FUNCTION` names, and what its file says of itself in `CARD`.

    Raises:
        BadJudgeError: no such file or function, the file cannot be imported, or its CARD cannot be read.
    """

    def __init__(self, name: str) -> None:
        path, _, function = name.rpartition(":")
        file = Path(path).resolve()
        if file.suffix != ".py" or not file.is_file():
            raise BadJudgeError(f"the judge {name!r} is no file: write FILE.py:FUNCTION, as in my_judge.py:score")
        module = _import_file(file)
        self.name = f"{file.name}:{function}"
        score = getattr(module, function, None)
        if not callable(score):
            raise BadJudgeError(f"{file} has no function called {function!r}")
        self.function: Callable[..., Iterable[float]] = score
        self.card = _card(file, getattr(module, "CARD", {}))

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


def read_request(body: bytes, needs_prompt: bool) -> tuple[list[list[memoryview]], list[str] | None]:
    """The videos and prompts that the body of a request holds; no prompts for a judge that reads none.

    Raises:
        RefusedError: 400, the body is not what the protocol says.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the request is not JSON") from None
    if not isinstance(request, dict) or request.get("protocol") != PROTOCOL:
        raise RefusedError(400, f"this server speaks protocol {PROTOCOL}: the request must say so")
    videos, prompts = request.get("videos"), request.get("prompts")
    if not isinstance(videos, list) or not videos:
        raise RefusedError(400, "the request needs a list of videos")
    if prompts is not None and not (isinstance(prompts, list) and all(isinstance(text, str) for text in prompts)):
        raise RefusedError(400, "prompts must be null or a list of texts")
    if prompts is not None and len(prompts) != len(videos):
        raise RefusedError(400, f"got {len(prompts)} prompts, {len(videos)} videos: send one a video")
    if needs_prompt and prompts is None:
        raise RefusedError(400, "this judge needs one prompt a video: got none")
    return [read_frames(video) for video in videos], prompts if needs_prompt else None


def read_frames(video: object) -> list[memoryview]:
    """The frames of a video, each of shape (height, width, 3).

    Raises:
        RefusedError: 400, the shape is none, or the pixels do not fill it.
    """
    shape = video.get("shape") if isinstance(video, dict) else None
    if not (isinstance(shape, list) and len(shape) == 4 and all(type(n) is int and n > 0 for n in shape)):
        raise RefusedError(400, f"a video needs a shape [frames, height, width, 3]: got {shape!r}")
    if shape[3] != 3:
        raise RefusedError(400, f"a video needs 3 channels: got shape {shape}")
    try:
        pixels = bytearray(base64.b64decode(video["frames"], validate=True))  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        raise RefusedError(400, "a video needs its frames as base64") from None
    size = shape[1] * shape[2] * 3
    if len(pixels) != shape[0] * size:
        raise RefusedError(400, f"a video of shape {shape} has {shape[0] * size} bytes: got {len(pixels)}")
    whole = memoryview(pixels)
    return [whole[start : start + size].cast("B", shape[1:]) for start in range(0, len(pixels), size)]


class ScoreHandler(BaseHTTPRequestHandler):
    """Answers `GET /card` and `POST /score` in JSON."""

    timeout = (
        60.0  # seconds of silence: requests come one after the other, and a stuck client must not hold up the rest
    )

    def __init__(self, judge: Judge, *connection: Any) -> None:
        self.judge = judge
        super().__init__(*connection)  # answers already, so it comes last

    def do_GET(self) -> None:
        """The judge's card."""
        if self.path == "/card":
            self._answer(200, self.judge.card)
        else:
            self._answer(404, {"error": f"no {self.path} here: GET /card or POST /score"})

    def do_POST(self) -> None:
        """The scores of the videos in the body."""
        try:
            if self.path != "/score":
                raise RefusedError(404, f"no {self.path} here: GET /card or POST /score")
            videos, prompts = read_request(self._body(), bool(self.judge.card["needs_prompt"]))
            scores = self.judge.scores(videos, prompts)
        except RefusedError as refusal:
            self._answer(refusal.status, {"error": str(refusal)})
        else:
            self._answer(200, {"protocol": PROTOCOL, "scores": scores})

    def _body(self) -> bytes:
        announced = self.headers.get("Content-Length", "")
        if not (announced.isascii() and announced.isdigit()):
            raise RefusedError(411, "the request needs a Content-Length")
        if len(announced) > 18 or int(announced) > LARGEST_BODY:
            raise RefusedError(413, f"a request has at most {LARGEST_BODY} bytes: got {announced[:18]}")
        try:
            body = self.rfile.read(int(announced))
        except OSError:
            raise RefusedError(408, f"the request was silent for {self.timeout:g} seconds") from None
        if len(body) != int(announced):
            raise RefusedError(400, f"the request announced {announced} bytes: got {len(body)}")
        return body

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError as error:
            self.log_message("the client has gone: %s", error)


def make_server(judge: Judge, host: str = HOST, port: int = PORT) -> HTTPServer:
    """A server that listens already; port 0 takes any free one. One request reaches the judge at a time."""
    return HTTPServer((host, port), partial(ScoreHandler, judge))


def address(server: HTTPServer) -> str:
    """Where it answers: `http://127.0.0.1:8765`."""
    host, port = server.server_address[:2]
    return f"http://{host!s}:{port}"


def serve(judge: str, host: str = HOST, port: int = PORT) -> int:
    """Serves until Ctrl-C; the exit code: 0, or 2 where the judge cannot be loaded or the address not be had."""
    try:
        with make_server(Judge(judge), host, port) as server:
            _say(f"{judge} answers at {address(server)}; stop it with Ctrl-C")
            server.serve_forever()
    except KeyboardInterrupt:
        _say("stopped")
    except (OSError, OverflowError) as error:
        _say(f"error: cannot listen at {host}:{port}: {error}")
        return 2
    except BadJudgeError as error:
        _say(f"error: {error}")
        return 2
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """The command line of this file."""
    parser = argparse.ArgumentParser(description="Serves a judge of videos over HTTP, for rewardkit's reward `remote`.")
    parser.add_argument("judge", help="FILE.py:FUNCTION")
    parser.add_argument("--host", default=HOST, help="default %(default)s: this machine only")
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


def _in_words(error: BaseException) -> str:
    line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
