"""Films as trainers hand them over: tensors, arrays, pictures, paths; and their scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from PIL.Image import Image
from torch import Tensor

from rewardkit.errors import BadInputError
from rewardkit.reducers.finite import check_finite
from rewardkit.reducers.plan import FramePlan
from rewardkit.reducers.reward import Reward
from rewardkit.video import open_video

Film = Shaped[Tensor, "frame 3 height width"] | Path
"""A whole film: pixels, or a file of which only the planned frames are read."""

FILMS_AT_ONCE = 8


def as_films(given: object) -> list[Film]:
    """The films or pictures of a batch, one an item; a picture is a film of one frame.

    Args:
        given: one tensor or array with the batch as its first axis; or a list of tensors, arrays, pictures of Pillow,
            lists of such pictures, and paths. Tensors are channels first, (..., 3, height, width); arrays channels
            last, (..., height, width, 3), or first where they can be nothing else.

    Raises:
        BadInputError: it is something else.
    """
    if isinstance(given, Tensor | np.ndarray):
        items: Iterable[object] = given
        if given.ndim not in (4, 5):
            raise BadInputError(
                f"needs a batch of pictures (4 axes) or of films (5 axes): got shape {tuple(given.shape)}"
            )
    elif isinstance(given, Sequence) and not isinstance(given, str | bytes):
        items = given
    else:
        raise BadInputError(f"needs a batch of films as one tensor, one array or a list: got {type(given).__name__}")
    return [_film(item, number) for number, item in enumerate(items)]


def _film(item: object, number: int) -> Film:
    if isinstance(item, str | Path):
        return Path(item)
    if isinstance(item, Image):
        item = np.asarray(item.convert("RGB"))
    if isinstance(item, Sequence) and item and all(isinstance(frame, Image) for frame in item):
        item = np.stack([np.asarray(frame.convert("RGB")) for frame in item])
    if isinstance(item, np.ndarray):
        item = _channels_first(torch.from_numpy(np.require(item, requirements=["C", "W"])))
    if isinstance(item, Tensor) and item.ndim == 3:
        item = item[None]
    if not isinstance(item, Tensor) or item.ndim != 4 or item.shape[1] != 3:
        got = f"shape {tuple(item.shape)}" if isinstance(item, Tensor) else type(item).__name__
        raise BadInputError(
            f"film {number + 1} must be a path, pictures of Pillow, a tensor (frame, 3, height, width) or an array "
            f"(frame, height, width, 3): got {got}"
        )
    return item


def _channels_first(pixels: Tensor) -> Tensor:
    if pixels.ndim in (3, 4) and pixels.shape[-1] == 3:
        return pixels.movedim(-1, -3)
    return pixels


@torch.no_grad()
def score_films(
    reward: Reward, films: Sequence[Film], prompts: Sequence[str] | None, films_at_once: int = FILMS_AT_ONCE
) -> tuple[Float[Tensor, " film"], Mapping[str, Float[Tensor, " film"]]]:
    """A score a film, and those of each part of a sum by its name, in main memory.

    Of files only planned frames are read. Films may differ in length and size: neighbours that are alike share a batch.

    Raises:
        BadInputError: a film or prompt cannot be used.
        RewardFailedError: the reward gave something that is not a finite number.
    """
    if prompts is not None and len(prompts) != len(films):
        raise BadInputError(f"{reward.name} needs one prompt per film: got {len(prompts)} prompts, {len(films)} films")
    scores: list[Tensor] = []
    parts: dict[str, list[Tensor]] = {}
    for start, plans, frames in _batches(reward, films, films_at_once):
        told = None if prompts is None else list(prompts[start : start + len(plans)])
        detail = reward.detail(torch.stack(frames), told, plan=FramePlan.stack(plans)).cpu()
        scores.append(detail.score)
        for name, part in detail.parts.items():
            parts.setdefault(name, []).append(part.score)
    found = torch.cat(scores) if scores else torch.empty(0)
    check_finite(reward.name, "score", found, prompts)
    return found, {name: torch.cat(values) for name, values in parts.items()}


def _batches(
    reward: Reward, films: Sequence[Film], most: int
) -> Iterator[tuple[int, list[FramePlan], list[Shaped[Tensor, "planned 3 height width"]]]]:
    """The planned frames of neighbouring films alike, with the number of the first."""
    start, plans, frames = 0, list[FramePlan](), list[Tensor]()
    for number, film in enumerate(films):
        plan, planned = _planned(reward, film)
        alike = plans and plans[0].shape == plan.shape and frames[0].shape == planned.shape
        if plans and not (alike and frames[0].dtype == planned.dtype and len(plans) < most):
            yield start, plans, frames
            start, plans, frames = number, [], []
        plans.append(plan)
        frames.append(planned)
    if plans:
        yield start, plans, frames


def _planned(reward: Reward, film: Film) -> tuple[FramePlan, Tensor]:
    if isinstance(film, Tensor):
        plan = reward.plan(len(film))
        return plan, plan.take(film[None])[0]
    chosen: list[FramePlan] = []

    def choose(count: int) -> list[int]:
        chosen.append(reward.plan(count))
        return chosen[-1].index[0].tolist()

    with open_video(film) as video:
        frames = video.read_planned(choose)
    return chosen[-1], frames
