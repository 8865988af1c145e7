"""A LoRA for people without rewardkit: what diffusers and peft load by themselves."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from rewardkit import __version__
from rewardkit.engine.generator import Generator
from rewardkit.engine.lora import ADAPTER, lora_layers
from rewardkit.errors import OutputError, UsageError

FACTS, WEIGHTS = "rewardkit.json", "adapter_model.safetensors"
DIFFUSERS, METADATA = "pytorch_lora_weights.safetensors", "lora_adapter_metadata"  # where diffusers looks


@runtime_checkable
class OfDiffusers(Protocol):
    """What every network of diffusers has."""

    config: Mapping[str, Any]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """One of the same shape, with weights drawn at random."""

    def save_pretrained(self, folder: Path) -> None:
        """A configuration and the weights beside it."""


def export_lora(generator: Generator, folder: str | Path, form: str = "auto") -> Path:
    """Writes the LoRA in the generator, a folder for each denoiser, whole or not at all; gives the folder.

    `rewardkit.json` beside them says which backbone, rank, alpha, targets and version they are of.

    Args:
        generator: with a LoRA, which stays as it is.
        folder: a new one.
        form: `diffusers` is the update alone, for `load_lora_weights` of the pipeline; `peft` the same for
            `peft.PeftModel.from_pretrained(denoiser, folder)`; `fused` the denoisers with the update added, in their
            own precision, for `from_pretrained` of their class; `auto` is `diffusers` where the pipeline can load it,
            and `fused` elsewhere.

    Raises:
        UsageError: no LoRA, no such form, a denoiser that is not of diffusers and so cannot be `fused`, or a pipeline
            that loads no LoRA.
        OutputError: the folder holds something already, or cannot be written.
    """
    place = Path(folder).resolve()
    form = ("diffusers" if generator.lora_file else "fused") if form == "auto" else form
    write = {"fused": _write_fused, "peft": _write_peft, "diffusers": _write_diffusers}.get(form)
    if write is None:
        raise UsageError(f"no form of a LoRA is called {form!r}: take auto, diffusers, fused or peft")
    if form == "diffusers" and not generator.lora_file:
        raise UsageError(f"no pipeline of diffusers loads a LoRA of {generator.name}: take fused or peft")
    if not all(lora_layers(denoiser) for denoiser in generator.denoisers().values()):
        raise UsageError(f"{generator.name} has no LoRA to export: load_lora or finetune puts one in")
    facts = _facts(generator)
    draft = place.with_name(f".{uuid.uuid4().hex[:8]}.{place.name}")
    try:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise OutputError(f"{folder} is there already: name a new folder to export to")
        draft.mkdir(parents=True)
        for name, denoiser in generator.denoisers().items():
            write(denoiser, draft / name, facts)
        (draft / FACTS).write_text(json.dumps({"form": form, **facts}, indent=1) + "\n", encoding="utf-8")
        draft.replace(place)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"cannot export to {folder}: {error}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Path(folder)


def _facts(generator: Generator) -> dict[str, Any]:
    config = _config(next(iter(generator.denoisers().values())))  # add_lora tells all the same
    return {
        "backbone": generator.name,
        "rank": config.r,
        "alpha": config.lora_alpha,
        "targets": sorted(config.target_modules),
        "rewardkit": __version__,
    }


def _config(denoiser: nn.Module) -> Any:
    """What peft was told when it put the LoRA in."""
    return denoiser.peft_config[ADAPTER]  # type: ignore[index]


def _write_peft(denoiser: nn.Module, folder: Path, facts: Mapping[str, Any]) -> None:
    folder.mkdir()
    _config(denoiser).save_pretrained(folder)
    save_file(_update(denoiser, "base_model.model"), folder / WEIGHTS, metadata={"format": "pt", **_in_words(facts)})


def _write_diffusers(denoiser: nn.Module, folder: Path, facts: Mapping[str, Any]) -> None:
    """Without the metadata an alpha other than the rank would be lost, and nothing would say so."""
    folder.mkdir()
    prefix = "unet" if folder.name == "unet" else "transformer"  # also of a second transformer
    settings = {
        f"{prefix}.{name}": sorted(value) if isinstance(value, set) else value
        for name, value in _config(denoiser).to_dict().items()
    }
    words = {"format": "pt", METADATA: json.dumps(settings, sort_keys=True), **_in_words(facts)}
    save_file(_update(denoiser, prefix), folder / DIFFUSERS, metadata=words)


def _update(denoiser: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {
        f"{prefix}.{name.replace(f'.{ADAPTER}.', '.')}": tensor.cpu().contiguous()
        for name, tensor in denoiser.state_dict().items()
        if ".lora_" in name
    }


def _in_words(facts: Mapping[str, Any]) -> dict[str, str]:
    return {name: fact if isinstance(fact, str) else json.dumps(fact) for name, fact in facts.items()}


def _write_fused(denoiser: nn.Module, folder: Path, facts: Mapping[str, Any]) -> None:
    if not isinstance(denoiser, OfDiffusers):
        raise UsageError(f"{type(denoiser).__name__} is no network of diffusers, which fused needs: take the form peft")
    with torch.device("meta"):  # its weights are those of the denoiser
        plain = type(denoiser).from_config(denoiser.config)
    plain.load_state_dict(_merged(denoiser), assign=True)
    plain.save_pretrained(folder)


def _merged(denoiser: nn.Module) -> dict[str, Tensor]:
    """The weights of a denoiser under the names that they have without a LoRA, the update added in float32."""
    weights = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in denoiser.state_dict().items()
        if ".lora_" not in name
    }
    for name, layer in lora_layers(denoiser).items():
        weight = weights[f"{name}.weight"]
        update = layer.get_delta_weight(ADAPTER).detach().float()  # type: ignore[attr-defined]
        weights[f"{name}.weight"] = (weight.float() + update).to(weight.dtype)
    return weights
