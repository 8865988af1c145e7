"""A judge in another process, asked over HTTP."""

from __future__ import annotations

import io
import json
import math
import re
import socket
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, TypeVar
from urllib.parse import urlsplit

import torch
from jaxtyping import Float, Shaped
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from rewardkit.errors import BadInputError, RewardFailedError, UsageError, first_line
from rewardkit.pixels import as_float
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.gradient import refuse_gradient
from rewardkit.rewards.interface import TemporalReward
from rewardkit.rewards.preprocessing import as_bytes
from rewardkit.rewards.prompts import paired
from rewardkit.serving.scorer_server import LARGEST_BODY, PROTOCOL, TOKEN, BadTokenError, PunctualReader, read_token

LARGEST_ANSWER = 2**20  # bytes; a thousand scores are 25 kB
LARGEST_SCORE = torch.finfo(torch.float32).max
HOW_TO_START = "start a judge with `rewardkit serve my_judge.py:score`"

KindT = TypeVar("KindT")


class RemoteReward(TemporalReward):
    """What a judge in another process says of the video.

    For judges that need a Python environment of their own: `rewardkit serve`, or the file `scorer_server.py` alone,
    runs there and this asks it. Pixels travel as uint8: floats are rounded. There is no gradient.

    Args:
        url: where the judge answers, `http://127.0.0.1:8765`. No proxy is used.
        timeout: seconds that a judge has for an answer; after them it counts as lost.

    What the environment variable REWARDKIT_TOKEN holds is sent along, to this address only, and written nowhere.

    Raises:
        UsageError: no judge answers there, it speaks another protocol, or it wants another token.

    Source: the protocol is ours, docs/how-to/judge-in-another-process.md.
    """

    takes_bytes = True
    card = RewardCard(
        name="remote",
        summary="what a judge in another process says",
        source="the judge's own, see its card",
        code_licence="Apache-2.0",
        weights_licence="the judge's own",
        score_range=(None, None),
        unit="the judge's own",
        differentiable=False,
        video_level=True,
    )

    def __init__(self, url: str = "", timeout: float = 600.0) -> None:
        super().__init__()
        if not url:
            raise UsageError(f"remote needs an address: write remote[url=http://127.0.0.1:8765], and {HOW_TO_START}")
        self._server = _Server(url, timeout)
        try:
            said = self._server.ask("GET", "/card")
        except RewardFailedError as error:
            raise UsageError(f"no judge to ask: {error}") from None
        if said.pop("protocol", None) != PROTOCOL:
            raise UsageError(f"{url} does not speak protocol {PROTOCOL}: {HOW_TO_START} of this version of rewardkit")
        self.loaded_from = _read(dict[str, str], said.pop("weights_sha256", {}), url)
        self.card = _card(said, url)

    def forward(
        self, video: Shaped[Tensor, "batch frame 3 height width"], prompts: Sequence[str] | None = None
    ) -> Float[Tensor, " batch"]:
        """One score a video, as float32 or float64 like the video; all videos go in one request.

        Raises:
            BadInputError: the pixels ask for a gradient, are no video or too many, or prompts are missing.
            RewardFailedError: the judge failed, cannot be reached, or gave something else than one number a video.
        """
        name = self.card.name
        refuse_gradient(name, video)
        if video.ndim != 5 or video.shape[2] != 3:
            raise BadInputError(
                f"{name} needs video of shape (batch, frame, 3, height, width): got {tuple(video.shape)}"
            )
        request = {"protocol": PROTOCOL, "videos": [_packed(one) for one in video], "prompts": None}
        if self.card.needs_prompt:
            request["prompts"] = list(paired(name, prompts, video))
        body = json.dumps(request).encode()
        if len(body) > LARGEST_BODY:
            raise BadInputError(
                f"{name} takes at most {LARGEST_BODY} bytes a request: {len(video)} videos of {video.shape[1]} frames "
                f"make {len(body)}; give it fewer frames or smaller batches"
            )
        scores = self._server.ask("POST", "/score", body).get("scores")
        if not isinstance(scores, list) or len(scores) != len(video) or not all(map(_is_number, scores)):
            got = repr(scores)[:200]
            raise RewardFailedError(f"{name} must give {len(video)} finite numbers, one a video: it gave {got}")
        dtype = torch.float64 if video.dtype == torch.float64 else torch.float32
        return torch.tensor(scores, dtype=dtype, device=video.device)


class _Server:
    """A place where a judge answers."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url = url.rstrip("/")
        try:
            parts = urlsplit(self.url)
            self._where = (parts.hostname or "", parts.port)
        except ValueError as error:
            raise UsageError(f"remote cannot read the address {url!r}: {error}") from None
        if parts.username is not None or parts.password is not None:
            raise UsageError(
                f"remote takes no name or password in an address, which goes into rows: set {TOKEN} instead"
            )
        plain = parts.path.isascii() and not parts.query and not parts.fragment
        if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
            raise UsageError(f"remote needs an address such as http://127.0.0.1:8765: got {url!r}")
        if not 0 < timeout < math.inf:
            raise UsageError(f"remote needs a timeout in seconds, above 0: got {timeout}")
        self._timeout = timeout
        self._connection = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._path = parts.path

    def ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """The JSON object that the server answers with.

        Raises:
            RewardFailedError: no answer, no JSON object, or an error.
            UsageError: REWARDKIT_TOKEN does not do.
        """
        try:
            token = read_token()  # each time, so that no copy of the reward carries it
        except BadTokenError as error:
            raise UsageError(f"remote cannot ask {self.url}: {error}") from None
        status, text = self._exchange(method, path, body, token)
        if status == 401:
            here = "it does not take the one that is set here" if token else "none is set here"
            raise RewardFailedError(f"{self.url} asks for the {TOKEN} that it was started with: {here}")
        if 300 <= status < 400:
            raise RewardFailedError(
                f"{self.url} sends elsewhere ({status}), where remote does not follow: give that address"
            )
        if len(text) > LARGEST_ANSWER:
            raise RewardFailedError(f"{self.url} answers with more than {LARGEST_ANSWER} bytes")
        try:
            answer: object = json.loads(text)
        except (ValueError, RecursionError):
            raise RewardFailedError(f"{self.url} does not answer in JSON") from None
        if not isinstance(answer, dict):
            raise RewardFailedError(f"{self.url} does not answer with a JSON object")
        if status != 200 or "error" in answer:
            sentence = " ".join(str(answer.get("error", "it gave no reason")).split())[:500]
            raise RewardFailedError(f"{self.url} answers {status}: {sentence}")
        return answer

    def _exchange(self, method: str, path: str, body: bytes | None, token: str | None) -> tuple[int, bytes]:
        """A status and what came with it, of at most a byte more than LARGEST_ANSWER."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        connection = self._connection(*self._where, timeout=self._timeout)
        connection.response_class = _PunctualResponse
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused half-way, with a reason that can be read
                connection.request(method, self._path + path, body, headers)
            response = connection.getresponse()
            text = response.read(LARGEST_ANSWER + 1)
        except TimeoutError:
            raise RewardFailedError(f"{self.url} did not answer within {self._timeout:g} seconds") from None
        except (OSError, HTTPException) as error:
            said = f"{type(error).__name__}: {first_line(error)}"
            raise RewardFailedError(f"{self.url} does not answer: {said}; {HOW_TO_START}") from None
        finally:
            connection.close()
        # a server that repeats what it was sent must not bring the token into a row
        return response.status, text.replace(token.encode(), b"...") if token else text


class _PunctualResponse(HTTPResponse):
    """An answer that must be complete within the time-out of its connection, however slowly it drips."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(PunctualReader(sock, sock.gettimeout() or 0.0))


def _card(said: dict[str, Any], url: str) -> RewardCard:
    name = said.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(f"the judge at {url} needs a name of letters, digits, dots and dashes: got {name!r}")
    summary = f"{name}: {said.get('summary', 'a judge in another process')}"
    ours = {"name": "remote", "summary": summary, "differentiable": False, "video_level": True}
    return _read(RewardCard, {**said, **ours}, url)


def _read(kind: type[KindT], said: object, url: str) -> KindT:
    try:
        return TypeAdapter(kind).validate_python(said)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(place) for place in first["loc"])
        raise UsageError(f"the card of the judge at {url} cannot be read: {where}: {first['msg']}") from None


def _packed(video: Shaped[Tensor, "frame 3 height width"]) -> dict[str, object]:
    pixels = video if video.dtype == torch.uint8 else as_bytes(as_float(video))
    pixels = pixels.permute(0, 2, 3, 1).contiguous().cpu()
    return {"shape": list(pixels.shape), "frames": b64encode(pixels.numpy().tobytes()).decode()}


def _is_number(score: object) -> bool:
    return isinstance(score, int | float) and not isinstance(score, bool) and abs(score) <= LARGEST_SCORE
