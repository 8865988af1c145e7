"""The official hpsv2 or image-reward package at full size, scoring when it is told to, with a stopwatch.

    .environments/NAME/bin/python official.py NAME CHECKPOINT FOLDER

Keeps the pictures `FOLDER/VIDEO/*.png` in memory; `FOLDER/prompts.json` holds a prompt a VIDEO. For each line read from
stdin, `score` or `model`, it scores them all, a call a video, and writes one line of JSON: seconds, scores by video.
With `model` hpsv2 does not read its checkpoint again in each call, which it otherwise does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image

REFERENCES = Path(__file__).resolve().parent / "references"
THREADS = 2
Score = Callable[[list[Image.Image], str], list[float]]


def main() -> None:
    name, checkpoint, folder = sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()
    torch.set_num_threads(THREADS)
    answers, sys.stdout = sys.stdout, sys.stderr  # the packages print
    prompts = json.loads((folder / "prompts.json").read_text())
    shown = {video: [_opened(file) for file in sorted((folder / video).glob("*.png"))] for video in prompts}
    with {"hpsv2": hpsv2, "imagereward": imagereward}[name](checkpoint) as ways:
        for line in sys.stdin:
            score = ways[line.strip()]
            start = time.perf_counter()
            scores = {video: score(pictures, prompts[video]) for video, pictures in shown.items()}
            seconds = time.perf_counter() - start
            scores = {video: [float(number) for number in row] for video, row in scores.items()}
            print(json.dumps({"seconds": seconds, "scores": scores}), file=answers, flush=True)


@contextlib.contextmanager
def hpsv2(checkpoint: Path) -> Iterator[dict[str, Score]]:
    found = importlib.util.spec_from_file_location("reference", REFERENCES / "hpsv2.py")
    reference: Any = importlib.util.module_from_spec(found)
    found.loader.exec_module(reference)
    reference.mend_package()
    model = reference.build(full=True)
    from hpsv2.img_score import score

    def model_alone(pictures: list[Image.Image], prompt: str) -> list[float]:
        with patch("torch.load", return_value={"state_dict": {}}), patch.object(model, "load_state_dict"):
            return score(pictures, prompt, cp=str(checkpoint))

    with torch.no_grad():
        model.load_state_dict(torch.load(checkpoint)["state_dict"])
    yield {"score": lambda pictures, prompt: score(pictures, prompt, cp=str(checkpoint)), "model": model_alone}


@contextlib.contextmanager
def imagereward(checkpoint: Path) -> Iterator[dict[str, Score]]:
    sys.path.append(str(REFERENCES))  # at the end: a file there is called like the hpsv2 package
    import blip

    package = blip.image_reward()
    with blip.hub(blip.LARGE) as folder, torch.no_grad():
        model = package.load(str(checkpoint), device="cpu", med_config=str(folder / "med_config.json"))
        yield {"score": lambda pictures, prompt: model.score(prompt, pictures)}


def _opened(file: Path) -> Image.Image:
    picture = Image.open(file)
    picture.load()
    return picture


if __name__ == "__main__":
    main()
