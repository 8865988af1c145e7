"""How long does each learned reward take for a frame, on this processor?

    python benchmarks/learned_frame_times.py [--rounds 5] [NAME ...]

Full size, random weights that the rewards' own loaders read, float32, 2 threads, batches of 4 frames of 512x320
(`viclip`: one clip of 8). Preprocessing is in it; reading the prompt is not, where that is done once a prompt. Median
of the rounds after one that does not count. Rewards on one tower have the time of the first of them; one tower is in
memory at a time.

Without NAME results/learned_frame_times.json is written, from which the reference page and `rewardkit info` are made.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import checkpoints
import material
import torch
from recording import processor, record
from torch import Tensor, nn

from rewardkit.registry import REWARDS
from rewardkit.rewards import aesthetic, aesthetic_v2_5, imagereward
from rewardkit.rewards.catalog import list_rewards
from rewardkit.rewards.heads import linear_stack
from rewardkit.rewards.interface import TemporalReward
from rewardkit.rewards.mps import MpsArchitecture
from rewardkit.rewards.release import Release
from rewardkit.rewards.towers.blip import BlipArchitecture, BlipTower
from rewardkit.rewards.towers.clip import ClipTower, configuration
from rewardkit.rewards.towers.cross_attention import CrossModel
from rewardkit.rewards.towers.siglip import SiglipArchitecture, SiglipTower
from rewardkit.rewards.viclip import FRAMES, WORDS, FilmTower
from rewardkit.weights.filling import Placement, parameters_on_meta

THREADS, BATCH, HEIGHT, WIDTH = 2, 4, 320, 512
PROMPT = "a cat walks on a wall"
CPU = Placement(torch.device("cpu"), torch.float32)
Layout = dict[str, tuple[int, ...]]


class Group(NamedTuple):
    """Rewards on one tower: the file of that tower, the setting that names it, and what else each of them reads."""

    tower: Callable[[], Layout]
    rewards: Mapping[str, Callable[[], Layout] | None]
    setting: str = "checkpoint"


def layout(build: Callable[[], nn.Module]) -> Layout:
    """Names and shapes of a module's tensors."""
    with parameters_on_meta():
        return {name.removeprefix("clip."): tuple(tensor.shape) for name, tensor in build().state_dict().items()}


def clip(architecture: str) -> Layout:
    return layout(lambda: ClipTower(configuration(architecture)))


def under(prefix: str, shapes: Layout) -> Layout:
    return {prefix + name: shape for name, shape in shapes.items()}


def of_blip() -> Layout:
    return layout(lambda: BlipTower(BlipArchitecture()))


def of_imagereward() -> Layout:
    width = BlipArchitecture().text_width
    head = layout(lambda: linear_stack(width, imagereward.HEAD_WIDTHS))
    return under("blip.", of_blip()) | under("mlp.layers.", head)


def of_mps() -> Layout:
    sizes = MpsArchitecture()
    config = configuration(sizes.clip)
    cross = layout(lambda: CrossModel(config["embed_dim"], sizes.layers, sizes.heads))
    return under("model.", clip("ViT-H-14")) | under("cross_model.", cross)


def of_viclip() -> Layout:
    config = configuration("ViT-L-14-quickgelu")
    config = {**config, "text_cfg": {**config["text_cfg"], "context_length": WORDS}}
    film = layout(lambda: FilmTower(config))
    film["vision_encoder.temporal_positional_embedding"] = film.pop("frame_embedding")
    return film


def of_head_v2_5() -> Layout:
    width, widths, dropouts = SiglipArchitecture().width, aesthetic_v2_5.HEAD_WIDTHS, aesthetic_v2_5.DROPOUTS
    return under("scoring_head.", layout(lambda: linear_stack(width, widths, dropouts)))


GROUPS = (
    Group(lambda: clip("ViT-H-14"), dict.fromkeys(("hpsv2.0", "hpsv2.1", "pickscore", "clipscore-h14"))),
    Group(of_mps, {"mps": None}),
    Group(of_imagereward, {"imagereward": None}),
    Group(of_blip, {"blipscore": None}),
    Group(lambda: clip("ViT-B-32-quickgelu"), {"clipscore": None}),
    Group(lambda: clip("ViT-L-14-quickgelu"), {"clipscore-l14": None}),
    Group(
        lambda: clip("ViT-L-14-quickgelu"),
        {
            "aesthetic-v1": lambda: layout(lambda: nn.Linear(768, 1)),
            "aesthetic-v2": lambda: under("layers.", layout(lambda: linear_stack(768, aesthetic.V2_WIDTHS))),
        },
        "backbone",
    ),
    Group(lambda: layout(lambda: SiglipTower(SiglipArchitecture())), {"aesthetic-v2.5": of_head_v2_5}, "backbone"),
    Group(lambda: clip("RN50-quickgelu"), {"clip-iqa": None}),
    Group(of_viclip, {"viclip": None}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="rewards; all of them if none is given")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    milliseconds: dict[str, float] = {}
    loads = []
    for group in GROUPS:
        if wanted := [name for name in group.rewards if not given.names or name in given.names]:
            loads.append(round(os.getloadavg()[0], 2))
            for name, time_of_one in times(group, wanted, given.rounds):
                print(f"{name:16} {time_of_one:8.0f} ms a frame   load {loads[-1]}", flush=True)
                milliseconds[name] = round(time_of_one, 1)
    if not given.names:
        learned = {name for name in list_rewards() if isinstance(REWARDS.load(name), Release)}
        if unknown := learned - set(milliseconds):
            print(f"not run: {', '.join(sorted(unknown))}")
        facts = {"processor": processor(), "threads": THREADS, "rounds": given.rounds, "loads": loads}
        record("learned_frame_times", {**facts, "frames": f"{BATCH} of {WIDTH}x{HEIGHT}", "milliseconds": milliseconds})


def times(group: Group, names: list[str], rounds: int) -> Iterator[tuple[str, float]]:
    """Milliseconds a frame of each of the group's rewards that are in `names`."""
    with tempfile.TemporaryDirectory() as name:
        folder, models = Path(name), []
        tower = write(group.tower(), folder / "tower.pt")
        for reward in names:
            release = REWARDS.load(reward)
            assert isinstance(release, Release)
            files = {group.setting: tower}
            if head := group.rewards[reward]:
                files["checkpoint"] = write(head(), folder / f"{reward}.pt")
            if "tokenizer" in release.files:
                files["tokenizer"] = checkpoints.word_pieces()
            models.append((reward, release.load(CPU, files)))
    _, first = models[0]  # the tower's time is that of all its rewards: what they add is a product of two vectors
    seconds = [seconds_a_frame(first) for _ in range(rounds + 1)][1:]
    for reward in names:
        yield reward, statistics.median(seconds) * 1000


@torch.no_grad()
def seconds_a_frame(model: nn.Module) -> float:
    frames = FRAMES if isinstance(model, TemporalReward) else BATCH
    pixels: Tensor = torch.rand(frames, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    items = pixels[None] if isinstance(model, TemporalReward) else pixels
    start = time.perf_counter()
    scores = model(items, [PROMPT] * len(items))
    seconds = time.perf_counter() - start
    assert scores.isfinite().all()
    return seconds / frames


def write(shapes: Layout, path: Path) -> Path:
    torch.save(material.weights(shapes), path)
    return path


if __name__ == "__main__":
    main()
