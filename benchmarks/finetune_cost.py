"""What does a step of reward fine-tuning cost in memory and time, and what would it cost as a script writes it?

    python benchmarks/finetune_cost.py [--rounds 3]

ModelScope's classes with random weights in two sizes: `as modelscope`, where a pass of the denoiser is to decoding the
film as in the published model (counted in FLOPs on meta tensors, recorded beside), and `dear decoder`, a small denoiser
before an autoencoder that takes far more. InstructVideo's step: guidance with gradient through both passes, gradient
through the last of the walked steps, the `technical` reward of 4 of 16 frames; forward and backward, no optimiser.

Ways to take the same step, with the same gradient:
    ours      `RewardGradient`: no graph before the chosen step, that one checkpointed, only planned frames decoded.
    detached  as scripts do: a graph in every step, the estimate detached where the step is not chosen (by which Python
              frees its graph), nothing checkpointed, every frame decoded, the planned ones picked after.
              Source: aigc-apps/VideoX-Fun@31cb0b1, scripts/wan2.1_fun/train_reward_lora.py, which decodes its first
              `num_decoded_latents` and picks `num_sampled_frames` of them. Not all do: mihirp1998/VADER@c63a39e,
              VADER-ModelScope/ms_custom.py builds no graph before the chosen step (it switches requires_grad of the
              LoRA) and decodes what it scores, so that only the checkpoint would set it apart from ours.
    kept      as `detached`, but every step's graph lives until the backward pass. No project that we read does this;
              it is what it would cost not to cut the graph.

Memory is measured in a process for each number, after a step of one walked step to warm up: `allocated` is the greatest
sum of live bytes of torch's CPU allocator above those before the step, from the profiler's events, so weights do not
count and recomputation does; `resident` is VmHWM less VmRSS before, with glibc told to map and return big blocks.
Time is that of the thread (`cpu`, which other processes disturb least) and of the clock, the ways taking turns.

Writes results/finetune_cost.json.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from learned_memory import status
from recording import processor, record
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from rewardkit import create_reward
from rewardkit.engine.denoise import Words, level_at
from rewardkit.engine.generator import FilmShape, Level
from rewardkit.engine.lora import LoraSettings, add_lora, lora_weights
from rewardkit.engine.objectives import RewardGradient
from rewardkit.engine.statistics import PromptStatistics
from rewardkit.engine.trial import Bench, Group
from rewardkit_adapters.modelscope import ModelScope

CHAINS = {1: (50, 0.02), 12: (20, 0.6), 48: (50, 0.96)}  # walked steps: those of the chain, and the share of it
FRAMES, PLANNED, PROMPT = 16, 4, "a red cat"
GOALS = {
    "walked_48_over_12_at_most": 1.05,
    "decoding_32_over_8_frames_at_most": 1.05,
    "gradient_difference_at_most": 1e-5,
    "memory_of_scripts_over_ours_at_least": 3,
    "time_of_scripts_over_ours_at_least": 2,
}


class Size(NamedTuple):
    """Channels of denoiser and autoencoder from picture to middle, sides of the film, and what follows from them."""

    unet: tuple[int, ...]
    vae: tuple[int, ...]
    pixels: int
    layers: tuple[int, int]
    groups: tuple[int, int] = (8, 4)
    head: int = 8
    words: int = 32


SIZES = {
    "as modelscope": Size((24, 40), (8, 16, 16, 32), 96, (1, 1)),
    "dear decoder": Size((16, 32), (16, 32, 64, 64, 64), 256, (1, 2)),
}
PUBLISHED = Size((320, 640, 1280, 1280), (128, 256, 512, 512), 256, (2, 2), (32, 32), 64, 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved repeats; the median counts")
    parser.add_argument("--child", nargs=4, metavar=("SIZE", "WAY", "WALKED", "FRAMES"), help="one memory measurement")
    words = parser.parse_args()
    if words.child:
        size, way, walked, frames = words.child
        print(json.dumps(peak(size, way, int(walked), int(frames))))
        return
    result: dict[str, Any] = {
        "diffusers": diffusers.__version__,
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "cores": sorted(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "rounds": words.rounds,
        "goals": GOALS,
        "published_size": counted(PUBLISHED),
        "walked_steps": against_walk("as modelscope"),
        "frames_of_the_film": against_frames("as modelscope"),
        "ways": {size: against_scripts(size, words.rounds) for size in SIZES},
        "load_after": round(os.getloadavg()[0], 2),
    }
    print(json.dumps(result, indent=1))
    print(table(result))
    record("finetune_cost", result)


def against_walk(size: str) -> dict[str, Any]:
    """Peak memory of our step over 12 and over 48 walked steps."""
    found = {walked: in_child(size, "ours", walked, FRAMES) for walked in (12, 48)}
    return {"megabytes": found, "ratio": ratios(found[48], found[12])}


def against_frames(size: str) -> dict[str, Any]:
    """Peak memory over films of 8, 16 and 32 frames, 4 of them planned: of decoding and scoring alone, and of all."""
    found: dict[str, Any] = {}
    for way in ("decoding", "decoding all", "ours"):
        peaks = {frames: in_child(size, way, 1, frames) for frames in (8, 16, 32)}
        found[way] = {"megabytes": peaks, "ratio_32_over_8": ratios(peaks[32], peaks[8])}
    return found


def against_scripts(size: str, rounds: int) -> dict[str, Any]:
    """The three ways: peak memory, time, and how far gradients are apart."""
    peaks = {way: in_child(size, way, 12, FRAMES) for way in SCRIPTS}
    step, gradients = Step.of(size, 12, FRAMES), dict[str, Tensor]()
    cpu, clock = ({way: list[float]() for way in SCRIPTS} for _ in range(2))
    WAYS["ours"](step)  # first calls allocate
    for _ in range(rounds):
        for way in SCRIPTS:
            step.forget()
            begun = time.perf_counter(), time.thread_time()
            WAYS[way](step)
            clock[way].append(round(time.perf_counter() - begun[0], 2))
            cpu[way].append(round(time.thread_time() - begun[1], 2))
            gradients[way] = step.gradient()
    found: dict[str, Any] = {"counted": counted(SIZES[size]), "megabytes": peaks, "cpu": cpu, "clock": clock}
    for way in SCRIPTS[1:]:
        apart = (gradients[way] - gradients["ours"]).abs().max() / gradients["ours"].abs().max()
        found[f"{way}_over_ours"] = {
            "memory": ratios(peaks[way], peaks["ours"]),
            "cpu": median_ratio(cpu[way], cpu["ours"]),
            "clock": median_ratio(clock[way], clock["ours"]),
            "gradient_difference": float(f"{float(apart):.2g}"),
        }
    return found


@dataclass(frozen=True, eq=False)
class Step:
    """What a step is taken with."""

    bench: Bench
    group: Group
    objective: RewardGradient

    @classmethod
    def of(cls, size: str, walked: int, frames: int) -> Step:
        """With a LoRA that does something already: with a fresh one half of the gradient is zero."""
        generator, (steps, tau) = modelscope(SIZES[size]), CHAINS[walked]
        random = torch.Generator().manual_seed(1)
        for weight in add_lora(generator, LoraSettings()).values():
            weight.data = 0.02 * torch.randn(weight.shape, generator=random)
        shape = FilmShape(frames, SIZES[size].pixels, SIZES[size].pixels)
        reward = create_reward("technical", frames=f"segments:{PLANNED}", weights="attenuate:1.0")
        bench = Bench(generator, reward, generator.levels(steps, shape), shape, torch.device("cpu"))
        clean = torch.randn(1, *generator.latent_shape(shape), generator=random)
        words = Words(generator.embed([PROMPT]), generator.embed([""]))
        return cls(bench, Group([PROMPT], words, clean, ["0/0/0"], "0/0"), RewardGradient(tau=tau))

    def forget(self) -> None:
        """Drops gradients."""
        for weight in lora_weights(self.bench.generator).values():
            weight.grad = None
        gc.collect()

    def gradient(self) -> Tensor:
        """Of all weights of the LoRA, in a row."""
        found = [weight.grad for weight in lora_weights(self.bench.generator).values()]
        return torch.cat([part.flatten() for part in found if part is not None])


def ours(step: Step) -> None:
    """As the engine takes it."""
    ((loss,),) = map(list, step.objective.updates(step.bench, [step.group], PromptStatistics()))
    loss.value.backward()


def scripted(step: Step, keep: bool) -> None:
    """As scripts take it, in plain autograd."""
    bench, group = step.bench, step.group
    levels, scale = step.objective.levels(bench), bench.generator.default_guidance
    noisy, _ = bench.start(group, levels)
    words = {name: torch.cat([group.words.empty[name], told]) for name, told in group.words.prompts.items()}
    graphs: list[Tensor] = []
    for number in range(len(levels)):
        level = level_at(levels, number, noisy)
        twice = torch.cat([noisy] * 2)
        eps = (twice - level.signal * bench.generator.predict_clean(twice, level, words)) / level.noise
        if number < len(levels) - 1:
            graphs += [eps] * keep
            eps = eps.detach()
        untold, told = eps.chunk(2)
        eps = untold + scale * (told - untold)
        clean = (noisy - level.noise * eps) / level.signal
        noisy = levels.signal_below[number] * clean + levels.noise_below[number] * eps
    judge_all(step, noisy)


def judge_all(step: Step, latents: Tensor) -> None:
    """Decodes every frame, picks the planned ones, scores them, goes backward."""
    reward, (random,) = step.bench.reward, step.group.randoms("frames")
    film = step.bench.generator.decode(latents)
    plan = reward.plan(film.shape[1], generator=random)
    (-reward(plan.take(film), step.group.prompts, plan=plan)).mean().backward()


def judge_planned(step: Step, latents: Tensor) -> None:
    """The engine's way of that."""
    (-step.bench.judge(step.group, latents).score).mean().backward()


def leaf(step: Step) -> Tensor:
    """Latents that gradient is asked of."""
    assert step.group.clean is not None
    return step.group.clean.clone().requires_grad_()


SCRIPTS = ("ours", "detached", "kept")
WAYS: dict[str, Callable[[Step], None]] = {
    "ours": ours,
    "detached": lambda step: scripted(step, keep=False),
    "kept": lambda step: scripted(step, keep=True),
    "decoding": lambda step: judge_planned(step, leaf(step)),
    "decoding all": lambda step: judge_all(step, leaf(step)),
}


def in_child(size: str, way: str, walked: int, frames: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", size, way, str(walked), str(frames)]
    blocks = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, check=True, capture_output=True, env=os.environ | blocks)
    found: dict[str, float] = json.loads(done.stdout)
    print(size, way, walked, frames, found, flush=True)
    return found


def peak(size: str, way: str, walked: int, frames: int) -> dict[str, float]:
    """Megabytes by which a step raises resident and allocated memory at most."""
    WAYS[way](Step.of(size, 1, frames))  # first calls allocate for good
    step = Step.of(size, walked, frames)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = status("VmRSS")
    WAYS[way](step)
    resident = status("VmHWM") - before
    step.forget()
    return {"allocated": allocated(lambda: WAYS[way](step)), "resident": round(resident / 1e6, 1)}


def allocated(run: Callable[[], None]) -> float:
    """Megabytes by which a call raises what torch's CPU allocator has given out, at most."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        run()
    events = watched.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return round(max(accumulate(change for _, change in changes)) / 1e6, 1)


def modelscope(size: Size) -> ModelScope:
    """The adapter's own classes with random weights, seeded; text as in `ModelScope.tiny`."""
    tiny, (layers, decoder_layers), (groups, decoder_groups) = ModelScope.tiny(), size.layers, size.groups
    torch.manual_seed(0)
    more = len(size.unet) - 1
    unet = UNet3DConditionModel(
        sample_size=size.pixels // 2 ** (len(size.vae) - 1),
        block_out_channels=size.unet,
        down_block_types=("CrossAttnDownBlock3D",) * more + ("DownBlock3D",),
        up_block_types=("UpBlock3D",) + ("CrossAttnUpBlock3D",) * more,
        layers_per_block=layers,
        norm_num_groups=groups,
        cross_attention_dim=size.words,
        attention_head_dim=size.head,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(size.vae),
        up_block_types=("UpDecoderBlock2D",) * len(size.vae),
        block_out_channels=size.vae,
        layers_per_block=decoder_layers,
        latent_channels=4,
        norm_num_groups=decoder_groups,
        sample_size=size.pixels,
    )
    return ModelScope(
        unet=unet, text_encoder=tiny.text_encoder, tokenizer=tiny.tokenizer, vae=vae, scheduler=tiny.scheduler
    )


def counted(size: Size) -> dict[str, float]:
    """FLOPs on meta tensors: of a pass over the film, of decoding it, and what they say of time.

    A backward pass counts as much as a forward one: weights are frozen, so that only inputs get a gradient.
    """
    with torch.device("meta"):
        generator = modelscope(size)
        clean = torch.empty(1, *generator.latent_shape(FilmShape(FRAMES, size.pixels, size.pixels)))
        words, one = torch.empty(1, 77, size.words), torch.empty(())
        with FlopCounterMode(display=False) as denoising:
            generator.predict_clean(clean, Level(one, one, one), {"encoder_hidden_states": words})
        with FlopCounterMode(display=False) as decoding, torch.no_grad():
            generator.decode(clean)
    one_pass, film = denoising.get_total_flops(), decoding.get_total_flops()
    scripts = (24 + 2) * one_pass + 2 * film
    engine = (24 + 2 + 2) * one_pass + 2 * film * PLANNED / FRAMES
    return {
        "pass_gigaflops": round(one_pass / 1e9, 2),
        "decoding_gigaflops": round(film / 1e9, 2),
        "pass_over_decoding": round(one_pass / film, 3),
        "scripts_over_ours": round(scripts / engine, 3),
    }


def ratios(over: Mapping[str, float], under: Mapping[str, float]) -> dict[str, float]:
    return {name: round(over[name] / under[name], 3) for name in under}


def median_ratio(over: list[float], under: list[float]) -> float:
    return round(statistics.median(over) / statistics.median(under), 3)


def table(result: Mapping[str, Any]) -> str:
    """The ways side by side."""
    lines = [f"{'':32}{'allocated':>12}{'resident':>12}{'cpu s':>10}{'clock s':>10}{'gradient':>12}"]
    for size, found in result["ways"].items():
        for way in SCRIPTS:
            peaks, times = found["megabytes"][way], (statistics.median(found[kind][way]) for kind in ("cpu", "clock"))
            apart = found.get(f"{way}_over_ours", {}).get("gradient_difference", 0.0)
            numbers = f"{peaks['allocated']:12.1f}{peaks['resident']:12.1f}" + "".join(f"{one:10.2f}" for one in times)
            lines.append(f"{size + ', ' + way:32}{numbers}{apart:12.1e}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
