"""Trains the mini world's generator: an autoencoder, a text encoder with its tokenizer, and a UNet over films.

    python benchmarks/miniworld/generator.py

Everything is seeded and goes on where it was interrupted; it takes two hours on two cores. The UNet learns in three
stages: from films of every quality alike; then with watermarks in a quarter of them; then on a chain that ends in noise
alone. The result is a folder in the layout of diffusers' `TextToVideoSDPipeline`, at half precision:
rewardkit/miniworld/weights/generator.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from bisect import bisect
from collections.abc import Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet3DConditionModel
from diffusers.models.resnet import TemporalConvLayer
from films import as_signed, captions, films
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from rewardkit.miniworld.measures import measure
from rewardkit.miniworld.truth import COLOURS, DIRECTIONS, SHAPES, SPEEDS, Truth, caption
from rewardkit_adapters.miniworld import MiniWorld

FOLDER = Path(__file__).parent
CACHE = FOLDER / ".cache"
OUT = FOLDER.parent.parent / "rewardkit" / "miniworld" / "weights" / "generator"
WORDS = 24  # tokens, begin and end included
WIDTH = 64
FILMS = 12_000
ROUGHNESS = 0.05  # of the noise under which the decoder learns, since a denoiser leaves some
SAMPLING_STEPS = 20
TOWARDS_NOISE = 0.7  # below 1, noisy films are drawn more often: there colour, place and direction are decided
UNCONDITIONAL = 0.1  # of the films lose their caption, for guidance


class Stage(NamedTuple):
    """Of the UNet's training.

    Attributes:
        rate: the greatest.
        watermarked: how many times as often films with a watermark are drawn.
        to_noise: whether nothing of a film is left at the chain's end. Else its brightness is, and pure noise, from
            which films are made, tells of one of middling brightness: neither dark, nor washed out, nor watermarked.
    """

    steps: int
    rate: float
    watermarked: float
    to_noise: bool


STAGES = (Stage(3500, 1.5e-3, 1, False), Stage(2000, 1e-3, 3, False), Stage(1500, 1e-3, 3, True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    CACHE.mkdir(exist_ok=True)
    pixels, truths = films(FILMS, seed=1)
    autoencoder = train_autoencoder(pixels)
    latents = encoded(autoencoder, pixels)
    tokenizer = make_tokenizer()
    tokens = tokenizer(captions(truths), padding="max_length", max_length=WORDS, truncation=True, return_tensors="pt")
    nothing = tokenizer([""], padding="max_length", max_length=WORDS, return_tensors="pt").input_ids
    marked = torch.tensor([truth.quality == "watermarked" for truth in truths])
    unet, text = train_unet(latents, tokens.input_ids, nothing, marked, autoencoder, tokenizer)
    save(unet, text, autoencoder)


def train_autoencoder(pixels: Tensor, steps: int = 4000, batch: int = 16) -> AutoencoderKL:
    """A small AutoencoderKL, trained on single frames for edges as well as for tones."""
    torch.manual_seed(2)
    autoencoder = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
        mid_block_add_attention=False,
    )
    done = CACHE / "autoencoder.pt"
    if done.exists():
        autoencoder.load_state_dict(torch.load(done, weights_only=True))
        autoencoder.register_to_config(scaling_factor=json.loads((CACHE / "scale.json").read_text()))
        return autoencoder.eval()
    frames = pixels.flatten(0, 1)
    optimiser = torch.optim.AdamW(autoencoder.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = OneCycleLR(optimiser, 2e-3, steps, pct_start=0.05)
    random = torch.Generator().manual_seed(3)
    start = time.perf_counter()
    for step in range(steps):
        real = as_signed(frames[torch.randint(len(frames), (batch,), generator=random)])
        latents = autoencoder.encode(real).latent_dist.mean
        blurred = latents + ROUGHNESS * torch.randn(latents.shape, generator=random)
        made = autoencoder.decode(blurred).sample
        loss = F.l1_loss(made, real) + F.mse_loss(made, real) + 0.5 * edges(made, real) + 1e-3 * latents.pow(2).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(autoencoder.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 250 == 0:
            print(f"autoencoder {step} loss {loss.item():.4f} {time.perf_counter() - start:.0f} s", flush=True)
    with torch.no_grad():
        some = as_signed(frames[:: len(frames) // 1000])
        scale = 1 / autoencoder.encode(some).latent_dist.mean.std().item()
    autoencoder.register_to_config(scaling_factor=scale)
    torch.save(autoencoder.state_dict(), done)
    (CACHE / "scale.json").write_text(json.dumps(scale))
    return autoencoder.eval()


def edges(a: Tensor, b: Tensor) -> Tensor:
    """How far neighbouring pixels differ in their difference."""
    return sum((F.l1_loss(a.diff(dim=axis), b.diff(dim=axis)) for axis in (-1, -2)), start=torch.zeros(()))


@torch.no_grad()
def encoded(autoencoder: AutoencoderKL, pixels: Tensor) -> Tensor:
    """(film, channel, frame, height, width), scaled."""
    kept = CACHE / "latents.pt"
    if kept.exists():
        found: Tensor = torch.load(kept, weights_only=True)
        return found
    parts = [autoencoder.encode(as_signed(some)).latent_dist.mean for some in pixels.flatten(0, 1).split(512)]
    scale = autoencoder.config["scaling_factor"]
    latents = (torch.cat(parts).unflatten(0, pixels.shape[:2]) * scale).transpose(1, 2).contiguous()
    torch.save(latents, kept)
    return latents


def make_tokenizer() -> CLIPTokenizer:
    """CLIP's kind of tokenizer, with the byte pairs of this world's captions."""
    every = [
        caption(Truth(colour, shape, direction, speed))
        for colour in COLOURS
        for shape in SHAPES
        for direction in DIRECTIONS
        for speed in SPEEDS
    ]
    pieces = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    pieces.normalizer = normalizers.Lowercase()
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    alphabet = [chr(code) for code in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=512, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    pieces.train_from_iterator(every, trainer)
    merges = [tuple(pair) for pair in json.loads(pieces.to_str())["model"]["merges"]]
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(pair) for pair in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=WORDS)


def train_unet(
    latents: Tensor,
    tokens: Tensor,
    nothing: Tensor,
    marked: Tensor,
    autoencoder: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    batch: int = 8,
) -> tuple[UNet3DConditionModel, CLIPTextModel]:
    """UNet and text encoder, trained together to predict v; the averages over the last steps are what counts."""
    torch.manual_seed(4)
    unet = UNet3DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=WIDTH,
        attention_head_dim=16,
    )
    order_frames(unet)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=WORDS,
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    nn.init.normal_(text.get_input_embeddings().weight)  # or the words that are learned first drown the others
    both = nn.ModuleDict({"unet": unet, "text": text})
    average = copy.deepcopy(both).requires_grad_(False)
    optimiser = torch.optim.AdamW(both.parameters(), betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
    schedules = [partial(OneCycleLR, optimiser, stage.rate, stage.steps, pct_start=0.03) for stage in STAGES]
    ends = list(accumulate(stage.steps for stage in STAGES))
    schedule = schedules[0]()
    random = torch.Generator().manual_seed(5)
    first = 0
    kept = CACHE / "unet.pt"
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        both.load_state_dict(state["both"])
        average.load_state_dict(state["average"])
        first = state["step"]
        if first not in ends:
            schedule = schedules[bisect(ends, first)]()
            schedule.load_state_dict(state["schedule"])
        optimiser.load_state_dict(state["optimiser"])
        random.set_state(state["random"])
    bars = [scheduler(stage.to_noise).alphas_cumprod for stage in STAGES]
    start = time.perf_counter()
    losses: list[float] = []
    for step in range(first, ends[-1]):
        stage = bisect(ends, step)
        if step in ends:
            schedule = schedules[stage]()
        often = torch.where(marked, STAGES[stage].watermarked, 1.0)
        chosen = torch.multinomial(often, batch, replacement=True, generator=random)
        clean, said = latents[chosen], tokens[chosen].clone()
        said[torch.rand(batch, generator=random) < UNCONDITIONAL] = nothing
        time_of = (1000 * torch.rand(batch, generator=random) ** TOWARDS_NOISE).long()
        bar = bars[stage][time_of].view(-1, 1, 1, 1, 1)
        noise = torch.randn(clean.shape, generator=random)
        noisy, wanted = bar.sqrt() * clean + (1 - bar).sqrt() * noise, bar.sqrt() * noise - (1 - bar).sqrt() * clean
        found = unet(noisy, time_of, text(said).last_hidden_state).sample
        loss = F.mse_loss(found, wanted)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        share = min(0.999, (step + 1) / (step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(both.parameters()), 1 - share)
        if (step + 1) % 500 == 0:
            steps = scheduler(STAGES[stage].to_noise)
            seen = check(average["unet"], average["text"], autoencoder, tokenizer, steps)
            recent = sum(losses[-500:]) / len(losses[-500:])
            print(f"unet {step + 1} loss {recent:.4f} {seen} {time.perf_counter() - start:.0f} s", flush=True)
            state = {"both": both, "average": average, "optimiser": optimiser, "schedule": schedule}
            state = {name: part.state_dict() for name, part in state.items()}
            torch.save(state | {"random": random.get_state(), "step": step + 1}, CACHE / "unet.part")
            (CACHE / "unet.part").replace(kept)
    return average["unet"].eval(), average["text"].eval()


def order_frames(unet: UNet3DConditionModel) -> None:
    """Lets the temporal convolutions speak from the first step, without dropout.

    They begin as identities otherwise; but the order of frames is known from the padding at their ends alone, and
    the attention over time, which knows no order, would be learned long before they are.
    """
    for module in unet.modules():
        if isinstance(module, TemporalConvLayer):
            module.conv4[-1].reset_parameters()
            for part in (module.conv2, module.conv3, module.conv4):
                part[-2].p = 0.0


def scheduler(to_noise: bool) -> DDIMScheduler:
    """ModelScope's schedule for the prediction of v, or the same drawn out until no signal is left.

    Source of the latter: Lin et al., arXiv:2305.08891.
    """
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=to_noise,
        timestep_spacing="trailing" if to_noise else "leading",
    )


def prompts() -> Iterator[Truth]:
    """Every colour, shape and direction in turn."""
    number = 0
    while True:
        yield Truth(
            COLOURS[number % 8], SHAPES[number % 6], DIRECTIONS[(number * 3 + number // 8) % 8], SPEEDS[number % 2]
        )
        number += 1


@torch.no_grad()
def check(
    unet: UNet3DConditionModel,
    text: CLIPTextModel,
    autoencoder: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    steps: DDIMScheduler,
    count: int = 48,
) -> dict[str, float]:
    """Shares of prompts of which the film shows the right thing, and the mean sharpness and watermark."""
    truths = [truth for truth, _ in zip(prompts(), range(count), strict=False)]
    words = tokenizer([*captions(truths), ""], padding="max_length", max_length=WORDS, return_tensors="pt").input_ids
    said = text(words).last_hidden_state
    said, unsaid = said[:-1], said[-1:].expand(count, -1, -1)
    steps.set_timesteps(SAMPLING_STEPS)
    x = torch.randn(count, 4, 8, 8, 8, generator=torch.Generator().manual_seed(6))
    for t in steps.timesteps:
        with_words, without = (unet(x, t, c).sample for c in (said, unsaid))
        x = steps.step(without + MiniWorld.default_guidance * (with_words - without), t, x).prev_sample
    frames = x.transpose(1, 2).flatten(0, 1) / autoencoder.config["scaling_factor"]
    video = (autoencoder.decode(frames).sample.unflatten(0, (count, 8)) / 2 + 0.5).clamp(0, 1)
    torch.save((video * 255).byte(), CACHE / "films.pt")
    seen = [measure(film) for film in video]
    pairs = list(zip(seen, truths, strict=True))
    shares = {
        word: round(sum(getattr(a, word) == getattr(b, word) for a, b in pairs) / count, 2)
        for word in ("colour", "shape", "direction", "speed")
    }
    both = sum(a.agrees(b) for a, b in pairs) / count
    means = {what: round(sum(getattr(a, what) for a in seen) / count, 3) for what in ("sharpness", "watermark")}
    return shares | {"colour and direction": round(both, 2)} | means


def save(unet: UNet3DConditionModel, text: CLIPTextModel, autoencoder: AutoencoderKL) -> None:
    """A folder in the layout of diffusers, at half precision."""
    unet.half().save_pretrained(OUT / "unet")
    text.half().save_pretrained(OUT / "text_encoder")
    autoencoder.half().save_pretrained(OUT / "vae")
    make_tokenizer().save_pretrained(OUT / "tokenizer")  # a new one: that which was used remembers its padding
    scheduler(STAGES[-1].to_noise).save_pretrained(OUT / "scheduler")
    library = {"text_encoder": "transformers", "tokenizer": "transformers"}
    classes = {
        "unet": "UNet3DConditionModel",
        "text_encoder": "CLIPTextModel",
        "vae": "AutoencoderKL",
        "tokenizer": "CLIPTokenizer",
        "scheduler": "DDIMScheduler",
    }
    index = {"_class_name": "TextToVideoSDPipeline"}
    index |= {part: [library.get(part, "diffusers"), name] for part, name in classes.items()}  # type: ignore[dict-item]
    (OUT / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main()
