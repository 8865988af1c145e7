"""Scores of two official CLIPScores, for tiny random models of OpenAI's clip.

    .environments/imagereward/bin/python references/clipscore.py

`golden/clipscore_l14.json`: image-reward's, a plain cosine with patches of 14. `golden/clipscore.json`: that of the
paper, 2.5 times what is above zero, with patches of 32 and a prefix to each prompt.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import blip
import clip
import golden
import openai_clip
from material import PROMPTS, pictures


def main() -> None:
    openai_clip.keep_precision(clip)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shown = {}
        for picture, pixels in pictures().items():
            shown[picture] = str(folder / f"{picture}.png")
            pixels.save(shown[picture])
        score_plain(folder, shown)
        score_hessel(folder, shown)


def score_plain(folder: Path, shown: dict[str, str]) -> None:
    sizes = openai_clip.tiny(patch=14, width=96)
    checkpoint, made = openai_clip.save(clip, sizes, folder / "ViT-L-14.pt")
    package, load = blip.image_reward(), clip.load
    clip.load = lambda name, download_root, **settings: load(str(checkpoint), **settings)
    model = package.load_score("CLIP", device="cpu", download_root=str(folder))
    clip.load = load
    golden.write(
        "clipscore_l14",
        'ImageReward.load_score("CLIP").score',
        packages=["image-reward", "openai-clip"],
        architecture=sizes,
        files={"checkpoint": made},
        scores={name: [model.score(prompt, path) for prompt in PROMPTS] for name, path in shown.items()},
    )


def score_hessel(folder: Path, shown: dict[str, str]) -> None:
    sizes = openai_clip.tiny(patch=32, width=72)
    checkpoint, made = openai_clip.save(clip, sizes, folder / "ViT-B-32.pt")
    model, _ = clip.load(str(checkpoint), device="cpu", jit=False)
    official = hessel()
    columns = []
    for prompt in PROMPTS:
        prompts = [prompt] * len(shown)
        columns.append(official.get_clip_score(model.eval(), list(shown.values()), prompts, "cpu")[1])
    golden.write(
        "clipscore",
        "clipscore.get_clip_score",
        packages=["openai-clip"],
        sources=["clipscore"],
        architecture=sizes,
        files={"checkpoint": made},
        scores={name: golden.rows(row) for name, row in zip(shown, zip(*columns, strict=True), strict=True)},
    )


def hessel() -> Any:
    """jmhessel/clipscore, without what it imports for other scores."""
    for unused in ("sklearn", "sklearn.preprocessing", "generation_eval_utils"):
        sys.modules[unused] = MagicMock()
    spec = importlib.util.spec_from_file_location("hessel", openai_clip.source("clipscore/clipscore.py"))
    assert spec is not None
    assert spec.loader is not None
    official: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(official)
    official.extract_all_images = partial(official.extract_all_images, num_workers=0)
    official.extract_all_captions = partial(official.extract_all_captions, num_workers=0)
    return official


if __name__ == "__main__":
    main()
