"""What does a step of reward fine-tuning take in time and memory, part by part, and what as scripts write it?

    python benchmarks/step_speed.py [--rounds 3] [NAME ...]

The mini world's generator, and the real classes of Wan, CogVideoX and ModelScope with random weights of `midsize.py`.
InstructVideo's step: 12 walked steps of 20 with guidance, gradient through both passes of the last, the `technical`
reward of 4 frames, one film, a LoRA of rank 8; forward and backward.

Ways to take the same step, which give the same gradient:
    ours       as the engine takes it: no graph before the chosen step, guidance as one batch, the chosen step's
               activations kept where they fit into 1 GB, only planned frames decoded.
    saving     the same with `Memory(split_guidance=True, activations=0)`.
    no batch, no keep: ours with one of these left out.
    detached   a graph in every step, the estimate detached where the step is not chosen (by which Python frees its
               graph), every frame decoded, the planned ones picked after. Near it: aigc-apps/VideoX-Fun@31cb0b1,
               scripts/wan2.1_fun/train_reward_lora.py, which decodes its first `num_decoded_latents` and picks
               `num_sampled_frames` of them. Far from it: mihirp1998/VADER@c63a39e, VADER-ModelScope/ms_custom.py, which
               builds no graph before the chosen step and decodes what it scores.
    graphs     as `detached`, but every step's graph lives until the backward pass: what it costs not to cut it.
    tail:4, tail:4 saving: gradient through the last four steps, with activations kept and computed again.
    kl, kl second model: with a distance to the base model, which is the LoRA switched off, or a second copy of the
               denoiser as trainers of language models have it; memory is then counted with the copy's weights.

Times: the ways take turns, medians of rounds; `time_over` is the median of ratios within rounds. Memory: by how much a
step raises resident memory at most, each way in a process of its own that took a step before, so that weights do not
count; glibc is told to map and return big blocks. Parts: the same step taken apart, gradient by gradient. Differences
of gradients are float32's; `exact` is that of `saving` from `ours` in float64, and `--exact` measures nothing else.

Writes results/step_speed.json, where what was measured before of other models stays.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import diffusers
import torch
from midsize import KINDS, midsize
from one_step import loss_of, set_up
from recording import about, record, recorded
from timing import in_child, in_turn, middle, ratio
from torch import Tensor

from rewardkit import create_backbone, create_reward
from rewardkit.bench.memory import PeakMemory
from rewardkit.engine.denoise import level_at, walk
from rewardkit.engine.generator import Generator
from rewardkit.engine.lora import LoraSettings, add_lora, lora_layers, lora_weights
from rewardkit.engine.memory import Memory
from rewardkit.engine.noise import passes_through
from rewardkit.engine.objectives import RewardGradient
from rewardkit.engine.trial import Bench, Group

NAMES = ("miniworld", *KINDS)
STEPS, SCALE, PLANNED = 20, 4.0, 4
OBJECTIVE = RewardGradient(guidance=SCALE)
SAVING = {"split_guidance": True, "activations": 0.0}
GOAL = {"gradient_difference_at_most": 1e-5}


@dataclass(frozen=True, eq=False)
class Step:
    """What a step is taken with."""

    bench: Bench
    group: Group

    @classmethod
    def of(cls, name: str) -> Step:
        """With a LoRA that does something already: with a fresh one half of the gradient is zero."""
        generator = create_backbone("miniworld", device="cpu") if name == "miniworld" else midsize(name)
        random = torch.Generator().manual_seed(1)
        for weight in add_lora(generator, LoraSettings(rank=8)).values():
            weight.data = 0.02 * torch.randn(weight.shape, generator=random)
        reward = create_reward("technical", frames=f"segments:{PLANNED}", weights="attenuate:1.0")
        return cls(*set_up(generator, reward, OBJECTIVE, STEPS, generator.default_shape))

    @cached_property
    def second(self) -> Generator:
        """The base model a second time; of its weights only the denoisers' count."""
        other = copy.deepcopy(self.generator)
        for layer in (layer for denoiser in other.denoisers().values() for layer in lora_layers(denoiser).values()):
            layer.enable_adapters(False)
        return other

    @property
    def generator(self) -> Generator:
        return self.bench.generator

    def weights(self) -> list[Tensor]:
        return list(lora_weights(self.generator).values())

    def gradient(self) -> Tensor:
        """Of all weights of the LoRA, in a row; they forget it."""
        found = torch.cat([weight.grad.flatten() for weight in self.weights() if weight.grad is not None])
        for weight in self.weights():
            weight.grad = None
        return found


def engine(step: Step, steps: str = "last", kl: float = 0.0, **memory: Any) -> None:
    """As the engine takes it."""
    objective = RewardGradient(guidance=SCALE, gradient_steps=steps, kl=kl)  # type: ignore[arg-type]
    step.generator.memory = Memory(**memory)
    loss_of(step.bench, step.group, objective).backward()  # type: ignore[no-untyped-call]


def scripted(step: Step, keep: bool) -> None:
    """As scripts take it, in plain autograd."""
    bench, group = step.bench, step.group
    levels = OBJECTIVE.levels(bench)
    noisy, _ = bench.start(group, levels)
    words = {name: torch.cat([group.words.empty[name], told]) for name, told in group.words.prompts.items()}
    graphs: list[Tensor] = []
    for number in range(len(levels)):
        level = level_at(levels, number, noisy)
        untold, told = bench.generator.predict_clean(torch.cat([noisy] * 2), level, words).chunk(2)
        clean = untold + SCALE * (told - untold)
        if number < len(levels) - 1:
            graphs += [clean] * keep
            clean = clean.detach() + passes_through(bench.generator.prediction, level.signal) * (noisy - noisy.detach())
        eps = (noisy - level.signal * clean) / level.noise
        noisy = levels.signal_below[number] * clean + levels.noise_below[number] * eps
    reward, (random,) = bench.reward, group.randoms("frames")
    film = bench.generator.decode(noisy)
    plan = reward.plan(film.shape[1], generator=random)
    (-reward(plan.take(film), group.prompts, plan=plan)).mean().backward()


def second_model(step: Step) -> None:
    """The distance to the base model by a second denoiser, in the place where ours is switched off."""
    other = step.second

    class Second(Bench):
        @contextmanager
        def base(self) -> Iterator[None]:
            """The other generator stands in."""
            predict = self.generator.predict_clean
            self.generator.predict_clean = other.predict_clean  # type: ignore[method-assign]
            try:
                yield
            finally:
                self.generator.predict_clean = predict  # type: ignore[method-assign]

    engine(Step(Second(**vars(step.bench)), step.group), kl=0.1)


WAYS: dict[str, Callable[[Step], None]] = {
    "ours": engine,
    "saving": lambda step: engine(step, **SAVING),
    "no batch": lambda step: engine(step, split_guidance=True),
    "no keep": lambda step: engine(step, activations=0.0),
    "detached": lambda step: scripted(step, keep=False),
    "graphs": lambda step: scripted(step, keep=True),
    "tail:4": lambda step: engine(step, "tail:4"),
    "tail:4 saving": lambda step: engine(step, "tail:4", **SAVING),
    "kl": lambda step: engine(step, kl=0.1),
    "kl second model": second_model,
}
AGAINST = {"tail:4": "tail:4", "tail:4 saving": "tail:4", "kl": "kl", "kl second model": "kl"}  # the rest: ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*NAMES, []], help=f"of {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved repeats; the median counts")
    parser.add_argument("--exact", action="store_true", help="only gradients in float64, beside what is recorded")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "WAY"), help="one memory measurement")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.child:
        name, way = given.child
        print(json.dumps(exact(name) if way == "exact" else peak(name, way)))
        return
    names = given.names or NAMES
    found = recorded("step_speed").get("models", {})
    if given.exact and (unknown := [name for name in names if name not in found]):
        parser.error(f"nothing is recorded of {', '.join(unknown)}: leave out --exact")
    for name in names:
        if not given.exact:
            found[name] = {"about": about(given.rounds), **measured(name, given.rounds)}
        found[name]["exact"] = in_child(__file__, name, "exact")
        print(name, json.dumps(found[name], indent=1), flush=True)
        facts = {"diffusers": diffusers.__version__, "threads": torch.get_num_threads(), "goal": GOAL}
        record("step_speed", {**facts, "models": {name: found[name] for name in NAMES if name in found}})


def measured(name: str, rounds: int) -> dict[str, Any]:
    """Everything of one model."""
    step = Step.of(name)
    gradients: dict[str, Tensor] = {}

    def run(way: str) -> None:
        WAYS[way](step)
        gradients[way] = step.gradient()

    times = in_turn({way: lambda way=way: run(way) for way in WAYS}, rounds)  # type: ignore[misc]
    peaks = {way: in_child(__file__, name, way) for way in WAYS}
    rows = {}
    for way in WAYS:
        over = AGAINST.get(way, "ours")
        rows[way] = {
            "seconds": middle(times[way]),
            "megabytes": peaks[way],
            "against": over,
            "time_over": ratio(times[way], times[over]),
            "memory_over": round(peaks[way] / peaks[over], 3),
            "gradient_difference": apart(gradients[way], gradients[over]),
        }
    weights = sum(
        weight.numel() for denoiser in step.generator.denoisers().values() for weight in denoiser.parameters()
    )
    return {"denoiser_weights": weights, "shape": list(step.bench.shape), "ways": rows, "parts": parts(step, rounds)}


def apart(one: Tensor, other: Tensor) -> float:
    """The greatest difference over the greatest number."""
    return float(f"{float((one - other).abs().max() / other.abs().max()):.2g}")


def peak(name: str, way: str) -> float:
    """Megabytes by which a step raises allocated memory at most."""
    step, memory = Step.of(name), PeakMemory(torch.device("cpu"))
    WAYS[way](step)  # first calls allocate for good
    step.gradient()
    memory.start()
    WAYS[way](step)
    copied = sum(w.nbytes for d in step.second.denoisers().values() for w in d.parameters()) if "second" in way else 0
    return round(((memory.peak() or 0) + copied) / 1e6, 1)


def exact(name: str) -> float:
    """Of the saving way's gradient from ours, where rounding does not count."""
    torch.set_default_dtype(torch.float64)
    step, gradients = Step.of(name), dict[str, Tensor]()
    for way in ("ours", "saving"):
        WAYS[way](step)
        gradients[way] = step.gradient()
    return apart(gradients["saving"], gradients["ours"])


def parts(step: Step, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds and share of each part of our step, with an optimiser's."""
    step.generator.memory = Memory()
    optimiser = torch.optim.AdamW(lora_weights(step.generator).values())
    taken = [dict(part_by_part(step, optimiser)) for _ in range(rounds + 1)][1:]
    found = {part: statistics.median(one[part] for one in taken) for part in taken[0]}
    total = sum(found.values())
    return {part: {"seconds": round(one, 4), "share": round(one / total, 3)} for part, one in found.items()}


def part_by_part(step: Step, optimiser: torch.optim.Optimizer) -> Iterator[tuple[str, float]]:
    bench, group, weights = step.bench, step.group, step.weights()
    levels, guidance = OBJECTIVE.levels(bench), OBJECTIVE.scale()
    start = time.perf_counter()

    def lap(part: str) -> tuple[str, float]:
        nonlocal start
        before, start = start, time.perf_counter()
        return part, start - before

    noisy, _ = bench.start(group, levels)
    noisy = walk(bench.generator, noisy, levels[: len(levels) - 1], group.words, guidance)
    yield lap("walk without gradient")
    last = frozenset({0})
    latents = walk(
        bench.generator, noisy, levels[len(levels) - 1 :], group.words, guidance, last, bench.kept_steps(last, 1)
    )
    yield lap("step with gradient")
    plan = bench.reward.plan(bench.shape.frames, generator=group.randoms("frames")[0])
    frames = bench.generator.decode(latents, plan.index)
    yield lap("decoding")
    score = bench.reward(frames, group.prompts, plan=plan)
    yield lap("reward")
    (back,) = torch.autograd.grad(score.sum(), frames, retain_graph=True)
    yield lap("reward, back")
    (back,) = torch.autograd.grad(frames, latents, back)
    yield lap("decoding, back")
    for weight, gradient in zip(weights, torch.autograd.grad(latents, weights, back), strict=True):
        weight.grad = gradient
    yield lap("step with gradient, back")
    optimiser.param_groups[0]["lr"] = 0.0  # the next round takes the same step
    optimiser.step()
    optimiser.zero_grad()
    yield lap("optimiser")


if __name__ == "__main__":
    main()
