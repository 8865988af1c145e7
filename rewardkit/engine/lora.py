"""Low-rank updates (LoRA) in a generator's denoisers, on peft. The base model is the LoRA switched off."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from rewardkit.engine.generator import Generator
from rewardkit.errors import BadCheckpointError, MissingExtraError, OutputError, UsageError
from rewardkit.files import replacing

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

ADAPTER = "default"
FILE = "lora.safetensors"


class LoraSettings(BaseModel):
    """Size of the update.

    Attributes:
        rank: of each pair of matrices.
        alpha: the update counts alpha / rank; None is the rank, so that it counts as it is.
        targets: layers by the ends of their names; None takes the adapter's own list.
        seed: of the first matrix of each pair, drawn with deviation 1 / rank; the second is zero, so that nothing
            changes yet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: PositiveInt = 4
    alpha: PositiveFloat | None = None
    targets: tuple[str, ...] | None = None
    seed: int = 0


def add_lora(generator: Generator, settings: LoraSettings) -> dict[str, nn.Parameter]:
    """Puts a fresh LoRA into every denoiser, and gives its weights by name; everything else is frozen.

    Raises:
        UsageError: a target matches no layer, or one of a kind that takes no LoRA, or there is a LoRA already.
        MissingExtraError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtraError("LoRA", "peft", "adapters") from error
    targets = list(generator.lora_targets() if settings.targets is None else settings.targets)
    for name, denoiser in generator.denoisers().items():
        if lora_layers(denoiser):
            raise UsageError(f"{generator.name}: {name} has a LoRA already; create the backbone anew for another")
        _check_targets(targets, denoiser, f"{generator.name}: no layer of {name}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed)  # peft draws on the CPU; others' generators stay as they are
        for name, denoiser in generator.denoisers().items():
            config = LoraConfig(
                r=settings.rank,
                lora_alpha=settings.alpha or settings.rank,  # type: ignore[arg-type]  # a float is right, too
                init_lora_weights="gaussian",
                target_modules=targets,
            )
            denoiser.requires_grad_(False)
            try:
                inject_adapter_in_model(config, denoiser, ADAPTER)
            except ValueError as error:
                reason = " ".join(str(error).split())
                raise UsageError(f"{generator.name}: peft puts no LoRA into {name}: {reason}") from None
    weights = lora_weights(generator)
    for weight in weights.values():
        weight.data = weight.data.float()  # steps of an optimiser vanish in half precision
    return weights


def lora_weights(generator: Generator) -> dict[str, nn.Parameter]:
    """The trained weights by name; empty without a LoRA."""
    return {
        f"{folder}.{name}": weight
        for folder, denoiser in generator.denoisers().items()
        for name, weight in denoiser.named_parameters()
        if ".lora_" in name
    }


def lora_digest(generator: Generator) -> str | None:
    """16 hex digits that tell a LoRA from others, by its weights and how much they count; None without one."""
    weights = lora_weights(generator)
    if not weights:
        return None
    digest = hashlib.sha256(str([layer.scaling[ADAPTER] for layer in _all_layers(generator)]).encode())
    for name, weight in weights.items():
        digest.update(name.encode() + weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


@torch.no_grad()
def update_norm(generator: Generator) -> float:
    """Length of everything that the LoRA adds to the denoisers' weights, over all layers; 0 for a fresh one."""
    norms = [
        layer.get_delta_weight(ADAPTER).norm()  # type: ignore[attr-defined]  # every kind that we make has it
        for layer in _all_layers(generator)
    ]
    return float(torch.stack(norms).norm())


@contextmanager
def lora_at(generator: Generator, strength: float) -> Iterator[None]:
    """The LoRA counts `strength` times in here; at 0 the model is exactly the base.

    Go backward inside, too: what a checkpointed step computes again, it computes at the strength of that moment.
    """
    layers = _all_layers(generator)
    scalings = [layer.scaling[ADAPTER] for layer in layers]
    on = [layer for layer in layers if not layer.disable_adapters]
    trained = {weight: weight.requires_grad for weight in lora_weights(generator).values()}
    try:
        for layer, scaling in zip(layers, scalings, strict=True):
            layer.scaling[ADAPTER] = scaling * strength
        if strength == 0:
            for layer in on:
                layer.enable_adapters(False)
        yield
    finally:
        for layer, scaling in zip(layers, scalings, strict=True):
            layer.scaling[ADAPTER] = scaling
        if strength == 0:
            for layer in on:
                layer.enable_adapters(True)
            for weight, was in trained.items():  # which peft switches with the layers
                weight.requires_grad_(was)


def save_lora(generator: Generator, settings: LoraSettings, folder: Path, facts: Mapping[str, str]) -> Path:
    """Writes `lora.safetensors` with its settings, whole or not at all.

    Raises:
        OutputError: it cannot be written.
        UsageError: the settings are not those of the LoRA in the generator.
    """
    check_lora(generator, settings)
    path = folder / FILE
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in lora_weights(generator).items()}
    metadata = lora_metadata(generator, settings, facts)
    with replacing(path) as draft:
        try:
            save_file(tensors, draft, metadata=metadata)
        except SafetensorError as error:  # it has an error of its own for a full disk
            raise OutputError(f"cannot write {path}: {error}") from None
    return path


def lora_metadata(generator: Generator, settings: LoraSettings, facts: Mapping[str, str]) -> dict[str, str]:
    """What a LoRA's file says of itself."""
    return {**facts, "backbone": generator.name, "settings": settings.model_dump_json()}


def load_lora(generator: Generator, folder: Path) -> LoraSettings:
    """Puts the LoRA of `save_lora` into the generator, beside frozen weights.

    Raises:
        UsageError: no such file.
        BadCheckpointError: it is cut, or of another backbone or shape; the generator then has to be created anew.
    """
    path = folder / FILE if folder.is_dir() else folder
    if not path.is_file():
        raise UsageError(f"no LoRA at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BadCheckpointError(f"cannot read the LoRA at {path}: {str(error).partition(chr(10))[0]}") from None
    if metadata.get("backbone") != generator.name:
        owner = metadata.get("backbone", "no backbone that it names")
        raise BadCheckpointError(f"{path} is a LoRA of {owner}, not of {generator.name}")
    try:
        settings = LoraSettings.model_validate_json(metadata.get("settings", ""))
    except ValidationError as error:
        raise BadCheckpointError(f"{path} has settings that cannot be read: {error.errors()[0]['msg']}") from None
    put_lora(add_lora(generator, settings), tensors, path)
    return settings


def check_lora(generator: Generator, settings: LoraSettings) -> None:
    """Refuses settings that are not those of the LoRA in the generator; the file would count by another scale.

    Raises:
        UsageError: rank or alpha differ.
    """
    wanted = (settings.rank, settings.alpha or settings.rank)
    found = {(layer.r[ADAPTER], layer.lora_alpha[ADAPTER]) for layer in _all_layers(generator)}
    for rank, alpha in found - {wanted}:
        raise UsageError(
            f"the LoRA in {generator.name} has rank {rank} and alpha {alpha:g}: "
            f"the settings say {wanted[0]} and {wanted[1]:g}"
        )


def put_lora(weights: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copies saved values into the weights of a LoRA.

    Raises:
        BadCheckpointError: names or shapes differ.
    """
    if {n: w.shape for n, w in weights.items()} != {n: t.shape for n, t in tensors.items()}:
        raise BadCheckpointError(f"{path} holds {len(tensors)} tensors that do not fit the {len(weights)} of this LoRA")
    for name, weight in weights.items():
        weight.data.copy_(tensors[name])


def lora_layers(denoiser: nn.Module) -> dict[str, LoraLayer]:
    """The layers of a denoiser that have a LoRA, by their names.

    Raises:
        MissingExtraError: peft is not installed.
    """
    try:
        from peft.tuners.lora import LoraLayer
    except ImportError as error:
        raise MissingExtraError("LoRA", "peft", "adapters") from error
    return {name: module for name, module in denoiser.named_modules() if isinstance(module, LoraLayer)}


def _all_layers(generator: Generator) -> list[LoraLayer]:
    return [layer for denoiser in generator.denoisers().values() for layer in lora_layers(denoiser).values()]


def _check_targets(targets: Sequence[str], denoiser: nn.Module, who: str) -> None:
    """Each must be the end of a layer's name; peft itself says nothing where only some are."""
    names = [f".{name}" for name, _ in denoiser.named_modules()]
    missing = [target for target in targets if not any(name.endswith(f".{target}") for name in names)]
    if missing or not targets:
        raise UsageError(f"{who} matches the LoRA targets {', '.join(missing) or '(none given)'}")
