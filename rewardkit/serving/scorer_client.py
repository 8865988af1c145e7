"""Asks a server of scores over HTTP. One file, Python 3.8 or later, standard library only: it needs no rewardkit.

    reward = Scorer("http://127.0.0.1:8765")    # where `rewardkit serve` runs
    scores = reward(videos, prompts)            # one number a video, higher is better

For trainers whose environment conflicts with rewardkit's: copy this file there. `reward.as_ddpo()` is what
ddpo-pytorch, flow_grpo and DanceGRPO call. There is no gradient. What the environment variable REWARDKIT_TOKEN holds
is sent along. rewardkit's docs/how-to/judge-in-another-process.md describes the protocol.
"""

from __future__ import annotations

import json
import math
import os
import re
import socket
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Event, Timer
from typing import Any
from urllib.parse import urlsplit

PROTOCOL = 1
TOKEN = "REWARDKIT_TOKEN"
LARGEST_ANSWER = 2**20  # bytes; a thousand scores are 25 kB
BYTES_AT_ONCE = 2**28
"""Of pixels in a request, and one video more; a server takes 2**30 of base64."""
LARGEST_SCORE = 3.4028234663852886e38  # of float32
HOW_TO_START = "start a judge with `rewardkit serve my_judge.py:score`"


class AddressError(ValueError):
    """The address or time-out of a server makes no sense."""


class ScorerError(RuntimeError):
    """A server has no scores to give: it failed, cannot be reached, or refuses."""


class Scorer:
    """What a server says of videos, as a local reward would.

    Args:
        url: where it answers, `http://127.0.0.1:8765`. No proxy is used.
        timeout: seconds for an answer; after them it counts as lost.

    Raises:
        AddressError: the address or the time-out makes no sense.
        ScorerError: nobody answers there, or not in this protocol.
    """

    def __init__(self, url: str, timeout: float = 600.0) -> None:
        self._server = Server(url, timeout)
        self.card = self._server.card()

    def __call__(self, videos: Any, prompts: Sequence[str] | None = None) -> list[float]:
        """One number a video.

        Args:
            videos: tensors (batch, frame, 3, height, width), or (batch, 3, height, width) of pictures; arrays with
                channels last; or a list with such an item a video. RGB, uint8 or float in [0, 1].
            prompts: one a video.

        Raises:
            ValueError: pixels or prompts cannot be used.
            ScorerError: the server has no scores to give.
        """
        if prompts is not None and (isinstance(prompts, str) or len(prompts) != len(videos)):
            raise ValueError(f"needs a list of prompts, one a video: got {len(prompts)} for {len(videos)} videos")
        scores: list[float] = []
        some: list[tuple[list[int], bytes]] = []
        for number, video in enumerate(videos):
            some.append(pixels_of(video))
            if sum(len(pixels) for _, pixels in some) >= BYTES_AT_ONCE or number == len(videos) - 1:
                told = None if prompts is None else list(prompts[len(scores) : len(scores) + len(some)])
                scores += self._server.scores(some, told)
                some = []
        return scores

    def as_ddpo(self) -> Callable[..., tuple[Any, dict[str, Any]]]:
        """A function `(images or videos, prompts, metadata) -> (scores, info)`; scores are an array of numpy."""
        import numpy

        def score(
            videos: Any, prompts: Sequence[str] | None = None, metadata: Any = None
        ) -> tuple[Any, dict[str, Any]]:
            return numpy.array(self(videos, prompts), dtype=numpy.float32), {}

        return score


class Server:
    """A place where a judge answers.

    Raises:
        AddressError: no server can be there.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url.rstrip("/")
        try:
            parts = urlsplit(self.url)
            self._where = (parts.hostname or "", parts.port)
        except ValueError as error:
            raise AddressError(f"cannot read the address {url!r}: {error}") from None
        if parts.username is not None or parts.password is not None:
            raise AddressError(f"takes no name or password in an address, which may be recorded: set {TOKEN} instead")
        plain = parts.path.isascii() and not parts.query and not parts.fragment
        if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
            raise AddressError(f"needs an address such as http://127.0.0.1:8765: got {url!r}")
        if not 0 < timeout < math.inf:
            raise AddressError(f"needs a timeout in seconds, above 0: got {timeout}")
        self._timeout = timeout
        self._connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._path = parts.path

    def card(self) -> dict[str, Any]:
        """What the judge says of itself.

        Raises:
            ScorerError: nobody answers there, or not in this protocol.
        """
        said = self.ask("GET", "/card")
        if said.pop("protocol", None) != PROTOCOL:
            raise ScorerError(
                f"{self.url} does not speak protocol {PROTOCOL}: {HOW_TO_START} of this version of rewardkit"
            )
        return said

    def scores(self, videos: Iterable[tuple[list[int], bytes]], prompts: list[str] | None) -> list[float]:
        """A finite number a video, of which shape [frames, height, width, 3] and bytes are given.

        Raises:
            ScorerError: the server has no scores to give.
        """
        packed = [{"shape": shape, "frames": b64encode(pixels).decode()} for shape, pixels in videos]
        request = {"protocol": PROTOCOL, "videos": packed, "prompts": prompts}
        scores = self.ask("POST", "/score", json.dumps(request).encode()).get("scores")
        if not isinstance(scores, list) or len(scores) != len(packed) or not all(map(_is_number, scores)):
            raise ScorerError(
                f"{self.url} must give {len(packed)} finite numbers, one a video: it gave {repr(scores)[:200]}"
            )
        return [float(score) for score in scores]

    def ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """The JSON object that the server answers with.

        Raises:
            ScorerError: no answer, no JSON object, or an error.
        """
        token = os.environ.get(TOKEN)  # each time, so that no copy of this carries it
        status, text = self._exchange(method, path, body, token)
        if status == 401:
            here = "it does not take the one that is set here" if token else "none is set here"
            raise ScorerError(f"{self.url} asks for the {TOKEN} that it was started with: {here}")
        if 300 <= status < 400:
            raise ScorerError(f"{self.url} sends elsewhere ({status}), where nobody follows: give that address")
        if len(text) > LARGEST_ANSWER:
            raise ScorerError(f"{self.url} answers with more than {LARGEST_ANSWER} bytes")
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            raise ScorerError(f"{self.url} does not answer in JSON") from None
        if not isinstance(answer, dict):
            raise ScorerError(f"{self.url} does not answer with a JSON object")
        if status != 200 or "error" in answer:
            sentence = " ".join(str(answer.get("error", "it gave no reason")).split())[:500]
            raise ScorerError(f"{self.url} answers {status}: {sentence}")
        return answer

    def _exchange(self, method: str, path: str, body: bytes | None, token: str | None) -> tuple[int, bytes]:
        """A status and what came with it, of at most a byte more than LARGEST_ANSWER, within the time-out."""
        if token is not None and not re.fullmatch("[!-~]+", token):
            raise ScorerError(f"{TOKEN} can only be sent if it is visible ASCII characters without spaces")
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        connection = self._connection(*self._where, timeout=self._timeout)
        late = Event()
        try:
            connection.connect()
            # bytes that drip in one by one buy no more time
            timer = Timer(self._timeout, _hang_up, (connection.sock, late))
            timer.daemon = True
            timer.start()
            try:
                with suppress(
                    BrokenPipeError, ConnectionResetError
                ):  # refused half-way, with a reason that can be read
                    connection.request(method, self._path + path, body, headers)
                response = connection.getresponse()
                text = response.read(LARGEST_ANSWER + 1)
            finally:
                timer.cancel()
        except (OSError, HTTPException) as error:
            if not (late.is_set() or isinstance(error, socket.timeout)):
                said = " ".join(str(error).split())[:300]
                raise ScorerError(
                    f"{self.url} does not answer: {type(error).__name__}: {said}; {HOW_TO_START}"
                ) from None
            late.set()
        finally:
            connection.close()
        if late.is_set():
            raise ScorerError(f"{self.url} did not answer within {self._timeout:g} seconds")
        # a server that repeats what it was sent must not bring the token anywhere
        return response.status, text.replace(token.encode(), b"...") if token else text


def pixels_of(video: Any) -> tuple[list[int], bytes]:
    """Shape [frames, height, width, 3] and bytes of one video, as a tensor or an array.

    Raises:
        ValueError: it has another shape, or floats outside [0, 1].
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(video, torch.Tensor):
        video = video.detach().cpu()
        video = (video.float() if video.is_floating_point() else video).numpy()
        video = video.swapaxes(-3, -2).swapaxes(-2, -1) if video.ndim >= 3 else video
    video = video[None] if video.ndim == 3 else video
    if video.ndim != 4 or video.shape[3] != 3 or 0 in video.shape:
        raise ValueError(f"needs videos of RGB frames, channels first in tensors, last in arrays: got {video.shape}")
    if video.dtype.kind == "f":
        if not (video.min() >= -0.01 and video.max() <= 1.01):  # written so that NaN is refused
            raise ValueError(f"needs pixels in [0, 1] or uint8: got {video.min():.3g} to {video.max():.3g}")
        video = (video.clip(0, 1) * 255).round().astype("uint8")
    if video.dtype.name != "uint8":
        raise ValueError(f"needs pixels in [0, 1] or uint8: got {video.dtype.name}")
    return [int(side) for side in video.shape], video.tobytes()


def _is_number(score: object) -> bool:
    return isinstance(score, (int, float)) and not isinstance(score, bool) and abs(score) <= LARGEST_SCORE


def _hang_up(connection: socket.socket, late: Event) -> None:
    late.set()
    with suppress(OSError):  # it has hung up itself
        connection.shutdown(socket.SHUT_RDWR)
