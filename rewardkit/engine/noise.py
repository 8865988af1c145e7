"""Noise levels, whatever a backbone was trained to predict.

A level is a pair (signal, noise): noisy = signal * clean + noise * eps. With an estimate of `clean`, one step down is
signal' * clean + noise' * eps: DDIM without added noise for models that predict eps or v, Euler for flow matching.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rewardkit.errors import UsageError

Prediction = Literal["epsilon", "v_prediction", "flow_prediction", "sample"]
"""What a denoiser gives, by the names of diffusers."""

Latents = Float[Tensor, "batch channel frame height width"]


@dataclass(frozen=True, eq=False)
class Levels:
    """The steps that a walk takes, noisiest first: from which level, and down to which.

    A step ends where the next begins, but for schedulers whose own spacing does not meet (`linspace` of DDIM).

    Attributes:
        timestep: what the denoiser is told at each step.
        signal: of the level that each step starts from.
        noise: of that level.
        signal_below: of the level that each step ends at.
        noise_below: of that level.
    """

    timestep: Float[Tensor, " step"]
    signal: Float[Tensor, " step"]
    noise: Float[Tensor, " step"]
    signal_below: Float[Tensor, " step"]
    noise_below: Float[Tensor, " step"]

    def __len__(self) -> int:
        return len(self.timestep)

    def __getitem__(self, steps: slice) -> Levels:
        return Levels(*(values[steps] for values in vars(self).values()))

    def reach(self, number: int) -> float:
        """How far a step goes: 0 where it ends at the level that it starts from, so that no output changes a film."""
        _, signal, noise, signal_below, noise_below = (float(part[number]) for part in vars(self).values())
        return abs(signal_below * noise - noise_below * signal)

    def last(self, tau: float) -> Levels:
        """The part of the walk below the level at share `tau` of the chain: round(tau * steps) steps, 12 of 20 for 0.6.

        Raises:
            UsageError: tau not in (0, 1], or so small that no step is left.
        """
        steps = round(tau * len(self)) if 0 < tau <= 1 else 0
        if steps < 1:
            raise UsageError(f"tau must be above 0, at most 1, and leave a step: got {tau} of {len(self)} steps")
        return self[-steps:]


def levels_of(scheduler: Any, steps: int, **timesteps: Any) -> Levels:
    """The levels on which a diffusers scheduler would take `steps` deterministic first-order steps.

    Flow-matching schedulers (with `sigmas`, such as FlowMatchEuler) give theirs; those with a chain of betas give
    DDIM's, down to the last level, which is abar[0] where `set_alpha_to_one` is false. The scheduler is not changed.

    Args:
        scheduler: from a pipeline.
        steps: of the whole chain.
        timesteps: passed on to `set_timesteps`, such as the `mu` of a dynamic shift.

    Raises:
        UsageError: fewer than 1 step, or a number that does not divide the chain: the spacing would give another; or a
            scheduler whose levels are none of the two, or that takes no such `timesteps`.
    """
    if steps < 1:
        raise UsageError(f"a walk needs at least 1 step: got {steps}")
    own = type(scheduler).from_config(scheduler.config)
    if hasattr(own, "alphas_cumprod") and not getattr(own.config, "use_flow_sigmas", False):
        return _chain_levels(own, steps)
    try:
        own.set_timesteps(steps, **timesteps)
    except TypeError:
        raise UsageError(
            f"{type(own).__name__} cannot be told {', '.join(timesteps)}, as this backbone needs it: "
            "take FlowMatchEulerDiscreteScheduler"
        ) from None
    sigmas = getattr(own, "sigmas", torch.empty(0)).double().cpu()
    if own.config.get("invert_sigmas", False):  # Mochi counts up to the film
        sigmas = 1 - sigmas
    if len(sigmas) != steps + 1 or sigmas[0] > 1 or (sigmas.diff() >= 0).any():
        raise UsageError(f"no rule gives the levels of {type(own).__name__}: neither a chain of betas nor a flow")
    timestep, sigmas = own.timesteps.float().cpu(), sigmas.float()
    return Levels(timestep, 1 - sigmas[:-1], sigmas[:-1], 1 - sigmas[1:], sigmas[1:])


def _chain_levels(scheduler: Any, steps: int) -> Levels:
    from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler, DDIMScheduler

    chain = scheduler.config.num_train_timesteps
    if chain % steps:
        raise UsageError(f"{steps} steps do not divide the {chain} of the chain: take 10, 20, 25, 40, 50, ...")
    shifted = isinstance(scheduler, CogVideoXDDIMScheduler | CogVideoXDPMScheduler)
    ddim = (CogVideoXDDIMScheduler if shifted else DDIMScheduler).from_config(scheduler.config)
    ddim.set_timesteps(steps)
    timesteps = ddim.timesteps.long().cpu()
    if timesteps[0] >= chain:
        raise UsageError(f"{steps} steps begin at {timesteps[0]}, above the chain of {chain}: take fewer")
    bar, below = ddim.alphas_cumprod.double(), timesteps - chain // steps
    last = torch.as_tensor(ddim.final_alpha_cumprod, dtype=torch.float64)
    ends = torch.where(below >= 0, bar[below.clamp(min=0)], last)
    parts = (timesteps, bar[timesteps].sqrt(), (1 - bar[timesteps]).sqrt(), ends.sqrt(), (1 - ends).sqrt())
    return Levels(*(part.float() for part in parts))


def heading_for(levels: Levels, number: int, start: Latents, end: Latents) -> Latents:
    """The clean latents that the two ends of a step have in common, whatever solver took it.

    Both are a mixture of one clean film and one noise, which two equations tell; at a level without noise it is the
    end.
    """
    _, signal, noise, signal_below, noise_below = (part[number].to(start) for part in vars(levels).values())
    clean: Latents = (noise_below * start - noise * end) / (noise_below * signal - noise * signal_below)
    return clean


def corrupt(clean: Latents, levels: Levels, eps: Latents) -> Latents:
    """`clean` at the first of `levels`."""
    return levels.signal[0].to(clean) * clean + levels.noise[0].to(clean) * eps


def draw_noise(
    shape: tuple[int, ...], generators: list[torch.Generator], offset: float = 0.0
) -> Float[Tensor, "batch channel frame height width"]:
    """Standard normal noise on the CPU, each sample from its own generator, so that no batch size changes it.

    Args:
        shape: of one sample: (channel, frame, height, width).
        generators: one a sample, on the CPU.
        offset: strength of a further draw that is the same for a whole frame and channel.

    Source: offset 0.1 is ali-vilab/VGen@4014d1f's `temporal_offset_noise`, with which InstructVideo was trained.
    """
    drawn = []
    for generator in generators:
        eps = torch.randn(shape, generator=generator)
        if offset:
            eps = eps + offset * torch.randn((*shape[:2], 1, 1), generator=generator)
        drawn.append(eps)
    return torch.stack(drawn)


def to_clean(kind: Prediction, output: Tensor, noisy: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """The estimate of the clean latents that a denoiser's output means.

    Raises:
        UsageError: a kind of prediction that is not known here.
    """
    if kind == "epsilon":
        return (noisy - noise * output) / signal
    if kind == "v_prediction":
        return signal * noisy - noise * output
    if kind == "flow_prediction":
        return noisy - noise * output
    if kind == "sample":
        return output
    raise _no_rule(kind)


def passes_through(kind: Prediction, signal: Tensor) -> Tensor:
    """Derivative of the estimate of clean latents by the noisy ones, where the denoiser's output is a constant.

    Raises:
        UsageError: a kind of prediction that is not known here.
    """
    if kind == "epsilon":
        return 1 / signal
    if kind == "v_prediction":
        return signal
    if kind == "flow_prediction":
        return torch.ones_like(signal)
    if kind == "sample":
        return torch.zeros_like(signal)
    raise _no_rule(kind)


def _no_rule(kind: str) -> UsageError:
    return UsageError(f"no rule turns {kind!r} into clean latents: epsilon, v_prediction, flow_prediction, sample")
