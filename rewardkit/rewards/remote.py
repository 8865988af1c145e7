"""A judge in another process, asked over HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Shaped
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from rewardkit.errors import BadInputError, RewardFailedError, UsageError
from rewardkit.pixels import as_float
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.gradient import refuse_gradient
from rewardkit.rewards.interface import TemporalReward
from rewardkit.rewards.preprocessing import as_bytes
from rewardkit.rewards.prompts import paired
from rewardkit.serving.scorer_client import HOW_TO_START, AddressError, ScorerError, Server
from rewardkit.serving.scorer_server import LARGEST_BODY

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
        try:
            self._server = Server(url, timeout)
            said = self._server.card()
        except AddressError as error:
            raise UsageError(f"remote {error}") from None
        except ScorerError as error:
            raise UsageError(f"no judge to ask: {error}") from None
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
        told = list(paired(name, prompts, video)) if self.card.needs_prompt else None
        size = 4 * video[0].numel() // 3 * len(video)  # of base64
        if size > LARGEST_BODY:
            raise BadInputError(
                f"{name} takes at most {LARGEST_BODY} bytes a request: {len(video)} videos of {video.shape[1]} frames "
                f"make {size}; give it fewer frames or smaller batches"
            )
        try:
            scores = self._server.scores(map(_packed, video), told)
        except ScorerError as error:
            raise RewardFailedError(str(error)) from None
        dtype = torch.float64 if video.dtype == torch.float64 else torch.float32
        return torch.tensor(scores, dtype=dtype, device=video.device)


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


def _packed(video: Shaped[Tensor, "frame 3 height width"]) -> tuple[list[int], bytes]:
    pixels = video if video.dtype == torch.uint8 else as_bytes(as_float(video))
    pixels = pixels.permute(0, 2, 3, 1).contiguous().cpu()
    return list(pixels.shape), pixels.numpy().tobytes()
