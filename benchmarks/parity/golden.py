"""Golden files: what an official package scored, with the seeded weights it had, and how to get both again.

Needs the standard library and torch: references write these files in the environments of the official packages, our
tests read them in ours.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from material import weights

FOLDER = Path(__file__).resolve().parent
SHARED = ("torch", "torchvision", "numpy", "pillow")


def read(name: str, full: bool = False) -> dict[str, Any]:
    """What `write` wrote: `reference`, `architecture`, `files`, `scores`, `errors`, and where they come from."""
    content: dict[str, Any] = json.loads(_place(name, full).read_text())
    return content


def write(
    name: str,
    reference: str,
    *,
    packages: Sequence[str],
    architecture: Mapping[str, Any],
    files: Mapping[str, Any],
    scores: Mapping[str, Any],
    sources: Sequence[str] = (),
    full: bool = False,
    **more: Any,
) -> None:
    """Leaves `golden/NAME.json`, or `golden/full/NAME.json` for a model of full size.

    Args:
        name: of the file.
        reference: the official call that gave the scores.
        packages: official distributions in it; their versions are recorded, and those of torch and the like.
        architecture: what the model was built with.
        files: checkpoints by name, as `file` gives them.
        scores: for each picture a number, or a list with one for each prompt.
        sources: checkouts in it; their commits are recorded.
        full: whether the model has its full size.
        more: `errors` of the official code by picture, other scores.
    """
    content = {
        "reference": reference,
        "packages": {package: version(package) for package in (*packages, *SHARED)},
        "sources": {source: _commit(source) for source in sources},
        "python": sys.version.split()[0],
        "command": _command(),
        "date": datetime.now(UTC).date().isoformat(),
        "size": "full" if full else "tiny",
        "architecture": architecture,
        "files": files,
        "scores": scores,
        **more,
    }
    place = _place(name, full)
    place.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_shortened(content), indent=1, ensure_ascii=False)
    place.write_text(re.sub(r"\[\s+([^][{}\"]*?)\s+\]", lambda row: f"[{' '.join(row[1].split())}]", text) + "\n")


def file(tensors: Mapping[str, torch.Tensor], top: str | None = None, gain: float = 1.0) -> dict[str, Any]:
    """How a checkpoint is made: the key that holds all tensors, if any; the gain of matrices; names and shapes."""
    return {"top": top, "gain": gain, "layout": {key: list(value.shape) for key, value in tensors.items()}}


def tensors(made: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint described by `file`: the weights of `material`.

    Rotary frequencies excepted: they are what the official code computes, since a loader may compute them too.
    """
    drawn = weights(made["layout"], made["gain"])
    return {key: _frequencies(len(value)) if key.endswith("inv_freq") else value for key, value in drawn.items()}


def save(made: Mapping[str, Any], place: Path) -> Path:
    """The checkpoint described by `file`, written to `place` as the official files are."""
    filled: Any = tensors(made)
    torch.save({made["top"]: filled} if made["top"] else filled, place)
    return place


def rows(scores: Iterable[Any]) -> list[float]:
    """Plain numbers of one picture's scores."""
    return [float(score) for score in scores]


def _frequencies(count: int) -> torch.Tensor:
    """As Kwai-Kolors/MPS@be9027f, trainer/models/cross_modeling.py, has them."""
    return 1.0 / (10000 ** (torch.arange(0, 2 * count, 2).float() / (2 * count)))


def _shortened(content: Any) -> Any:
    """The same with floats of nine digits, enough for float32 to come back exactly."""
    if isinstance(content, float):
        return float(f"{content:.9g}")
    if isinstance(content, Mapping):
        return {key: _shortened(value) for key, value in content.items()}
    return [_shortened(value) for value in content] if isinstance(content, list | tuple) else content


def _place(name: str, full: bool) -> Path:
    return FOLDER / "golden" / ("full" if full else "") / f"{name}.json"


def _command() -> str:
    """The call, as from this folder; of paths of the caller's machine the names alone."""
    script = Path(sys.argv[0]).resolve().relative_to(FOLDER)
    environment = Path(sys.prefix).relative_to(FOLDER)
    return " ".join([f"{environment}/bin/python", str(script), *(Path(argument).name for argument in sys.argv[1:])])


def _commit(source: str) -> str:
    head = subprocess.run(
        ["git", "-C", FOLDER / ".sources" / source, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    )
    return head.stdout.strip()
