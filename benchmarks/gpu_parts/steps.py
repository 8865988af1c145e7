"""One step of InstructVideo with generators of published size: seconds of its parts, peak memory, share of the roof."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from backbones import MODELS, Published
from gpu_parts.jobs import Job, Setting, digits, forget, in_a_line, roof, under_roof
from gpu_parts.stopwatch import Stopwatch
from gpu_parts.towers import hpsv2
from one_step import loss_of, set_up
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from rewardkit import FilmShape
from rewardkit.bench.memory import PeakMemory
from rewardkit.engine.denoise import Words
from rewardkit.engine.generator import Level
from rewardkit.engine.lora import LoraSettings, add_lora, lora_weights
from rewardkit.engine.objectives import RewardGradient
from rewardkit.engine.trial import Bench, Group
from rewardkit.registry import BACKBONES
from rewardkit.scoring.pipeline import out_of_memory
from rewardkit_adapters.backbone import Backbone

STEPS, WALKED = 10, 4
OBJECTIVE = RewardGradient(tau=WALKED / STEPS)


@dataclass(frozen=True)
class Film:
    """A published model, and what is tried where memory is short: films of fewer frames, the longest first."""

    model: str
    frames: tuple[int, ...]


@dataclass(frozen=True)
class Way:
    """How a step saves memory: a choice, and what is then set otherwise."""

    choice: str
    changes: Mapping[str, Any] = field(default_factory=dict)


FILMS = {
    "modelscope": Film("ModelScopeT2V", (16, 8)),
    "wan": Film("Wan 2.1 1.3B", (81, 41, 17)),
    "cogvideox": Film("CogVideoX 2B", (49, 25, 9)),
}
# more ways to take a step go here: each gives rows for all three
WAYS = {"auto": Way("auto"), "low": Way("low"), "auto, keeping 20 GB": Way("auto", {"activations": 20.0})}


def jobs(setting: Setting) -> list[Job]:
    what = (
        f"one step of InstructVideo, forward and backward: one film, {WALKED} of {STEPS} steps walked with guidance, "
        "gradient through both passes of the last, HPSv2 in bfloat16 on 4 frames, a LoRA of rank 16, random words; "
        "after one of the shortest film that does not count"
    )
    return [
        Job(name, f"step, {film.model}, {way}", what, partial(step, film, WAYS[way], setting), turn=3 + turn)
        for name, film in FILMS.items()
        for turn, way in enumerate(WAYS)
    ]


def step(film: Film, way: Way, setting: Setting) -> dict[str, Any]:
    """Of the longest film that fits, and why longer ones do not."""
    published, short = model_of(film, setting), list[dict[str, Any]]()
    lengths = (published.shape.frames,) if setting.tiny else film.frames
    for frames in lengths:
        shapes = [published.shape.but(count) for count in (lengths[-1], frames)]
        found = fitting(published, shapes, way, setting)
        if isinstance(found, dict):
            return found | ({"out_of_memory": short} if short else {})
        short.append({"frames": frames, "why": found})
        forget(setting.device)
    raise MemoryError(f"no film of {', '.join(map(str, lengths))} frames fits: {short[-1]['why']}")


def fitting(published: Published, shapes: list[FilmShape], way: Way, setting: Setting) -> dict[str, Any] | str:
    """What a step takes, or why it does not fit; the error goes, and with it what it holds of the step."""
    try:
        return measured(published, shapes, way, setting)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return in_a_line(error)


def measured(published: Published, shapes: list[FilmShape], way: Way, setting: Setting) -> dict[str, Any]:
    """A step with a film of each shape; the last counts."""
    dtype = torch.float32 if setting.tiny else kind_of(published).default_dtype
    generator = placed(published, dtype, way, setting)
    reward, peak = (
        hpsv2(setting, torch.bfloat16, "segments:4", "attenuate:1.0"),
        PeakMemory(torch.device(setting.device)),
    )
    words = random_words(generator, published.words)
    for shape in shapes:
        bench, group = set_up(generator, reward, OBJECTIVE, STEPS, shape, words=words, device=setting.device)
        forget(setting.device)
        peak.start()
        watch = taken(bench, group)
        memory = gigabytes(peak.peak(), setting)
    passes, flops = watch.passes(), flops_of_pass(published, shapes[-1])
    rates = {name: films * flops / seconds for name, (films, seconds) in passes.items()}
    return {
        "film": list(shapes[-1]),
        "dtype": str(dtype).removeprefix("torch."),
        "memory": generator.memory.model_dump(exclude_defaults=True),
        "seconds": {name: digits(seconds) for name, seconds in watch.parts.items()},
        "seconds_of_all": digits(sum(watch.parts.values())),
        "films_of_a_pass": {name: films for name, (films, _) in passes.items()},
        "seconds_of_a_pass": {name: digits(seconds) for name, (_, seconds) in passes.items()},
        "teraflops_of_a_pass_a_film": digits(flops / 1e12),
        **under_roof(rates, roof(dtype, setting)),
        **memory,
        "gradient_is_finite": finite(generator),
    }


def model_of(film: Film, setting: Setting) -> Published:
    """The published model, or with its name the adapter's tiny one."""
    published = MODELS[film.model]
    if not setting.tiny:
        return published
    kind = kind_of(published)

    def networks() -> dict[str, nn.Module]:
        parts = kind.tiny_parts(published.kind)
        return {name: parts[name] for name in ("unet", "transformer", "vae") if name in parts}

    return dataclasses.replace(published, networks=networks, shape=kind.tiny_shape, words=32)


def kind_of(published: Published) -> type[Backbone]:
    kind = BACKBONES.load(published.backbone)
    assert isinstance(kind, type)
    assert issubclass(kind, Backbone)
    return kind


def backbone(published: Published, device: str, dtype: torch.dtype) -> Backbone:
    """With networks made on the device; text encoder and scheduler are those of `tiny()`."""
    torch.manual_seed(0)
    with torch.device(device):
        networks = published.networks()
    for network in networks.values():
        cast(network, dtype)
    kind = kind_of(published)
    return kind(**{**kind.tiny_parts(published.kind), **networks})


def cast(network: Any, dtype: torch.dtype) -> None:
    """As where a checkpoint is read: what diffusers keeps in float32 stays."""
    wide = network._keep_in_fp32_modules or ()
    for name, weight in network.named_parameters():
        if not any(part in wide for part in name.split(".")):
            weight.data = weight.data.to(dtype)


def placed(published: Published, dtype: torch.dtype, way: Way, setting: Setting) -> Backbone:
    """With a LoRA that does something: with a fresh one half of the gradient is zero."""
    generator = backbone(published, setting.device, dtype)
    generator.place(torch.device(setting.device), way.choice)
    generator.memory = generator.memory.model_copy(update=way.changes)
    generator.free_text()
    for weight in add_lora(generator, LoraSettings(rank=16)).values():
        weight.data.normal_(std=0.02)
    return generator


def random_words(generator: Backbone, width: int) -> Words:
    """Of one prompt and of none, so many numbers a token."""
    random, size = torch.Generator().manual_seed(1), (1, generator.prompt_tokens, width)
    told, empty = (
        {"encoder_hidden_states": torch.randn(size, generator=random).to(generator.device)} for _ in range(2)
    )
    return Words(told, empty)


def taken(bench: Bench, group: Group) -> Stopwatch:
    """A step as the engine takes it, with a stopwatch on the generator."""
    with Stopwatch(str(bench.device)).on(bench.generator) as watch:
        watch.enter("walk")
        loss = loss_of(bench, group, OBJECTIVE)
        watch.enter("backward")
        loss.backward()  # type: ignore[no-untyped-call]
        watch.enter("")
    return watch


def flops_of_pass(published: Published, shape: FilmShape) -> int:
    """Of one film through the denoiser without its LoRA, counted on meta tensors, where no kernel is fused."""
    meta = torch.device("meta")
    generator = backbone(published, "meta", torch.float32)
    noisy = torch.empty(1, *generator.latent_shape(shape), device=meta)
    level = Level(*(torch.empty((), device=meta) for _ in range(3)))
    words = {"encoder_hidden_states": torch.empty(1, generator.prompt_tokens, published.words, device=meta)}
    with meta, torch.no_grad(), FlopCounterMode(display=False) as counter:
        generator.predict_clean(noisy, level, words)
    count: int = counter.get_total_flops()
    return count


def gigabytes(above: int | None, setting: Setting) -> dict[str, float]:
    """Of a step above what is held between steps, and on a GPU all together."""
    found = {} if above is None else {"step_gigabytes": digits(above / 1e9)}
    if setting.device.startswith("cuda"):
        found["peak_gigabytes"] = digits(torch.cuda.max_memory_allocated() / 1e9)
        found["peak_reserved_gigabytes"] = digits(torch.cuda.max_memory_reserved() / 1e9)
    return found


def finite(generator: Backbone) -> bool:
    """Whether every weight of the LoRA got a gradient of finite numbers."""
    gradients = [weight.grad for weight in lora_weights(generator).values()]
    return all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)
