"""The walk, its guidance, and where its gradient goes."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from pydantic import TypeAdapter
from torch import Tensor, nn

from rewardkit import create_reward
from rewardkit.engine.denoise import Guidance, Words, walk
from rewardkit.engine.generator import Embedding, Level
from rewardkit.engine.gradient_steps import GRADIENT_STEPS, GradientSteps
from rewardkit.engine.lora import lora_weights
from rewardkit.engine.memory import Memory
from rewardkit.engine.noise import Levels, Prediction, corrupt, levels_of, to_clean
from rewardkit.engine.objectives import AnyObjective
from rewardkit.engine.statistics import PromptStatistics
from rewardkit.engine.trial import Bench, Group
from rewardkit.spec import parse_part
from tests.engine.toy import Toy, modelscope_scheduler, trained_lora, words

Through = Literal["both", "conditional", "off"]
PROMPTS = ("a cat", "rain over a harbour")


class Knowing(Toy):
    """Its denoiser knows the clip."""

    def __init__(self, clip: Tensor) -> None:
        super().__init__()
        self.clip = clip

    def predict_clean(self, noisy: Tensor, level: Level, embedding: Embedding) -> Tensor:
        return self.clip.repeat(len(noisy) // len(self.clip), 1, 1, 1, 1)


class Watching(Toy):
    """Keeps, of every pass, whether a graph led to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.led: list[bool] = []

    def predict_clean(self, noisy: Tensor, level: Level, embedding: Embedding) -> Tensor:
        self.led.append(noisy.grad_fn is not None)
        return super().predict_clean(noisy, level, embedding)


class Dropping(Toy):
    """Dropout before the denoiser, as in a UNet that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def predict_clean(self, noisy: Tensor, level: Level, embedding: Embedding) -> Tensor:
        dropped = {name: self.dropout(part) for name, part in embedding.items()}
        return super().predict_clean(noisy, level, dropped)


def noise(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def chosen_steps(spec: str, steps: int) -> frozenset[int]:
    return parse_part(GradientSteps, spec, GRADIENT_STEPS).chosen(steps, torch.Generator().manual_seed(5))


def one_step(levels: Levels, number: int) -> Levels:
    return levels[number : number + 1]


def plain_walk(
    toy: Toy, x: Tensor, levels: Levels, told: Words, scale: float, chosen: frozenset[int], through: Through = "both"
) -> Tensor:
    """The same walk on estimates of the noise, nothing checkpointed and a graph everywhere; constants are detached."""
    dropped = toy.dropout if isinstance(toy, Dropping) else nn.Identity()
    for number in range(len(levels)):
        t, signal, sigma = levels.timestep[number], levels.signal[number], levels.noise[number]
        if number in chosen:
            said, unsaid = dropped(told.prompts["words"]), dropped(told.empty["words"])
        else:  # one batch, as without gradient
            unsaid, said = dropped(torch.cat([told.empty["words"], told.prompts["words"]])).chunk(2)
        with_words, without = toy.denoiser(x, t, said), toy.denoiser(x, t, unsaid)
        if through != "both":
            without = without.detach()
        eps = without + scale * (with_words - without)
        if through == "off":
            eps = with_words + (eps - with_words).detach()
        if number not in chosen:
            eps = eps.detach()
        clean = (x - sigma * eps) / signal
        x = levels.signal_below[number] * clean + levels.noise_below[number] * eps
    return x


def doubled(toy: Toy) -> None:
    """In double precision two ways to the same gradient differ by 1e-10, and a wrong one stands out."""
    toy.denoiser.double()
    trained_lora(toy)
    for weight in lora_weights(toy).values():
        weight.data = weight.data.double()


def in_double(told: Words) -> Words:
    return Words(*({name: part.double() for name, part in side.items()} for side in (told.prompts, told.empty)))


def gradients(toy: Toy, latents: Tensor) -> dict[str, Tensor]:
    """Of a loss that weighs every latent differently."""
    weights = lora_weights(toy)
    found = torch.autograd.grad((latents * noise(*latents.shape, seed=9)).sum(), list(weights.values()))
    return dict(zip(weights, found, strict=True))


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_each_step_is_one_of_diffusers(scale: float) -> None:
    toy = Toy()
    told, levels, theirs = words(toy, *PROMPTS), toy.levels(20, toy.default_shape), modelscope_scheduler()
    theirs.set_timesteps(20)
    x = noise(2, 3, 6, 4, 5).double()
    toy.denoiser.double()
    both = torch.cat([told.empty["words"], told.prompts["words"]]).double()
    with torch.no_grad():
        for number, t in enumerate(theirs.timesteps):
            without, with_words = toy.denoiser(torch.cat([x, x]), t, both).chunk(2)
            ours = walk(toy, x, one_step(levels, number), in_double(told), Guidance(scale))
            x = theirs.step(without + scale * (with_words - without), t, x).prev_sample
            # levels are float32 here and there: 1e-7 of what is added up, which the first signal, 0.09, makes large
            torch.testing.assert_close(ours, x, atol=1e-6 * x.abs().max().item(), rtol=0)


def test_the_whole_walk_is_that_of_diffusers() -> None:
    toy = Toy()
    told, levels, theirs = words(toy, *PROMPTS), toy.levels(20, toy.default_shape), modelscope_scheduler()
    theirs.set_timesteps(20)
    start = x = noise(2, 3, 6, 4, 5)
    with torch.no_grad():
        for t in theirs.timesteps:
            without, with_words = (toy.denoiser(x, t, side["words"]) for side in (told.empty, told.prompts))
            x = theirs.step(without + 3 * (with_words - without), t, x).prev_sample
        ours = walk(toy, start, levels, told, Guidance(3.0))
    torch.testing.assert_close(ours, x, atol=1e-5 * x.abs().max().item(), rtol=0)  # 20 steps of float32


@pytest.mark.parametrize("tau", [0.1, 0.6, 1.0])
def test_a_denoiser_that_knows_the_clip_gives_it_back_but_for_the_last_level(tau: float) -> None:
    clip, eps = noise(2, 3, 6, 4, 5), noise(2, 3, 6, 4, 5, seed=4)
    toy = Knowing(clip)
    levels = toy.levels(20, toy.default_shape).last(tau)
    film = walk(toy, corrupt(clip, levels, eps), levels, words(toy, *PROMPTS), Guidance(3.0))
    signal, sigma = 0.99915**0.5, (1 - 0.99915) ** 0.5
    torch.testing.assert_close(film, signal * clip + sigma * eps, atol=2e-5, rtol=0)
    assert (film - clip).std().item() == pytest.approx(0.0292, rel=0.1)


@pytest.mark.parametrize("count", [1, 3, 12])
@pytest.mark.parametrize(("guidance", "passes"), [(Guidance(3.0), 2), (Guidance(3.0, "off"), 1), (Guidance(1.0), 1)])
def test_gradient_steps_have_gradient_passes_and_no_others(count: int, guidance: Guidance, passes: int) -> None:
    toy = Toy()
    trained_lora(toy)
    levels = toy.levels(20, toy.default_shape).last(0.6)
    film = walk(toy, noise(2, 3, 6, 4, 5), levels, words(toy, *PROMPTS), guidance, chosen_steps(f"tail:{count}", 12))
    each = 1 if guidance.scale == 1 else 2
    taken = (12 - count) + each * count
    assert toy.denoiser.films == [2 * each] * (12 - count) + [2] * each * count
    assert sum(toy.denoiser.calls) == passes * count
    film.sum().backward()
    again = toy.denoiser.calls[taken:]
    assert again == [True] * (passes * count), "only passes with gradient are computed again"


@pytest.mark.parametrize("spec", ["last", "tail:3", "steps:4,-1"])
def test_no_graph_is_built_before_the_first_chosen_step(spec: str) -> None:
    toy, chosen = Watching(), chosen_steps(spec, 12)
    trained_lora(toy)
    levels = toy.levels(20, toy.default_shape).last(0.6)
    film = walk(toy, noise(1, 3, 6, 4, 5), levels, words(toy, "a cat"), Guidance(3.0), chosen)
    passes = [(step in chosen, step > min(chosen)) for step in range(12) for _ in range(2 if step in chosen else 1)]
    assert toy.denoiser.calls == [graph for graph, _ in passes]
    assert toy.led == [graph and late for graph, late in passes]
    assert film.requires_grad


@pytest.mark.parametrize("spec", ["last", "steps:0"])
def test_what_the_graph_holds_does_not_grow_with_the_walk(spec: str) -> None:
    """It keeps the latents that each pass of a chosen step begins with, and of steps after it single numbers."""

    def held(steps: int) -> int:
        toy, kept = Toy(), list[int]()
        trained_lora(toy)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()), lambda x: x):
            levels = toy.levels(steps, toy.default_shape)
            walk(toy, noise(1, 3, 6, 4, 5), levels, words(toy, "a cat"), Guidance(3.0), chosen_steps(spec, steps))
        return sum(number for number in kept if number > 1)

    assert held(10) == held(50) == 2 * 3 * 6 * 4 * 5


def test_nothing_chosen_or_gradient_switched_off_gives_a_film_without_graph() -> None:
    toy = Toy()
    trained_lora(toy)
    start, told, levels = noise(1, 3, 6, 4, 5), words(toy, "a cat"), toy.levels(10, toy.default_shape)
    free = walk(toy, start, levels, told, Guidance(3.0))
    with torch.no_grad():
        looking = walk(toy, start, levels, told, Guidance(3.0), chosen_steps("last", 10))
    assert not free.requires_grad
    assert not looking.requires_grad
    assert not any(toy.denoiser.calls)
    assert torch.equal(free, looking)


SPECS = ["last", "tail:3", "uniform:4", "random:3", "steps:2,5,9", "steps:0", "tail:12"]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("through", ["both", "conditional", "off"])
def test_checkpointed_gradient_is_that_of_plain_autograd(spec: str, through: Through) -> None:
    """Steps between chosen ones, and passes that get no gradient, are constant estimates of the noise."""
    toy = Toy()
    doubled(toy)
    levels = toy.levels(20, toy.default_shape).last(0.6)
    start, told, chosen = noise(2, 3, 6, 4, 5).double(), in_double(words(toy, *PROMPTS)), chosen_steps(spec, 12)
    film = walk(toy, start, levels, told, Guidance(3.0, through), chosen)
    expected = plain_walk(toy, start, levels, told, 3.0, chosen, through)
    torch.testing.assert_close(film, expected, atol=1e-9, rtol=1e-9)
    wanted = gradients(toy, expected)
    for name, found in gradients(toy, film).items():
        assert wanted[name].abs().max() > 1e-3, f"{name}: nothing to compare"
        torch.testing.assert_close(found, wanted[name], atol=1e-9, rtol=1e-9)


def test_a_walk_of_constant_steps_has_the_gradient_of_its_linear_formula() -> None:
    toy = Toy()
    levels = toy.levels(20, toy.default_shape).last(0.6)
    start = noise(2, 3, 6, 4, 5).requires_grad_()
    film = walk(toy, start, levels, words(toy, *PROMPTS), Guidance(3.0))
    weight = noise(2, 3, 6, 4, 5, seed=8)
    (found,) = torch.autograd.grad((film * weight).sum(), start)
    # each step is (signal' / signal) * x + constant, and the product of the shares leaves the last over the first
    torch.testing.assert_close(found, weight * (levels.signal_below[-1] / levels.signal[0]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["v_prediction", "flow_prediction", "sample"])
@pytest.mark.parametrize("through", ["both", "conditional"])
def test_a_constant_output_passes_gradient_as_plain_autograd_does(kind: Prediction, through: Through) -> None:
    """Whatever it means: the output is detached, and the rest is the step's arithmetic."""
    toy = Toy(prediction=kind)
    doubled(toy)
    told, start = in_double(words(toy, *PROMPTS)), noise(2, 3, 6, 4, 5).double().requires_grad_()
    flow = FlowMatchEulerDiscreteScheduler(shift=3.0)
    levels = (levels_of(flow, 6) if kind == "flow_prediction" else toy.levels(20, toy.default_shape)).last(0.5)
    chosen = frozenset({1}) if through == "conditional" else frozenset()
    film, x = walk(toy, start, levels, told, Guidance(3.0, through), chosen), start
    for number in range(len(levels)):
        t, *level = (part[number] for part in vars(levels).values())
        signal, sigma, signal_below, sigma_below = (part.double() for part in level)
        with_words, without = (toy.denoiser(x, t, side["words"]) for side in (told.prompts, told.empty))
        if number not in chosen:
            with_words = with_words.detach()
        without = without.detach()
        clean, other = (to_clean(kind, output, x, signal, sigma) for output in (with_words, without))
        clean = other + 3 * (clean - other)
        x = signal_below * clean + sigma_below * (x - signal * clean) / sigma
    torch.testing.assert_close(film, x, atol=1e-9, rtol=1e-6)
    weight = noise(2, 3, 6, 4, 5, seed=8).double()
    found, wanted = (torch.autograd.grad((one * weight).sum(), start)[0] for one in (film, x))
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-6)


def test_two_passes_run_one_after_the_other() -> None:
    toy, apart = Toy(), Toy()
    apart.memory = Memory(split_guidance=True)
    made = []
    for one in (toy, apart):
        levels = one.levels(4, one.default_shape)
        with torch.no_grad():
            made.append(walk(one, noise(2, 3, 6, 4, 5), levels, words(one, *PROMPTS), Guidance(3.0)))
    assert toy.denoiser.films == [4] * 4
    assert apart.denoiser.films == [2] * 8
    torch.testing.assert_close(*made, atol=1e-5, rtol=1e-5)


class Told(Toy):
    """Its denoiser is told the scale of guidance."""

    guidance = "embedded"

    def predict_clean(self, noisy: Tensor, level: Level, embedding: Embedding) -> Tensor:
        scale = embedding["guidance"]
        return super().predict_clean(noisy, level, {"words": embedding["words"] * scale[:, None]})


@pytest.mark.parametrize("scale", [1.0, 2.5, None])
def test_embedded_guidance_is_told_the_scale_and_takes_one_pass(scale: float | None) -> None:
    toy, plain = Told(), Toy()
    levels, told = toy.levels(4, toy.default_shape), words(toy, *PROMPTS)
    own = toy.default_guidance if scale is None else scale
    with torch.no_grad():
        film = walk(toy, noise(2, 3, 6, 4, 5), levels, told, Guidance(scale))
        strong = Words({"words": told.prompts["words"] * own}, told.empty)
        torch.testing.assert_close(film, walk(plain, noise(2, 3, 6, 4, 5), levels, strong, Guidance(1.0)))
    assert toy.denoiser.films == [2] * 4


@pytest.mark.parametrize("settings", [{"kind": "reward", "kl": 0.1, "data_alignment": 1.0}, {"kind": "rwr"}])
def test_every_pass_of_an_objective_is_told_the_scale(settings: dict[str, object]) -> None:
    toy = Told()
    trained_lora(toy)
    shape = toy.default_shape
    bench = Bench(toy, create_reward("contrast", frames="all"), toy.levels(4, shape), shape, torch.device("cpu"))
    group = Group(PROMPTS, words(toy, *PROMPTS), torch.zeros(2, 3, 6, 4, 5), ["a", "b"], "c")
    objective = TypeAdapter(AnyObjective).validate_python(settings | {"tau": 0.5, "guidance": 2.0})
    ((loss,),) = map(list, objective.updates(bench, [group], PromptStatistics()))
    assert loss.value.isfinite()


def test_gradient_changes_no_value() -> None:
    toy = Toy()
    trained_lora(toy)
    start, told, levels = noise(2, 3, 6, 4, 5), words(toy, *PROMPTS), toy.levels(20, toy.default_shape).last(0.6)
    free = walk(toy, start, levels, told, Guidance(3.0))
    for spec in SPECS:
        assert torch.equal(walk(toy, start, levels, told, Guidance(3.0), chosen_steps(spec, 12)), free)


@pytest.mark.parametrize("spec", ["last", "tail:3"])
def test_dropout_inside_a_checkpointed_step_is_the_same_on_the_way_back(spec: str) -> None:
    toy = Dropping()
    doubled(toy)
    levels = toy.levels(20, toy.default_shape).last(0.6)
    start, told, chosen = noise(2, 3, 6, 4, 5).double(), in_double(words(toy, *PROMPTS)), chosen_steps(spec, 12)
    torch.manual_seed(11)
    film = walk(toy, start, levels, told, Guidance(3.0), chosen)
    torch.manual_seed(12)  # whatever is drawn before the way back
    found = gradients(toy, film)
    torch.manual_seed(11)
    wanted = gradients(toy, plain_walk(toy, start, levels, told, 3.0, chosen))
    for name in found:
        torch.testing.assert_close(found[name], wanted[name], atol=1e-9, rtol=1e-9)
    torch.manual_seed(12)
    other = gradients(toy, plain_walk(toy, start, levels, told, 3.0, chosen))
    assert any(not torch.allclose(found[name], other[name]) for name in found), "dropout does nothing"


def test_gradient_reaches_the_lora_and_nothing_else() -> None:
    toy = Toy()
    weights = trained_lora(toy)
    reward = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 1)).requires_grad_(False)
    told, levels = words(toy, *PROMPTS), toy.levels(20, toy.default_shape).last(0.6)
    latents = walk(toy, noise(2, 3, 6, 4, 5), levels, told, Guidance(3.0), chosen_steps("last", 12))
    frames = toy.decode(latents, torch.tensor([[0, 4], [1, 2]]))
    (-reward(frames.flatten(0, 1)).mean()).backward()
    for name, weight in weights.items():
        assert weight.grad is not None, name
        assert 0 < weight.grad.abs().max() < torch.inf, name
    rest = [weight for weight in toy.denoiser.parameters() if not any(weight is own for own in weights.values())]
    assert len(rest) == 2
    assert all(part.grad is None for part in [*rest, *reward.parameters()])
    assert all(not part.requires_grad for side in (told.prompts, told.empty) for part in side.values())


def test_low_precision_loses_no_gradient_to_steps_without() -> None:
    """Before pytorch#165068, a block of autocast that began without gradient went on without."""
    toy = Toy()
    trained_lora(toy)
    told, levels, start = words(toy, *PROMPTS), toy.levels(20, toy.default_shape).last(0.6), noise(2, 3, 6, 4, 5)

    def cast() -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16)

    with cast():
        film = walk(toy, start, levels, told, Guidance(3.0), chosen_steps("last", 12))
    with torch.no_grad(), cast():
        first = walk(toy, start, levels[:11], told, Guidance(3.0))
    with cast():
        alone = walk(toy, first, one_step(levels, 11), told, Guidance(3.0), frozenset({0}))
    found, wanted = gradients(toy, film), gradients(toy, alone)
    for name in found:
        assert torch.equal(found[name], wanted[name])
        assert found[name].abs().max() > 0
