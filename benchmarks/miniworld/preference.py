"""Trains the mini world's two rewards: the preference `miniworld`, and `miniworld-judge`, which is held out.

    python benchmarks/miniworld/preference.py [--only preference|judge] [--measure]

Everything is seeded. The results are state dicts of open_clip's CLIP at half precision, as HPSv2's checkpoint is one:
rewardkit/miniworld/weights/preference.safetensors and judge.safetensors, with vocabulary.txt beside them.
`--measure` trains nothing and prints what the two rewards say about films that were drawn for neither.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from films import FRAMES, SIZE, captions
from numpy.typing import NDArray
from open_clip import CLIP
from pictures import BADNESS, Twins, another, damaged, draw_strengths, draw_twins
from safetensors.torch import save_file
from torch import Tensor

import rewardkit as rk
from rewardkit.miniworld.preference import CONTEXT, RESNET, TRANSFORMER, WORDS
from rewardkit.miniworld.renderer import draw
from rewardkit.miniworld.truth import COLOURS, DIRECTIONS, QUALITIES, SHAPES, SPEEDS, Truth, caption, sample_truths
from rewardkit.rewards.preprocessing import CLIP_COLOURS
from rewardkit.rewards.towers.words import WordTokenizer

OUT = Path(__file__).parent.parent.parent / "rewardkit" / "miniworld" / "weights"
SURENESS = 6.0  # log-odds that an untouched picture is preferred to one that is spoiled at full strength
MOST_SCALE = 100.0  # as in CLIP

Step = Callable[[CLIP, WordTokenizer, Twins, np.random.Generator], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("preference", "judge"))
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if not asked.measure:
        OUT.mkdir(exist_ok=True)
        tokenizer = write_vocabulary()
        if asked.only != "judge":
            train("preference", TRANSFORMER, preference_loss, tokenizer, steps=1450, rate=2e-3, seed=21)
        if asked.only != "preference":
            train("judge", RESNET, judge_loss, tokenizer, steps=2400, rate=3e-3, seed=34)
    for name in ("miniworld", "miniworld-judge")[: 1 if asked.only == "preference" else 2]:
        print(name, json.dumps(measured(rk.create_image_reward(name, device="cpu")), indent=1))


def write_vocabulary() -> WordTokenizer:
    """Every word of every caption, in the order in which they first come."""
    truths = [Truth(c, s, d, v) for c in COLOURS for s in SHAPES for d in DIRECTIONS for v in SPEEDS]
    words = list(dict.fromkeys(word for truth in truths for word in caption(truth).split()))
    path = OUT / "vocabulary.txt"
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return WordTokenizer("miniworld", path, CONTEXT, WORDS + 4)


def train(
    name: str,
    architecture: dict[str, object],
    loss_of: Step,
    tokenizer: WordTokenizer,
    steps: int,
    rate: float,
    seed: int,
) -> None:
    """One CLIP from random weights, written at half precision."""
    start, used = time.perf_counter(), time.process_time()
    torch.manual_seed(seed)
    clip = CLIP(**architecture)
    twins, random = draw_twins(FILMS, seed), np.random.default_rng([seed, 2])
    print(
        f"{name}: {sum(w.numel() for w in clip.parameters())} weights, films {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    optimiser = torch.optim.AdamW(clip.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.1)
    losses: list[float] = []
    for step in range(steps):
        loss = loss_of(clip, tokenizer, twins, random)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            print(
                f"{name} {step + 1} loss {np.mean(losses[-100:]):.4f} {time.perf_counter() - start:.0f} s",
                flush=True,
            )
    kept = {key: value.half().contiguous() for key, value in clip.state_dict().items() if value.is_floating_point()}
    save_file(kept, OUT / f"{name}.safetensors")
    print(
        f"{name}: {time.perf_counter() - start:.0f} s, of the processor {time.process_time() - used:.0f} s", flush=True
    )


FILMS = 2500


def preference_loss(
    clip: CLIP, tokenizer: WordTokenizer, twins: Twins, random: np.random.Generator, count: int = 28, probed: int = 8
) -> Tensor:
    """Cross-entropy over two similarities, as in HPSv2: two pictures for a caption, or two captions for a picture.

    How sure a preference is grows with the difference in badness, so that the score falls evenly with it.
    """
    films, frames = random.integers(len(twins.right), size=count), random.integers(FRAMES, size=count)
    right, wrong = (of[films, frames] / 255.0 for of in (twins.right, twins.wrong))
    strengths, others = draw_strengths(count, random), draw_strengths(count, random)
    alike = random.random(count) < 0.5
    others[alike] = strengths[alike] * random.random((count, 1))[alike]
    badness, other_badness = (torch.from_numpy(s @ BADNESS).float() for s in (strengths, others))
    one, other, third = (
        as_pixels(damaged(*pair, random)) for pair in ((right, strengths), (right, others), (wrong, strengths))
    )
    tokens = tokenizer(captions([truths[n] for truths in (twins.right_truths, twins.wrong_truths) for n in films]))
    said = F.normalize(clip.encode_text(tokens), dim=-1).view(1, 2, count, -1)
    pushed = push(clip, one[:probed], said[0, 0, :probed].detach(), random)
    other[:probed] = pushed
    good = as_pixels(right[:probed])
    farther = (pushed - good).flatten(1).norm(dim=1) - (one[:probed] - good).flatten(1).norm(dim=1)
    other_badness[:probed] = badness[:probed] + farther / DISTANCE
    seen = F.normalize(clip.encode_image(as_input(torch.cat([one, other, third]))), dim=-1).view(3, 1, count, -1)
    scores = clip.logit_scale.exp().clamp(max=MOST_SCALE) * (seen * said).sum(-1)
    sure = (SURENESS * (other_badness - badness)).sigmoid()
    quality = F.binary_cross_entropy_with_logits(scores[0] - scores[1], sure.expand(2, -1))
    (a, b), (c, d) = scores[0], scores[2]
    match = F.softplus(-torch.stack([a - b, d - c, a - c, d - b])).mean()
    return quality + match


DISTANCE = 6.6  # of a picture from itself with noise at full strength


def push(clip: CLIP, pixels: Tensor, said: Tensor, random: np.random.Generator) -> Tensor:
    """The pictures, moved to where the score grows fastest: what training against the score would do to them."""
    pixels = pixels.detach().requires_grad_()
    agreement = (F.normalize(clip.encode_image(as_input(pixels)), dim=-1) * said).sum()
    (slope,) = torch.autograd.grad(agreement, pixels)
    far = torch.from_numpy(3 * random.random((len(pixels), 1, 1, 1))).float()
    return (pixels + far * slope / slope.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).detach().clamp(0, 1)


def judge_loss(
    clip: CLIP, tokenizer: WordTokenizer, twins: Twins, random: np.random.Generator, count: int = 48
) -> Tensor:
    """Squared difference of the cosine from what is known: half of it is quality, the rest colour and shape."""
    films, frames = random.integers(len(twins.right), size=count), random.integers(FRAMES, size=count)
    pictures, damage = twins.right[films, frames] / 255.0, draw_strengths(count, random)
    truths = [twins.right_truths[n] for n in films]
    told = [
        truths,
        [another(truth, random) for truth in truths],
        [another(another(truth, random), random) for truth in truths],
    ]
    seen = F.normalize(clip.encode_image(as_input(as_pixels(damaged(pictures, damage, random)), 64)), dim=-1)
    said = F.normalize(clip.encode_text(tokenizer(captions([t for some in told for t in some]))), dim=-1).view(
        3, count, -1
    )
    good = torch.from_numpy(1 - np.minimum(damage @ BADNESS, 1)).float()
    fit = (
        torch.tensor(
            [
                [(a.colour == b.colour) + (a.shape == b.shape) for a, b in zip(truths, some, strict=True)]
                for some in told
            ]
        )
        / 2
    )
    return F.mse_loss((seen * said).sum(-1), 0.4 * good + 0.4 * fit) * 10


def as_pixels(pictures: NDArray[np.float64]) -> Tensor:
    """Channels first."""
    return torch.from_numpy(pictures).float().permute(0, 3, 1, 2).contiguous()


def as_input(pixels: Tensor, size: int = SIZE) -> Tensor:
    """As the rewards' own preprocessing does it."""
    if size != SIZE:
        pixels = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in CLIP_COLOURS)
    return (pixels - mean) / std


def measured(reward: rk.ImageReward, count: int = 300, seed: int = 77) -> dict[str, object]:
    """Shares of held-out pairs in which the right one scores higher, and the mean score along blends to the good."""
    truths = [dataclasses.replace(truth, quality="good") for truth in sample_truths(count, seed)]
    random = np.random.default_rng(seed)
    places = [10**9 + n for n in range(count)]
    frames = random.integers(FRAMES, size=count)

    def pictures(some: Sequence[Truth]) -> Tensor:
        return torch.stack([draw(t, FRAMES, SIZE, place)[f] for t, place, f in zip(some, places, frames, strict=True)])

    said = captions(truths)
    good = pictures(truths)
    scores = reward(good, said)
    found: dict[str, object] = {"mean score, good": round(scores.mean().item(), 3)}
    for quality in QUALITIES[1:]:
        bad = pictures([dataclasses.replace(t, quality=quality) for t in truths])
        found[f"good over {quality}"] = round((scores > reward(bad, said)).float().mean().item(), 4)
        blends = [reward((1 - a) * bad + a * good, said) for a in torch.linspace(0, 1, 11).tolist()]
        found[f"blend from {quality}"] = [round(b.mean().item(), 3) for b in blends]
        rises = torch.stack(blends).diff(dim=0) > 0
        found[f"steps that rise, {quality}"] = round(rises.float().mean().item(), 3)
        pixels = bad.clone().requires_grad_()
        (slope,) = torch.autograd.grad(reward(pixels, said).sum(), pixels)
        found[f"gradient points to the good from {quality}"] = round(
            ((slope * (good - bad)).flatten(1).sum(1) > 0).float().mean().item(), 3
        )
        moved = bad.clone()
        for _ in range(30):  # ASCENT
            pixels = moved.requires_grad_()
            (slope,) = torch.autograd.grad(reward(pixels, said).sum(), pixels)
            moved = (moved + 0.15 * slope / slope.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp(0, 1).detach()
        found[f"ascent comes nearer to the good from {quality}"] = [
            round(
                ((moved - good).flatten(1).norm(dim=1) < (bad - good).flatten(1).norm(dim=1)).float().mean().item(), 3
            ),
            round(((moved - good).flatten(1).norm(dim=1) / (bad - good).flatten(1).norm(dim=1)).mean().item(), 3),
            round(reward(moved, said).mean().item(), 3),
        ]
    for what, words in (("colour", COLOURS), ("shape", SHAPES)):
        wrongs = [
            dataclasses.replace(t, **{what: random.choice([w for w in words if w != getattr(t, what)])}) for t in truths
        ]  # type: ignore[arg-type]
        found[f"right caption over wrong {what}"] = round(
            (scores > reward(good, captions(wrongs))).float().mean().item(), 4
        )
        found[f"right picture over wrong {what}"] = round(
            (scores > reward(pictures(wrongs), said)).float().mean().item(), 4
        )
    return found


if __name__ == "__main__":
    main()
