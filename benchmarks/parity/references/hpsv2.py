"""Scores of the official hpsv2 package, for a random ViT-H-14: tiny, or of full size with --full.

    .environments/hpsv2/bin/python references/hpsv2.py [--full]

HPSv2 and HPSv2.1 are the same code with other weights.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import golden
from material import PROMPTS, pictures
from PIL import Image

TINY = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 224, "layers": 3, "width": 80, "head_width": 20, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}
FULL_PICTURES, FULL_PROMPTS = ("wide", "tall"), PROMPTS[:2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="986 million parameters: 9 GB of memory")
    full = parser.parse_args().full
    sys.path.remove(str(Path(__file__).resolve().parent))  # this file hides the package of its name
    mend_package()
    model = build(full)
    made = golden.file(model.state_dict(), top="state_dict", gain=1.0)
    prompts, shown = (FULL_PROMPTS, FULL_PICTURES) if full else (PROMPTS, tuple(pictures()))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = golden.save(made, Path(folder) / "HPS_v2_compressed.pt")
        scores, errors = score(checkpoint, {name: pictures()[name] for name in shown}, prompts, full)
    golden.write(
        "hpsv2",
        "hpsv2.img_score.score",
        packages=["hpsv2"],
        architecture=architecture(),
        files={"checkpoint": made},
        scores=scores,
        errors=errors,
        full=full,
    )


def mend_package() -> None:
    """Puts the vocabulary where the wheel forgot it: tgxs002/HPSv2, issue 30."""
    file = "bpe_simple_vocab_16e6.txt.gz"
    place = _package("hpsv2") / "src" / "open_clip" / file
    if not place.exists():
        shutil.copy(_package("open_clip") / file, place)


def build(full: bool) -> Any:
    """The official model, without the weights of laion that it starts from elsewhere, which a checkpoint replaces."""
    from hpsv2 import img_score
    from hpsv2.src.open_clip import factory

    if not full:
        factory._MODEL_CONFIGS["ViT-H-14"] = TINY
    create = img_score.create_model_and_transforms
    img_score.create_model_and_transforms = lambda name, tag, **settings: create(name, None, **settings)
    img_score.initialize_model()
    return img_score.model_dict["model"]


def architecture() -> dict[str, Any]:
    from hpsv2.src.open_clip import get_model_config

    return get_model_config("ViT-H-14")


def score(
    checkpoint: Path, shown: dict[str, Image.Image], prompts: tuple[str, ...], full: bool
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """The official score of each picture for each prompt, and why there is none for some."""
    from hpsv2.img_score import score as official

    of = partial(official, cp=str(checkpoint))
    errors = {}
    if not full:
        unpadded = shown.pop("longest_224")
        shown["longest_224_padded"] = _padded(unpadded)
        for name, picture in (("longest_224", unpadded), ("rgba", shown["square"].convert("RGBA"))):
            try:
                of([picture], prompts[0])
            except RuntimeError as error:
                errors[name] = f"{type(error).__name__}: {error}"
    columns = [of(list(shown.values()), prompt) for prompt in prompts]
    return {name: golden.rows(row) for name, row in zip(shown, zip(*columns, strict=True), strict=True)}, errors


def _padded(picture: Image.Image) -> Image.Image:
    """224 by 224 with black around: what the official code leaves out where the longest side has 224 already."""
    square = Image.new("RGB", (224, 224))
    square.paste(picture, ((224 - picture.width) // 2, (224 - picture.height) // 2))
    return square


def _package(name: str) -> Path:
    """Where a package lies; importing it may fail before it is mended."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"no {name} in this environment: make it with build.py")
    return Path(found.origin).parent


if __name__ == "__main__":
    main()
