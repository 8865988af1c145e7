"""A LoRA as others load it: diffusers and peft alone give the films that rewardkit gives."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import TextToVideoSDPipeline, UNet3DConditionModel
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

import rewardkit as rk
from rewardkit.cli import main
from rewardkit.engine.export import export_lora
from rewardkit.engine.lora import LoraSettings, add_lora, save_lora
from rewardkit.errors import OutputError, UsageError
from rewardkit_adapters.modelscope import ModelScope
from tests.engine.test_lora import Twin, full_disk, output
from tests.engine.toy import Toy, trained_lora

PROMPTS = ["a red cat", "rain over a harbour at night"]
SHAPE = rk.FilmShape(3, 24, 40)
SETTINGS = LoraSettings(rank=2, alpha=5.0)
NOISE = torch.randn(2, 4, 3, 6, 10, generator=torch.Generator().manual_seed(1))


def with_lora(dtype: torch.dtype = torch.float32) -> ModelScope:
    backbone = ModelScope.tiny()
    backbone.unet.to(dtype)
    random = torch.Generator().manual_seed(0)
    for weight in add_lora(backbone, SETTINGS).values():
        weight.data = 0.2 * torch.randn(weight.shape, generator=random)
    return backbone


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base model, as its authors publish it."""
    folder, tiny = tmp_path_factory.mktemp("base"), ModelScope.tiny()
    parts = {"unet": tiny.unet, "text_encoder": tiny.text_encoder, "tokenizer": tiny.tokenizer, "vae": tiny.vae}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the pipeline is deprecated
        TextToVideoSDPipeline(scheduler=tiny.scheduler, **parts).save_pretrained(folder)
    return folder


def films(pipeline: TextToVideoSDPipeline) -> Tensor:
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline(prompt=PROMPTS, latents=NOISE, num_inference_steps=4, guidance_scale=9.0, output_type="pt")
    found: Tensor = made.frames
    return found


def pipeline_of(base: Path) -> TextToVideoSDPipeline:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TextToVideoSDPipeline.from_pretrained(base)


def fused(base: Path, exported: Path) -> TextToVideoSDPipeline:
    pipeline = pipeline_of(base)
    pipeline.unet = UNet3DConditionModel.from_pretrained(exported, subfolder="unet")
    return pipeline


def with_peft(base: Path, exported: Path) -> TextToVideoSDPipeline:
    pipeline = pipeline_of(base)
    PeftModel.from_pretrained(pipeline.unet, exported / "unet")
    return pipeline


@pytest.mark.parametrize(("form", "load"), [("fused", fused), ("peft", with_peft)])
def test_diffusers_alone_makes_the_films_of_rewardkit(
    base: Path, tmp_path: Path, form: str, load: Callable[[Path, Path], TextToVideoSDPipeline]
) -> None:
    backbone = with_lora()
    exported = export_lora(backbone, tmp_path / "exported", form)
    ours = rk.generate(backbone, PROMPTS, steps=4, guidance=9.0, noise=NOISE, shape=SHAPE)
    theirs = films(load(base, exported))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    assert (theirs - films(pipeline_of(base))).abs().max() > 0.01, "the LoRA does something"


@pytest.mark.parametrize("form", ["fused", "peft"])
def test_the_generator_stays_as_it_is(tmp_path: Path, form: str) -> None:
    backbone = with_lora()
    before = {name: weight.clone() for name, weight in backbone.unet.state_dict().items()}
    export_lora(backbone, tmp_path / "exported", form)
    after = backbone.unet.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_fused_weights_have_the_precision_of_the_backbone(tmp_path: Path) -> None:
    file = Path("unet", "diffusion_pytorch_model.safetensors")
    low = load_file(export_lora(with_lora(torch.bfloat16), tmp_path / "low") / file)
    exact = load_file(export_lora(with_lora(), tmp_path / "exact") / file)
    for name, weight in exact.items():
        assert low[name].dtype == torch.bfloat16
        # 8 bits of mantissa, rounded before and after the sum
        torch.testing.assert_close(low[name].float(), weight, rtol=2**-7, atol=2**-8)


@pytest.mark.parametrize("form", ["fused", "peft"])
def test_it_says_what_it_is(tmp_path: Path, form: str) -> None:
    exported = export_lora(with_lora(), tmp_path / "exported", form)
    facts = {
        "backbone": "modelscope",
        "rank": 2,
        "alpha": 5.0,
        "targets": ["to_k", "to_out.0", "to_q", "to_v"],
        "rewardkit": rk.__version__,
    }
    assert json.loads((exported / "rewardkit.json").read_text()) == {"form": form, **facts}
    if form == "peft":
        assert json.loads((exported / "unet" / "adapter_config.json").read_text())["lora_alpha"] == 5.0
        with safe_open(exported / "unet" / "adapter_model.safetensors", framework="pt") as file:
            assert file.metadata()["backbone"] == "modelscope"
            assert json.loads(file.metadata()["rank"]) == 2


def test_each_expert_has_a_folder(tmp_path: Path) -> None:
    twin = Twin()
    trained_lora(twin)
    exported = export_lora(twin, tmp_path / "exported", "peft")
    plain = Twin()
    for name, denoiser in plain.denoisers().items():
        PeftModel.from_pretrained(denoiser, exported / name)
        torch.testing.assert_close(output(denoiser), output(twin.denoisers()[name]))


def test_what_cannot_be_exported_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^toy has no LoRA to export: "):
        export_lora(Toy(), tmp_path / "exported")
    toy = Toy()
    trained_lora(toy)
    with pytest.raises(UsageError, match=r"^no form of a LoRA is called 'gguf': take auto, diffusers, fused or peft$"):
        export_lora(toy, tmp_path / "exported", "gguf")
    with pytest.raises(UsageError, match=r"^Denoiser is no network of diffusers, which fused needs: "):
        export_lora(toy, tmp_path / "exported", "fused")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    toy = Toy()
    trained_lora(toy)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OutputError, match=r"is there already: name a new folder"):
        export_lora(toy, tmp_path, "peft")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert (export_lora(toy, tmp_path / "empty", "peft") / "denoiser" / "adapter_config.json").is_file()


@pytest.mark.parametrize("form", ["fused", "peft"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, form: str) -> None:
    backbone = with_lora()
    with full_disk(5000), pytest.raises(OutputError, match=rf"^cannot export to {tmp_path}/exported: "):
        export_lora(backbone, tmp_path / "exported", form)
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports_what_finetune_wrote(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_lora(with_lora(), SETTINGS, tmp_path / "lora", {})
    words = ["export-lora", tmp_path / "lora", "-b", "modelscope", "--model", base, "--form", "peft", "-o", "peft"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rewardkit", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    assert capsys.readouterr().out == "peft\n"
    exported = export_lora(with_lora(), tmp_path / "other", "peft")
    assert films(with_peft(base, Path("peft"))).equal(films(with_peft(base, exported)))
