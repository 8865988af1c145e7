"""Scores of LAION's two aesthetic predictors, on a tiny random model of OpenAI's clip.

    .environments/imagereward/bin/python references/aesthetic.py

The heads are of official size: both are fixed to embeddings of 768. Their code stands in scripts that also fetch
weights; here only its definitions are run.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import clip
import golden
import numpy as np
import openai_clip
import torch
from material import pictures
from torch import nn

V1_GAIN, V2_GAIN = 40.0, 2.0  # large enough for scores to differ: embeddings have length 1


def main() -> None:
    openai_clip.keep_precision(clip)
    sizes = openai_clip.tiny(patch=14, width=768)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, backbone = openai_clip.save(clip, sizes, Path(folder) / "ViT-L-14.pt")
        tower, preprocess = clip.load(str(checkpoint), device="cpu")
        with torch.no_grad():
            seen = {name: tower.encode_image(preprocess(picture)[None]) for name, picture in pictures().items()}
        for name, source, predictor in (
            ("aesthetic_v1", "aesthetic-predictor", version_1),
            ("aesthetic_v2", "improved-aesthetic-predictor", version_2),
        ):
            head, reference, score = predictor(Path(folder))
            golden.write(
                name,
                reference,
                packages=["openai-clip"],
                sources=[source],
                architecture=sizes,
                files={"checkpoint": head, "backbone": backbone},
                scores={picture: score(embedding) for picture, embedding in seen.items()},
            )


def version_1(folder: Path) -> tuple[dict[str, Any], str, Callable[[torch.Tensor], float]]:
    """LAION-AI/aesthetic-predictor: its head as its own function loads it, and how its notebook calls it."""
    notebook = json.loads(openai_clip.source("aesthetic-predictor/asthetics_predictor.ipynb").read_text())
    code = next(text for cell in notebook["cells"] if "def get_aesthetic_model" in (text := "".join(cell["source"])))
    given = {"nn": nn, "torch": torch, "os": os, "expanduser": lambda _: str(folder)}
    get = openai_clip.definitions(code, ["get_aesthetic_model"], given)["get_aesthetic_model"]
    made = golden.file(nn.Linear(768, 1).state_dict(), gain=V1_GAIN)
    cache = folder / ".cache" / "emb_reader"
    cache.mkdir(parents=True)
    golden.save(made, cache / "sa_0_4_vit_l_14_linear.pth")
    head = get(clip_model="vit_l_14")

    def score(embedding: torch.Tensor) -> float:
        with torch.no_grad():
            return head(embedding / embedding.norm(dim=-1, keepdim=True)).item()

    return made, "get_aesthetic_model(...)(clip.encode_image(...) normalised)", score


def version_2(folder: Path) -> tuple[dict[str, Any], str, Callable[[torch.Tensor], float]]:
    """christophschuhmann/improved-aesthetic-predictor: head and normalisation of simple_inference.py."""
    code = openai_clip.source("improved-aesthetic-predictor/simple_inference.py").read_text()
    given = {"nn": nn, "torch": torch, "np": np, "pl": SimpleNamespace(LightningModule=nn.Module)}
    official = openai_clip.definitions(code, ["MLP", "normalized"], given)
    head = official["MLP"](768)
    made = golden.file(head.state_dict(), gain=V2_GAIN)
    checkpoint = golden.save(made, folder / "sac+logos+ava1-l14-linearMSE.pth")
    head.load_state_dict(torch.load(checkpoint))
    head.eval()

    def score(embedding: torch.Tensor) -> float:
        with torch.no_grad():
            return head(torch.from_numpy(official["normalized"](embedding.numpy()))).item()

    return made, "MLP(normalized(clip.encode_image(...)))", score


if __name__ == "__main__":
    main()
