"""Scores of the official image-reward package, for a random ImageReward: tiny, or of full size with --full.

.environments/imagereward/bin/python references/imagereward.py [--full]
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import blip
import golden
from material import PROMPTS, pictures

FULL_PICTURES, FULL_PROMPTS = ("wide", "tall"), PROMPTS[:2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="447 million parameters: 5 GB of memory")
    full = parser.parse_args().full
    sizes = blip.LARGE if full else blip.TINY
    prompts, shown = (FULL_PROMPTS, FULL_PICTURES) if full else (PROMPTS, tuple(pictures()))
    package = blip.image_reward()
    if not full:
        shrink(sizes)
    with blip.hub(sizes) as folder:
        med_config = str(folder / "med_config.json")
        made = golden.file(package.ImageReward(med_config).state_dict())
        checkpoint = golden.save(made, folder / "ImageReward.pt")
        model = package.load(str(checkpoint), device="cpu", med_config=med_config)
        scores = {name: [model.score(prompt, pictures()[name]) for prompt in prompts] for name in shown}
    golden.write(
        "imagereward",
        "ImageReward.load(...).score",
        packages=["image-reward", "transformers", "timm"],
        architecture=sizes,
        files={"checkpoint": made},
        scores=scores,
        full=full,
    )


def shrink(sizes: dict[str, int]) -> None:
    blip.shrink(sizes)
    module: Any = sys.modules["ImageReward.ImageReward"]  # the package gives that name to the class in it
    head = module.MLP
    module.MLP = lambda _: head(sizes["text_width"])


if __name__ == "__main__":
    main()
