"""What makes two rows the same piece of work: one video, one prompt, one reward with its code, weights and settings."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import torch

import rewardkit
from rewardkit import storage
from rewardkit.reducers.normalisation import Normalised
from rewardkit.reducers.reward import Reward
from rewardkit.rewards.interface import FrozenModel
from rewardkit.scoring.prompts import ScoreItem
from rewardkit.scoring.rows import ScoreHeader

LIBRARIES = ("torch", "torchvision", "av", "open_clip_torch", "transformers", "timm", "numpy", "pillow")


def make_header(
    reward: Reward, configuration: Mapping[str, object], *, seed: int, device: str, dtype: str, altered: str = ""
) -> ScoreHeader:
    """What all rows of a run share."""
    models = reward.models()
    weights = {f"{m.card.name}/{file}": sha for m in models for file, sha in m.weights_sha256().items()}
    # by content, not by name: a checkpoint that was moved or renamed is the same
    held = [sorted(model.weights_sha256().values()) or _digest_of_state(model) for model in models]
    code = [[*_code_of(model), weights] for model, weights in zip(models, held, strict=True)]
    scales = [part.state_dict() for part in reward.modules() if isinstance(part, Normalised)]
    learned = [[name, value.item()] for s in scales for name, value in s.items() if value.numel() == 1]
    return ScoreHeader(
        reward=reward.spec,
        fingerprint=_digest([rewardkit.__version__, reward.spec, code, learned, dtype, seed, *filter(None, [altered])]),
        cwd=str(Path.cwd()),
        configuration=dict(configuration),
        versions=versions(),
        weights_sha256=weights,
        device=device,
        dtype=dtype,
        platform=platform.platform(),
        created=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def row_key(item: ScoreItem, fingerprint: str) -> str:
    """The key of a video's row: changes with path, name, size, time of change, prompt and fingerprint."""
    state = list(item.state) or _state_of(item.path)
    return _digest([storage.absolute(item.path), item.name, state, item.prompt, fingerprint])


def versions() -> dict[str, str]:
    """Versions of Python, rewardkit and the libraries that decide scores; those not installed are left out."""
    found = {"python": sys.version.split()[0], "rewardkit": rewardkit.__version__}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def _state_of(path: str) -> list[int | str]:
    """Size and time of change; of a folder of pictures, of all its files together."""
    if storage.is_url(path):
        found = storage.stat(path)
        return list(found.state) if found else []
    try:
        if not os.path.isdir(path):
            state = os.stat(path)
            return [state.st_size, state.st_mtime_ns]
        with os.scandir(path) as files:
            states = [file.stat() for file in files if file.is_file()]
        return [sum(s.st_size for s in states), max((s.st_mtime_ns for s in states), default=0), len(states)]
    except (
        OSError,
        ValueError,
    ):  # gone, unreadable or no path at all: its row will say so, and is made again once that changes
        return []


def _code_of(model: FrozenModel) -> list[str]:
    kind = type(model)
    try:
        source = inspect.getsource(inspect.getmodule(kind) or kind)
    except (OSError, TypeError):  # typed into a console or notebook
        source = ""
    return [kind.__qualname__, hashlib.sha256(source.encode()).hexdigest()]


def _digest_of_state(model: FrozenModel) -> str:
    """Of the weights in memory, for a reward that names no checkpoint."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
