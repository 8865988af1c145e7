"""Scores of PickScore by transformers 4.30, as its README calls it, for a tiny random CLIP.

.environments/imagereward/bin/python references/pickscore.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import golden
import hugging_face_clip
import torch
from material import PROMPTS, pictures
from transformers import AutoModel, AutoProcessor

TINY = {
    "embed_dim": 48,
    "quick_gelu": False,
    "vision_cfg": {"image_size": 224, "layers": 3, "width": 80, "head_width": 20, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}


@torch.no_grad()
def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = hugging_face_clip.write(Path(folder), TINY)
        model = AutoModel.from_pretrained(folder).eval()
        processor = AutoProcessor.from_pretrained(folder)
    settings = {"padding": True, "truncation": True, "max_length": 77, "return_tensors": "pt"}
    shown = pictures()
    images = model.get_image_features(**processor(images=list(shown.values()), **settings))
    texts = model.get_text_features(**processor(text=list(PROMPTS), **settings))
    images = images / torch.norm(images, dim=-1, keepdim=True)
    texts = texts / torch.norm(texts, dim=-1, keepdim=True)
    scores = model.logit_scale.exp() * (images @ texts.T)
    golden.write(
        "pickscore",
        "exp(logit_scale) * CLIPModel.get_text_features @ CLIPModel.get_image_features, both normalised",
        packages=["transformers", "tokenizers"],
        architecture=TINY,
        files={"checkpoint": made},
        scores={name: golden.rows(row) for name, row in zip(shown, scores, strict=True)},
    )


if __name__ == "__main__":
    main()
