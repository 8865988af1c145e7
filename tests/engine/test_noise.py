"""Levels, golden values of InstructVideo's schedule, and what predictions mean."""

import math

import pytest
import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from rewardkit.engine.noise import Prediction, corrupt, draw_noise, levels_of, to_clean
from rewardkit.errors import UsageError
from tests.engine.toy import modelscope_scheduler

# tau, steps, timestep, abar at 20 steps: ali-vilab/VGen@4014d1f, run
GOLDEN = [
    (0.1, 2, 51, 0.950524),
    (0.3, 6, 251, 0.672151),
    (0.5, 10, 451, 0.345558),
    (0.6, 12, 551, 0.212783),
    (0.7, 14, 651, 0.116325),
    (0.9, 18, 851, 0.023077),
    (1.0, 20, 951, 0.008155),
]


@pytest.mark.parametrize(("tau", "steps", "timestep", "bar"), GOLDEN)
def test_start_of_the_walk_is_the_official_one(tau: float, steps: int, timestep: int, bar: float) -> None:
    part = levels_of(modelscope_scheduler(), 20).last(tau)
    assert len(part) == steps
    assert part.timestep[0] == timestep
    assert part.signal[0].item() ** 2 == pytest.approx(bar, abs=1e-6)
    assert part.noise[0].item() == pytest.approx(math.sqrt(1 - bar), abs=1e-6)


def test_grid_and_last_level_are_the_official_ones() -> None:
    levels = levels_of(modelscope_scheduler(), 20)
    assert levels.timestep.tolist() == list(range(951, 0, -50))
    assert levels.signal_below[-1].item() ** 2 == pytest.approx(0.99915, abs=1e-6)
    assert levels.signal[-1].item() ** 2 == pytest.approx(0.998296, abs=1e-6)
    fifty = levels_of(modelscope_scheduler(), 50).last(0.6)
    assert (len(fifty), fifty.timestep[0]) == (30, 581)
    assert fifty.signal[0].item() ** 2 == pytest.approx(0.179864, abs=1e-6)


@pytest.mark.parametrize(("timestep", "sensitivity"), [(1, -0.01214), (51, -0.1867), (101, -0.1151), (551, -0.1572)])
def test_one_step_is_as_sensitive_to_eps_as_the_official_one(timestep: int, sensitivity: float) -> None:
    levels = levels_of(modelscope_scheduler(), 20)
    at = levels.timestep.tolist().index(timestep)
    _, signal, noise, below, noise_below = (part[at] for part in vars(levels).values())
    assert (-below * noise / signal + noise_below).item() == pytest.approx(sensitivity, abs=5e-5)


SCHEDULERS = {
    "leading eps": modelscope_scheduler(),
    "trailing eps": DDIMScheduler(timestep_spacing="trailing", clip_sample=False, beta_schedule="linear"),
    "leading v": modelscope_scheduler(prediction_type="v_prediction"),
    "trailing v, no signal at first": DDIMScheduler(
        timestep_spacing="trailing", clip_sample=False, prediction_type="v_prediction", rescale_betas_zero_snr=True
    ),
    "CogVideoX": CogVideoXDDIMScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, snr_shift_scale=3.0, timestep_spacing="trailing",
        clip_sample=False, set_alpha_to_one=True, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
    ),
    "linspace eps, whose steps do not meet": DDIMScheduler(
        timestep_spacing="linspace", clip_sample=False, beta_schedule="linear", steps_offset=1
    ),
    "flow": FlowMatchEulerDiscreteScheduler(shift=3.0),
    "flow that counts up": FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [4, 20])
def test_walking_the_levels_is_stepping_the_scheduler(name: str, steps: int) -> None:
    scheduler = SCHEDULERS[name]
    kind: Prediction = "flow_prediction" if "flow" in name else scheduler.config.prediction_type
    levels = levels_of(scheduler, steps)
    scheduler.set_timesteps(steps)
    torch.manual_seed(0)
    theirs = ours = torch.randn(2, 3, 4, 5)

    def network(x: torch.Tensor, t: float) -> torch.Tensor:
        return torch.tanh(x) * (0.5 + t / 1000)

    for number, t in enumerate(scheduler.timesteps):
        output = network(theirs, float(t))
        theirs = scheduler.step(-output if "up" in name else output, t, theirs, return_dict=False)[0]
        output = network(ours, levels.timestep[number].item())
        signal, noise = levels.signal[number], levels.noise[number]
        clean = to_clean(kind, output, ours, signal, noise)
        eps = (ours - signal * clean) / noise
        ours = levels.signal_below[number] * clean + levels.noise_below[number] * eps
        torch.testing.assert_close(ours, theirs, atol=2e-6 * max(1.0, theirs.abs().max().item()), rtol=1e-5)


@pytest.mark.parametrize("family", [DPMSolverMultistepScheduler, PNDMScheduler, LCMScheduler, UniPCMultistepScheduler])
def test_another_solver_of_the_same_chain_is_walked_by_the_chain(family: type) -> None:
    """PNDM itself takes 29 steps for 20, LCM a grid of its own."""
    own = modelscope_scheduler()
    solver = family.from_config(own.config)
    for a, b in zip(vars(levels_of(own, 20)).values(), vars(levels_of(solver, 20)).values(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_multistep_solver_of_a_flow_is_walked_by_its_own_levels() -> None:
    """Wan's: sigma' = shift * sigma / (1 + (shift - 1) * sigma)."""
    solver = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    levels = levels_of(solver, 10)
    even = torch.linspace(1, 1 / 1000, 11)[:-1]
    torch.testing.assert_close(levels.noise, 3 * even / (1 + 2 * even), atol=1e-3, rtol=0)
    assert levels.noise_below[-1] == 0
    assert torch.equal(levels.noise_below[:-1], levels.noise[1:])
    torch.testing.assert_close(levels.signal + levels.noise, torch.ones(10))
    torch.testing.assert_close(levels.timestep, 1000 * levels.noise, atol=1.0, rtol=0)  # it rounds down


@pytest.mark.parametrize(
    "scheduler",
    [
        EDMEulerScheduler(),
        FlowMatchHeunDiscreteScheduler(),
    ],
)
def test_a_scheduler_without_levels_of_this_kind_is_refused(scheduler: object) -> None:
    with pytest.raises(UsageError, match=f"no rule gives the levels of {type(scheduler).__name__}"):
        levels_of(scheduler, 20)


def test_a_solver_that_takes_no_levels_of_others_is_refused() -> None:
    solver = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    with pytest.raises(
        UsageError, match=r"^DPMSolverMultistepScheduler cannot be told sigmas, as this backbone needs it"
    ):
        levels_of(solver, 5, sigmas=[1.0, 0.8, 0.6, 0.4, 0.2])


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow_prediction", "sample"])
def test_the_right_answer_gives_back_the_clip(kind: Prediction) -> None:
    torch.manual_seed(0)
    clean, eps = torch.randn(2, 3, 4, 5, 6), torch.randn(2, 3, 4, 5, 6)
    signal, noise = (torch.tensor(0.3), torch.tensor(0.7)) if "flow" in kind else (torch.tensor(0.6), torch.tensor(0.8))
    noisy = signal * clean + noise * eps
    output = {
        "epsilon": eps,
        "v_prediction": signal * eps - noise * clean,
        "flow_prediction": eps - clean,
        "sample": clean,
    }
    torch.testing.assert_close(to_clean(kind, output[kind], noisy, signal, noise), clean, atol=1e-5, rtol=1e-5)


def test_corruption_has_the_mean_and_variance_of_the_level() -> None:
    part = levels_of(modelscope_scheduler(), 20).last(0.6)
    clean = torch.full((1, 1, 100, 100, 100), 2.0)
    noisy = corrupt(clean, part, torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)))
    assert noisy.mean().item() == pytest.approx(2 * part.signal[0].item(), abs=0.003)
    assert noisy.std().item() == pytest.approx(part.noise[0].item(), abs=0.003)


def test_noise_of_a_sample_does_not_depend_on_its_batch_and_offset_is_shared_by_a_frame() -> None:
    def seeded(*seeds: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    shape = (4, 3, 30, 40)
    both = draw_noise(shape, seeded(1, 2), offset=0.1)
    assert torch.equal(both[1:], draw_noise(shape, seeded(2), offset=0.1))
    assert not torch.equal(both[0], both[1])
    shift = both - draw_noise(shape, seeded(1, 2))
    assert torch.allclose(shift, shift[..., :1, :1].expand_as(shift), atol=1e-6)
    assert 0.05 < shift[..., 0, 0].std().item() < 0.2


@pytest.mark.parametrize("steps", [0, -1, 30, 7])
def test_a_number_of_steps_that_is_no_grid_is_refused(steps: int) -> None:
    with pytest.raises(UsageError, match=r"steps do not divide|at least 1 step"):
        levels_of(modelscope_scheduler(), steps)


def test_a_walk_that_begins_above_the_chain_is_refused() -> None:
    """1000 leading steps with an offset of 1 begin at timestep 1000, the chain's last is 999."""
    with pytest.raises(UsageError, match="1000 steps begin at 1000, above the chain of 1000: take fewer"):
        levels_of(modelscope_scheduler(), 1000)
    assert len(levels_of(modelscope_scheduler(), 500)) == 500


@pytest.mark.parametrize("tau", [0.0, -0.1, 1.1, 0.02])
def test_a_tau_that_leaves_no_step_is_refused(tau: float) -> None:
    with pytest.raises(UsageError, match="tau must be above 0"):
        levels_of(modelscope_scheduler(), 20).last(tau)
