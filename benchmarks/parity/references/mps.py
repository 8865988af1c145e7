"""Scores of the official MPS, as its README calls it, for a tiny random model in float32.

    .environments/imagereward/bin/python references/mps.py

One prompt at a time. No token of a random model falls under the threshold of the official forward, so there is a second
part, `head`: the same forward on features that are given instead of computed. It also shows that the official score
depends on the other prompts of its batch.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import golden
import hugging_face_clip
import openai_clip
import torch
from material import PROMPTS, pictures
from transformers import CLIPImageProcessor

TINY = {
    "embed_dim": 64,
    "quick_gelu": False,
    "vision_cfg": {"image_size": 224, "layers": 3, "width": 80, "head_width": 20, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}
CROSS = {"layer_num": 2, "heads": 4}
CONDITION = (
    "light, color, clarity, tone, style, ambiance, artistry, shape, face, hair, hands, limbs, structure, instance, "
    "texture, quantity, attributes, position, number, location, word, things."
)
FEATURES = {"gain": 8.0, "layout": {"text": [2, 77, 64], "end": [2, 64], "condition": [77, 64], "image": [10, 64]}}
RAMP = "text[b, i] is multiplied by (1, 9)[b] * (i / 76) ** 2"


@torch.no_grad()
def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model, made = build(Path(folder))
        tokenizer = hugging_face_clip.tokenizer(Path(folder))
    processor = CLIPImageProcessor()
    pixels = {
        name: processor(picture.convert("RGB"), return_tensors="pt")["pixel_values"]
        for name, picture in pictures().items()
    }

    def tokens(texts: tuple[str, ...]) -> torch.Tensor:
        settings = {"max_length": 77, "padding": "max_length", "truncation": True, "return_tensors": "pt"}
        return tokenizer(list(texts), **settings).input_ids

    def score(image: torch.Tensor, prompts: tuple[str, ...]) -> list[float]:
        both = image.repeat(2 * len(prompts), 1, 1, 1)  # it compares two pictures a prompt; here they are the same
        return similarities(model, tokens(prompts), both, tokens((CONDITION,) * len(prompts)))

    with mock.patch.object(torch.Tensor, "half", lambda tensor: tensor):
        golden.write(
            "mps",
            "CLIPModel.forward of trainer/models/clip_model.py",
            packages=["transformers", "tokenizers", "einops"],
            sources=["MPS"],
            architecture={**TINY, "cross_model": CROSS},
            files={"checkpoint": made},
            scores={name: [score(image, (prompt,))[0] for prompt in PROMPTS] for name, image in pixels.items()},
            scores_in_batch_of_two={name: score(image, PROMPTS[:2]) for name, image in pixels.items()},
            head={"features": FEATURES, "ramp": RAMP, **score_features(model)},
        )


def similarities(model: Any, *inputs: Any) -> list[float]:
    """What the README makes of the official forward: a score of the first picture for each prompt."""
    text, image, _ = model(*inputs)
    text, image = text / text.norm(dim=-1, keepdim=True), image / image.norm(dim=-1, keepdim=True)
    return golden.rows(model.logit_scale.exp() * torch.diag(torch.einsum("bd,cd->bc", text, image)))


def score_features(model: Any) -> dict[str, list[float]]:
    """Scores of two texts for the same picture, each alone and both in one batch, from features instead of towers."""
    made = golden.tensors(FEATURES)
    text = made["text"] * torch.tensor([1.0, 9.0])[:, None, None] * (torch.arange(77)[:, None] / 76) ** 2

    def score(rows: slice) -> list[float]:
        said, count = (text[rows], made["end"][rows]), len(text[rows])
        return similarities(
            model, said, made["image"].repeat(2 * count, 1, 1), (made["condition"].repeat(count, 1, 1), 0)
        )

    with mock.patch.multiple(model.model, get_text_features=tuple, get_image_features=torch.Tensor.float):
        return {
            "scores": [*score(slice(0, 1)), *score(slice(1, 2))],
            "scores_in_batch_of_two": score(slice(0, 2)),
        }


def build(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The official module with fewer and narrower layers, and how its weights are made."""
    sys.path.insert(0, str(openai_clip.source("MPS")))
    from trainer.models import clip_model

    hugging_face_clip.write(folder, TINY)
    cross_model = clip_model.Cross_model
    clip_model.Cross_model = lambda **_: cross_model(dim=TINY["embed_dim"], **CROSS)
    model = clip_model.CLIPModel(str(folder))
    made = golden.file(model.state_dict())
    model.load_state_dict(golden.tensors(made))
    return model.eval(), made


if __name__ == "__main__":
    main()
