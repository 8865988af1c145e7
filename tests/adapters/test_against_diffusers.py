"""Films of every backbone against those of diffusers' own pipeline."""

from __future__ import annotations

import warnings

import pytest
import torch

from rewardkit.engine.generate import generate
from tests.adapters.backbones import CASES, PROMPTS, SCALE, STEPS, film_of_pipeline, noise, short, tiny


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("scale", [SCALE, 1.0])
def test_films_are_those_of_the_pipeline(name: str, kind: str, scale: float) -> None:
    backbone, shape = tiny(name, kind), short(tiny(name, kind))
    if shape.height == shape.width:
        shape = shape._replace(width=shape.height + 8)
    start = noise(backbone, shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="In CPU autocast")  # Mochi asks for it in float32
        theirs = film_of_pipeline(backbone.plain(), name, start, shape, scale)
    ours = generate(backbone, PROMPTS, steps=STEPS, guidance=scale, noise=start, shape=shape)
    assert ours.shape == theirs.shape == (2, shape.frames, 3, shape.height, shape.width)
    assert theirs.std() > 0.01, "of grey films nothing could be told"
    assert not torch.allclose(theirs[0], theirs[1], atol=0.01)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
