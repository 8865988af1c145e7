"""What a step's graph holds: neither more walked steps nor more frames outside the plan add to it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import rewardkit as rk
from rewardkit.engine.denoise import Words
from rewardkit.engine.generator import FilmShape
from rewardkit.engine.lora import LoraSettings, add_lora
from rewardkit.engine.objectives import RewardGradient
from rewardkit.engine.statistics import PromptStatistics
from rewardkit.engine.trial import Bench, Group
from rewardkit_adapters.modelscope import ModelScope
from tests.judges import Brightness

PROMPTS = ["a red cat", "rain over a harbour at night"]
HEIGHT, WIDTH = 24, 40


def saved_bytes(generator: ModelScope, work: Callable[[], Tensor]) -> int:
    """What autograd keeps of `work` for the way back; what tensors share counts once, and weights do not."""
    parts = (generator.unet, generator.vae)
    weights = {weight.untyped_storage().data_ptr() for part in parts for weight in part.parameters()}
    held: dict[int, Tensor] = {}  # kept alive, so that no address comes twice

    def pack(saved: Tensor) -> Tensor:
        held[saved.untyped_storage().data_ptr()] = saved
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        assert work().requires_grad
    return sum(saved.untyped_storage().nbytes() for address, saved in held.items() if address not in weights)


def setup(steps: int, frames: int = 5) -> tuple[Bench, Group]:
    generator = ModelScope.tiny()
    add_lora(generator, LoraSettings(rank=2))
    shape = FilmShape(frames, HEIGHT, WIDTH)
    reward = rk.VideoReward(Brightness(), frames="segments:4")
    bench = Bench(generator, reward, generator.levels(steps, shape), shape, torch.device("cpu"))
    clean = torch.randn(2, *generator.latent_shape(shape), generator=torch.Generator().manual_seed(2))
    words = Words(generator.embed(PROMPTS), generator.embed(["", ""]))
    return bench, Group(PROMPTS, words, clean, ["0/0/0", "0/0/1"], "0/0")


def saved_by_step(steps: int, tau: float, chosen: str = "last") -> int:
    bench, group = setup(steps)
    objective = RewardGradient(tau=tau, gradient_steps=chosen, guidance=1.0)

    def work() -> Tensor:
        ((loss,),) = map(list, objective.updates(bench, [group], PromptStatistics()))
        return loss.value

    return saved_bytes(bench.generator, work)


def saved_by_judging(frames: int, every: bool = False) -> int:
    """Of decoding and scoring 4 frames of a film of so many; or of decoding them all and picking afterwards."""
    bench, group = setup(20, frames)
    assert group.clean is not None
    latents = group.clean.requires_grad_()

    def work() -> Tensor:
        if not every:
            return bench.judge(group, latents).score
        plan = bench.reward.plan(frames, len(group), group.random("frames"))
        return bench.reward(plan.take(bench.generator.decode(latents)), PROMPTS, plan=plan)

    return saved_bytes(bench.generator, work)


def test_48_walked_steps_save_no_more_than_12() -> None:
    few, many = saved_by_step(20, 0.6), saved_by_step(50, 0.96)
    assert few > 1e5
    assert abs(many - few) < 500, "no more than the levels themselves, one number a step"


def test_a_second_chosen_step_saves_its_latents_and_is_noticed() -> None:
    one, two = saved_by_step(20, 0.6), saved_by_step(20, 0.6, "tail:2")
    assert two > one


def test_frames_outside_the_plan_save_nothing() -> None:
    assert saved_by_judging(8) == saved_by_judging(16) == saved_by_judging(32) > 0


def test_decoding_frames_outside_the_plan_is_noticed() -> None:
    assert saved_by_judging(16, every=True) > 3 * saved_by_judging(16)
