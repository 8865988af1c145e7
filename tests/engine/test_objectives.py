"""Each objective's gradient is the one that plain autograd, or a closed form, gives on a linear toy."""

import math

import pytest
import torch
from torch import Tensor

import rewardkit as rk
from rewardkit.engine.denoise import Words
from rewardkit.engine.lora import LoraSettings, add_lora
from rewardkit.engine.noise import corrupt, draw_noise
from rewardkit.engine.objectives import (
    Ddpo,
    Draft,
    Objective,
    RewardGradient,
    RewardWeighted,
    added_noise,
    log_probability,
)
from rewardkit.engine.statistics import PromptStatistics
from rewardkit.engine.trial import Bench, Group
from rewardkit.errors import UsageError
from tests.engine.toy import Toy
from tests.judges import Brightness

PROMPTS = ["a cat", "two dogs in a boat"]
SCALE = 2.0


def bench(steps: int = 4) -> tuple[Bench, dict[str, torch.nn.Parameter]]:
    toy = Toy()
    weights = add_lora(toy, LoraSettings(rank=2))
    torch.manual_seed(1)
    for name, weight in weights.items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    reward = rk.VideoReward(Brightness(), frames="segments:2", weights="attenuate:1.0")
    return Bench(toy, reward, toy.levels(steps, toy.default_shape), toy.default_shape, torch.device("cpu")), weights


def group(bench: Bench, clean: bool = True) -> Group:
    toy = bench.generator
    films = torch.randn(2, 3, 6, 4, 5, generator=torch.Generator().manual_seed(2)) if clean else None
    words = Words(toy.embed(PROMPTS), toy.embed(["", ""]))
    return Group(PROMPTS, words, films, ["0/0/0", "0/0/1"], "0/0")


def gradient(objective: Objective, bench: Bench, group: Group, weights: dict[str, torch.nn.Parameter]) -> list[Tensor]:
    (update,) = objective.updates(bench, [group], PromptStatistics())
    for loss in update:
        loss.value.backward()
    return [weight.grad for weight in weights.values() if weight.grad is not None]


def plain_walk(bench: Bench, group: Group, x: Tensor, levels: object, tail: int) -> Tensor:
    """The walk written out, eps-prediction, with a graph through the last `tail` steps."""
    denoiser, grid = bench.generator.denoiser, list(vars(levels).values())  # type: ignore[attr-defined]
    for number in range(len(levels)):  # type: ignore[arg-type]
        with torch.set_grad_enabled(number >= len(levels) - tail):  # type: ignore[arg-type]
            t, signal, noise, below, noise_below = (part[number] for part in grid)
            told, untold = denoiser(x, t, group.words.prompts["words"]), denoiser(x, t, group.words.empty["words"])
            eps = untold + SCALE * (told - untold)
            x = below * (x - noise * eps) / signal + noise_below * eps
    return x


def scores(bench: Bench, group: Group, latents: Tensor) -> Tensor:
    """Of whole films, decoded in full and picked afterwards."""
    rows = []
    for row, random in enumerate(group.randoms("frames")):
        plan = bench.reward.plan(6, generator=random)
        film = bench.generator.decode(latents[row : row + 1])
        weights = torch.exp(-(plan.index[0] - 3).abs().float())
        rows.append((weights * film[0, plan.index[0]].mean(dim=(1, 2, 3))).mean())
    return torch.stack(rows)


@pytest.mark.parametrize("tail", [1, 2])
@pytest.mark.parametrize("start", ["clip", "noise"])
def test_reward_gradient_is_plain_autograd_through_the_last_steps(start: str, tail: int) -> None:
    made, weights = bench()
    films = group(made, clean=start == "clip")
    objective = (
        Draft(gradient_steps=f"tail:{tail}", guidance=SCALE)
        if start == "noise"
        else RewardGradient(start="clip", gradient_steps=f"tail:{tail}", tau=0.5, guidance=SCALE)
    )
    found = gradient(objective, made, films, weights)
    levels = made.levels if start == "noise" else made.levels.last(0.5)
    eps = draw_noise((3, 6, 4, 5), films.randoms("noise"))
    x = eps if films.clean is None else corrupt(films.clean, levels, eps)
    loss = -scores(made, films, plain_walk(made, films, x, levels, tail)).mean()
    wanted = torch.autograd.grad(loss, list(weights.values()))
    for a, b in zip(found, wanted, strict=True):
        assert float(b.abs().max()) > 1e-8
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_ties_and_alignment_are_what_their_formulas_say() -> None:
    made, weights = bench()
    films = group(made)
    settings = {"start": "clip", "tau": 0.5, "guidance": SCALE}
    bare = gradient(RewardGradient(**settings), made, films, weights)
    bare = [part.clone() for part in bare]
    for weight in weights.values():
        weight.grad = None
    tied = gradient(RewardGradient(**settings, kl=0.3, anchor=0.2), made, films, weights)
    levels = made.levels.last(0.5)
    number = int(torch.randint(2, (), generator=films.random("level")))
    eps = draw_noise((3, 6, 4, 5), films.randoms("noise"))
    noisy = levels.signal[number] * films.clean + levels.noise[number] * eps
    words, t = films.words.prompts["words"], levels.timestep[number]
    estimate = made.generator.denoiser(noisy, t, words)  # type: ignore[attr-defined]
    with made.base(), torch.no_grad():
        base = made.generator.denoiser(noisy, t, words)  # type: ignore[attr-defined]
    loss = 0.3 * (estimate - base).pow(2).mean() + 0.2 * (estimate - eps).pow(2).mean()
    for a, b, c in zip(tied, bare, torch.autograd.grad(loss, list(weights.values())), strict=True):
        torch.testing.assert_close(a - b, c, atol=2e-6, rtol=1e-3)


def test_data_alignment_weighs_each_film_by_how_well_the_model_fits_it() -> None:
    made, weights = bench()
    films = group(made)
    found = gradient(RewardGradient(start="clip", tau=0.5, guidance=SCALE, data_alignment=0.5), made, films, weights)
    levels = made.levels.last(0.5)
    eps = draw_noise((3, 6, 4, 5), films.randoms("noise"))
    x = corrupt(films.clean, levels, eps)
    with torch.no_grad():
        estimate = made.generator.denoiser(x, levels.timestep[0], films.words.prompts["words"])  # type: ignore[attr-defined]
    counts = torch.exp(-0.5 * (estimate - eps).pow(2).mean(dim=(1, 2, 3, 4)))
    loss = -(counts * scores(made, films, plain_walk(made, films, x, levels, 1))).mean()
    for a, b in zip(found, torch.autograd.grad(loss, list(weights.values())), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("weighting", ["raw", "exponential"])
def test_reward_weighted_regression_is_the_weighted_training_loss(weighting: str) -> None:
    made, weights = bench()
    films = group(made)
    objective = RewardWeighted(start="clip", tau=0.5, guidance=SCALE, weighting=weighting, temperature=0.5)
    found = gradient(objective, made, films, weights)
    levels = made.levels.last(0.5)
    eps = draw_noise((3, 6, 4, 5), films.randoms("noise"))
    with torch.no_grad():
        clip = plain_walk(made, films, corrupt(films.clean, levels, eps), levels, 0)
        rewards = scores(made, films, clip)
    number = int(torch.randint(4, (), generator=films.random("level")))
    noisy = made.levels.signal[number] * clip + made.levels.noise[number] * eps
    estimate = made.generator.denoiser(noisy, made.levels.timestep[number], films.words.prompts["words"])  # type: ignore[attr-defined]
    error = (estimate - eps).pow(2).mean(dim=(1, 2, 3, 4))
    counts = rewards
    if weighting == "exponential":
        counts = ((rewards - rewards.mean()) / (rewards.std(correction=0) + 1e-6) / 0.5).exp()
        counts = counts / counts.mean()
    for a, b in zip(found, torch.autograd.grad((counts * error).mean(), list(weights.values())), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-3)


def test_the_first_update_of_ddpo_is_the_score_function_gradient() -> None:
    made, weights = bench()
    films = group(made, clean=False)
    objective = Ddpo(guidance=SCALE, eta=0.7)
    found = gradient(objective, made, films, weights)
    signal, noise = made.levels.signal.double(), made.levels.noise.double()
    x = draw_noise((3, 6, 4, 5), films.randoms("noise"))
    logs = []
    for number in range(4):
        t = made.levels.timestep[number]
        words, empty = films.words.prompts["words"], films.words.empty["words"]
        told, untold = (made.generator.denoiser(x, t, one) for one in (words, empty))  # type: ignore[attr-defined]
        eps = untold + SCALE * (told - untold)
        bar, below = float(signal[number] ** 2), float(made.levels.signal_below[number].double() ** 2)
        sigma = 0.7 * math.sqrt((1 - below) / (1 - bar) * (1 - bar / below))
        mean = math.sqrt(below) * (x - noise[number].float() * eps) / signal[number].float()
        mean = mean + math.sqrt(1 - below - sigma**2) * eps
        x = (mean + sigma * draw_noise((3, 6, 4, 5), films.randoms(f"step {number}"))).detach()
        logs.append(torch.distributions.Normal(mean, sigma).log_prob(x).mean(dim=(1, 2, 3, 4)))
    with torch.no_grad():
        rewards = scores(made, films, x)
    advantage = (rewards - rewards.mean()) / (rewards.std(correction=0) + 1e-6)
    loss = -(advantage * torch.stack(logs)).mean()
    for a, b in zip(found, torch.autograd.grad(loss, list(weights.values())), strict=True):
        assert float(b.abs().max()) > 1e-7
        torch.testing.assert_close(a, b, atol=1e-5, rtol=2e-3)


def test_later_updates_of_ddpo_clip_the_ratio() -> None:
    made, weights = bench()
    films = group(made, clean=False)
    clipped = []
    for update in Ddpo(guidance=SCALE, inner_epochs=3).updates(made, [films], PromptStatistics()):
        losses = list(update)
        clipped.append(max(loss.facts["clipped"] for loss in losses))
        sum(loss.value for loss in losses).backward()  # type: ignore[union-attr]
        with torch.no_grad():
            for weight in weights.values():
                weight -= 100 * weight.grad  # type: ignore[operator]
                weight.grad = None
    assert clipped[0] == 0
    assert clipped[2] > 0


def test_log_probability_is_the_normal_distribution_and_needs_noise() -> None:
    value, mean = torch.randn(2, 3, 1, 2, 2), torch.randn(2, 3, 1, 2, 2)
    wanted = torch.distributions.Normal(mean, 0.3).log_prob(value).mean(dim=(1, 2, 3, 4))
    torch.testing.assert_close(log_probability(value, mean, 0.3), wanted)
    with pytest.raises(UsageError, match="without added noise"):
        log_probability(value, mean, 0.0)


def test_noise_of_a_step_is_ddims_sigma() -> None:
    bar, below = 0.2, 0.5
    sigma = math.sqrt((1 - below) / (1 - bar) * (1 - bar / below))
    found = added_noise(math.sqrt(bar), math.sqrt(1 - bar), math.sqrt(below), math.sqrt(1 - below))
    assert found == pytest.approx(sigma)


def test_statistics_of_a_prompt_are_used_once_there_are_enough() -> None:
    statistics = PromptStatistics(kept=4, least=3)
    first = statistics.advantages(["a", "b"], torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(first, torch.tensor([-1.0, 1.0]), atol=1e-4, rtol=0)
    statistics.advantages(["a", "a"], torch.tensor([2.0, 3.0]))
    (known,) = statistics.advantages(["a"], torch.tensor([4.0]))
    assert known.item() == pytest.approx((4 - 2.5) / torch.tensor([1.0, 2, 3, 4]).std(correction=0).item(), abs=1e-4)
    again = PromptStatistics(kept=4, least=3)
    again.restore(statistics.state())
    assert again.state() == statistics.state()


@pytest.mark.parametrize(
    "words", [{"tau": 0}, {"tau": 1.5}, {"gradient_steps": "tail:0"}, {"start": "video"}, {"kl": -1}]
)
def test_settings_that_make_no_sense_are_refused(words: dict[str, object]) -> None:
    with pytest.raises((ValueError, UsageError)):
        RewardGradient(**words)  # type: ignore[arg-type]
