"""The generator that comes along, as it is shipped: how big it is, and whether its films show what prompts ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import rewardkit.miniworld
from rewardkit.engine.create import create_backbone
from rewardkit.engine.generate import generate
from rewardkit.miniworld.measures import measure
from rewardkit.miniworld.prompts import judged_truths
from rewardkit.miniworld.truth import caption

WEIGHTS = Path(rewardkit.miniworld.__file__).parent / "weights"
MEGABYTE = 1e6


def test_all_weights_together_are_small_and_safetensors() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12 * MEGABYTE
    assert {path.suffix for path in files} == {".safetensors", ".json", ".txt"}
    for path in WEIGHTS.rglob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            assert all(file.get_tensor(name).isfinite().all() for name in file.keys())  # noqa: SIM118


@pytest.mark.slow
def test_films_show_the_colour_and_direction_that_prompts_ask_for() -> None:
    truths = [truth for some in judged_truths(24).values() for truth in some]
    films = generate(create_backbone("miniworld", device="cpu"), list(map(caption, truths)), seed=1)
    seen = list(map(measure, films))
    right = sum(found.agrees(truth) for found, truth in zip(seen, truths, strict=True)) / len(truths)
    assert right >= 0.85
    watermarked = sum(found.watermark > 0.15 for found in seen) / len(seen)
    assert 0.02 <= watermarked <= 0.3, "a tenth of its training films were"
    assert torch.isfinite(films).all()
