"""Scores of the official CLIP-IQA, for a tiny random ResNet of OpenAI's clip.

    .environments/imagereward/bin/python references/clip_iqa.py

IceClear/CLIP-IQA has its own copy of clip, whose attention pooling leaves positions out. Its pipeline needs mmcv; only
the part that gives scores is run, on pixels between 0 and 1 less CLIP's mean, over its deviation, at their own size.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import golden
import openai_clip
import torch
from material import pictures
from torch import nn
from torchvision.transforms import Compose, Normalize, ToTensor

COMPONENTS = "CLIP-IQA/mmedit/models/components"
PREDICTOR = "CLIP-IQA/mmedit/models/backbones/sr_backbones/coopclipiqa.py"
TINY = {
    "embed_dim": 64,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": [1, 2, 1, 2], "width": 8, "patch_size": None},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 2},
}
GAIN = 3.0
PROMPTS = ("Good photo.", "Bad photo.")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def main() -> None:
    sys.path.insert(0, str(openai_clip.source(COMPONENTS)))
    import clip

    openai_clip.keep_precision(clip)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, made = openai_clip.save(clip, TINY, Path(folder) / "RN50.pt", GAIN)
        predictor = official(clip.clip, checkpoint)
    pixels = Compose([ToTensor(), Normalize(MEAN, STD)])
    scores = {}
    for name, picture in pictures().items():
        with torch.no_grad():
            scores[name] = predictor(pixels(picture.convert("RGB"))[None])[0].item()
    golden.write(
        "clip_iqa",
        "CLIPIQAFixed([['Good photo.', 'Bad photo.']])",
        packages=[],
        sources=["CLIP-IQA"],
        architecture=TINY,
        files={"checkpoint": made},
        scores=scores,
    )


def official(clip: Any, checkpoint: Path) -> Any:
    """The predictor, its weights from a file of ours instead of OpenAI's."""
    clip._download = lambda url, root: str(checkpoint)
    registry = SimpleNamespace(register_module=lambda: lambda kind: kind)
    given = {"nn": nn, "torch": torch, "os": os, "clip": clip, "BACKBONES": registry}
    code = openai_clip.source(PREDICTOR).read_text()
    defined = openai_clip.definitions(code, ["load_clip_to_cpu", "CLIPIQAFixed"], given)
    return defined["CLIPIQAFixed"]([list(PROMPTS)], backbone_name="RN50").eval()


if __name__ == "__main__":
    main()
