"""A LoRA of every backbone as others load it: plain diffusers makes the film that rewardkit makes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from rewardkit.engine.export import export_lora
from rewardkit.engine.generate import generate
from rewardkit.engine.lora import LoraSettings, load_lora, save_lora
from rewardkit.errors import UsageError
from rewardkit_adapters.backbone import Backbone
from tests.adapters.backbones import CASES, PROMPTS, SCALE, STEPS, film_of_pipeline, kind_of, noise, short, with_lora

SETTINGS = LoraSettings(rank=2, alpha=5.0)  # another alpha than the rank is what loaders lose


def plainly_loaded(folder: Path, exported: Path, backbone: Backbone, form: str) -> Any:
    """As the documentation says, without rewardkit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = getattr(diffusers, backbone.pipeline).from_pretrained(folder)
        if form == "diffusers":
            pipeline.load_lora_weights(exported / next(iter(backbone.denoisers())))
            if "transformer_2" in backbone.denoisers():
                pipeline.load_lora_weights(exported / "transformer_2", adapter_name="low", load_into_transformer_2=True)
        else:
            for name, denoiser in backbone.denoisers().items():
                setattr(pipeline, name, type(denoiser).from_pretrained(exported / name))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("form", ["auto", pytest.param("fused", marks=pytest.mark.slow)])
def test_plain_diffusers_makes_the_same_film(name: str, kind: str, form: str, tmp_path: Path) -> None:
    backbone = kind_of(name).tiny(kind)
    if form == "fused" and not backbone.lora_file:
        pytest.skip("auto is fused")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backbone.plain().save_pretrained(tmp_path / "base")
    shape = short(backbone)
    start = noise(backbone, shape)

    def made() -> torch.Tensor:
        return generate(backbone, PROMPTS, steps=STEPS, guidance=SCALE, noise=start, shape=shape)

    base = made()
    with_lora(backbone, SETTINGS)
    assert torch.equal(
        generate(backbone, PROMPTS, steps=STEPS, guidance=SCALE, noise=start, shape=shape, lora_strength=0.0), base
    ), "off, it is the base model bit for bit"
    ours = made()
    assert not torch.allclose(ours, base, atol=0.02)
    export_lora(backbone, tmp_path / "out", form)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="In CPU autocast")
        loaded = plainly_loaded(
            tmp_path / "base",
            tmp_path / "out",
            backbone,
            "fused" if form == "fused" or not backbone.lora_file else "diffusers",
        )
        theirs = film_of_pipeline(loaded, name, start, shape)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_lora_is_saved_and_loaded(name: str, kind: str, tmp_path: Path) -> None:
    backbone, other = kind_of(name).tiny(kind), kind_of(name).tiny(kind)
    weights = with_lora(backbone, SETTINGS)
    assert {weight.partition(".")[0] for weight in weights} == set(backbone.denoisers())
    save_lora(backbone, SETTINGS, tmp_path, {})
    load_lora(other, tmp_path)
    start = noise(backbone, short(backbone), batch=1)
    films = [generate(one, PROMPTS[:1], steps=2, noise=start, shape=short(backbone)) for one in (backbone, other)]
    assert torch.equal(*films)


@pytest.mark.parametrize("name", ["latte", "modelscope"])
def test_a_form_that_nobody_loads_is_refused(name: str, tmp_path: Path) -> None:
    backbone = kind_of(name).tiny()
    with_lora(backbone, SETTINGS)
    with pytest.raises(UsageError, match=f"^no pipeline of diffusers loads a LoRA of {name}: take fused or peft$"):
        export_lora(backbone, tmp_path / "out", "diffusers")
    assert not list(tmp_path.iterdir())
