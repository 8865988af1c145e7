"""What is fuzzed: everything that reads strangers' files, each with good files to begin from in `seeds/`.

What follows the first dot of a seed's name is its kind; it decides how the file is read.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import torch
from torch import nn

from rewardkit import create_reward, open_video
from rewardkit.bench.suites import BackbonesSuite, MethodsSuite, RewardsSuite, read_suite
from rewardkit.config import load_config
from rewardkit.engine.checkpoints import Checkpoint
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.errors import RewardkitError
from rewardkit.reducers.aggregation import AGGREGATIONS, Aggregation
from rewardkit.reducers.attenuation import WEIGHTS, FrameWeights
from rewardkit.reducers.create import named_cards
from rewardkit.reducers.normalisation import SCALES, Scale
from rewardkit.reducers.sampling import SAMPLERS, FrameSampler
from rewardkit.scoring.config import ScoreConfig
from rewardkit.scoring.journal import read_header
from rewardkit.scoring.manifest import read_manifest
from rewardkit.scoring.table import ScoreTable
from rewardkit.spec import parse_part
from rewardkit.weights.reading import read_tensors
from tests.fuzz.contract import SECONDS, BrokenPromiseError, outcome
from tests.fuzz.mutations import spoiled

SEEDS = Path(__file__).parent / "seeds"
RAN = Path("/tmp/rewardkit-fuzz-code-ran")
"""What the code in some seeds makes, if anybody runs it."""

SECONDS_TO_LOAD = 60.0
MOST_PIXELS = 1 << 22
LORA = {"up": (2, 3), "down": (4, 2)}
WEIGHTLESS = frozenset({"exposure", "contrast", "flicker"})
KINDS = {
    "score": ScoreConfig,
    "training": FinetuneConfig,
    "rewards": RewardsSuite,
    "backbones": BackbonesSuite,
    "methods": MethodsSuite,
}
PARTS = ((FrameSampler, SAMPLERS), (FrameWeights, WEIGHTS), (Aggregation, AGGREGATIONS), (Scale, SCALES))


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        read: reads a file, and all that it names in it.
        most_bytes: of memory that one small file may take.
        in_python: whether it is our own code, which a fuzzer can follow.
    """

    read: Callable[[Path], object]
    most_bytes: int
    in_python: bool = True


def run(name: str, folder: Path, kind: str, content: bytes, seconds: float = SECONDS) -> str:
    """The outcome of reading `content` as a file of that kind, which lies in `folder` from then on."""
    path = folder / f"case.{kind}"
    path.write_bytes(content)
    return outcome(partial(TARGETS[name].read, path), TARGETS[name].most_bytes, seconds)


def load(name: str, folder: Path) -> None:
    """Has all loaded that a target loads late, which may take long; an import ended half-way breaks what follows it."""
    for seed, content in seeds(name).items():
        with suppress(BrokenPromiseError):  # for those who read it again to find
            run(name, folder, kind_of(seed), content, SECONDS_TO_LOAD)


@functools.cache
def seeds(name: str) -> dict[str, bytes]:
    """The files to begin from: name to content."""
    return {path.name: path.read_bytes() for path in sorted((SEEDS / name).iterdir())}


def kind_of(seed: str) -> str:
    """What follows the first dot."""
    return seed.partition(".")[2]


def spoil(name: str, seed: str, content: bytes, draw: Random) -> bytes:
    """A file of a target with changes that `draw` chooses."""
    others = [other for place, other in seeds(name).items() if kind_of(place) == kind_of(seed)]
    return spoiled(content, others, Path(seed).suffix, draw)


def case(name: str, seed: int, number: int) -> tuple[str, bytes]:
    """Kind and content of the file `number`, the same on every machine."""
    draw = Random(f"{name} {seed} {number}")
    chosen = draw.choice(list(seeds(name)))
    return kind_of(chosen), spoil(name, chosen, seeds(name)[chosen], draw)


def _read_film(path: Path) -> None:
    if path.suffix in (".png", ".jpg"):  # a film of this picture and a good one
        film = path.with_name("film")
        shutil.rmtree(film, ignore_errors=True)
        film.mkdir()
        path.rename(film / f"1{path.suffix}")
        (film / "2.png").write_bytes(seeds("video")["picture.png"])
        path = film
    with open_video(path, max_pixels=MOST_PIXELS) as video:
        count = video.info.num_frames
        video.read([0, count // 2, count - 1, 0])
        video.read([count - 1])
        video.read([0])


def _read_manifest(path: Path) -> None:
    for entry in read_manifest(path)[:20]:
        with suppress(RewardkitError):  # of one entry, which says nothing of the next
            entry.located(path)


def _read_config(path: Path) -> None:
    load_config(KINDS[path.suffixes[-2][1:]], path, {})


def _read_suite(path: Path) -> None:
    read_suite(KINDS[path.suffixes[-2][1:]], path, {})


def _read_tensors(path: Path) -> None:
    try:
        for stored in read_tensors("the fuzzer", path).values():
            stored.read()
    finally:
        assert not RAN.exists(), "code in a checkpoint was run"


def _read_rows(path: Path) -> None:
    good = seeds("rows")["good.jsonl.header.json"]
    if path.suffix == ".parquet":
        rows: str | Path = path.with_name("rows")
        shutil.rmtree(rows, ignore_errors=True)
        Path(rows).mkdir()
        path.rename(rows / "rows-1.parquet")
        (rows / "header.json").write_bytes(good)
    elif path.suffix == ".json":
        read_header(path.with_name("case.jsonl"))
        return
    else:
        rows = path
        path.with_name("case.jsonl.header.json").write_bytes(good)
    table = ScoreTable.read(rows)
    table.summary()
    table.best(1)


def _read_spec(path: Path) -> None:
    line = path.read_bytes().decode(errors="surrogateescape")
    if path.suffixes[-2] == ".part":
        for base, known in PARTS:
            with suppress(RewardkitError):  # it is of one kind at most
                part = parse_part(base, line, known)
                assert parse_part(base, str(part), known) == part, "what it is written as means something else"
        return
    if ":" in re.sub(r"\[[^\[\]]*\]", "", line):
        return  # a name with a colon asks for a module, whose code is then run as was asked
    if {card.name for card in named_cards(line)} <= WEIGHTLESS:
        spec = create_reward(line, device="cpu").spec
        assert create_reward(spec, device="cpu").spec == spec, "what it is written as means something else"


def _read_checkpoint(path: Path) -> None:
    """That of a training of two weights; each file comes without sums, which a stranger could make, too."""
    folder = path.with_name("000001")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in seeds("training").items():
        if name.startswith("good."):
            (folder / name.removeprefix("good.")).write_bytes(content)
    path.replace(folder / path.name.removeprefix("case."))
    weights = {name: nn.Parameter(torch.zeros(shape)) for name, shape in LORA.items()}
    Checkpoint.read(folder, weights).put(weights, torch.optim.AdamW(weights.values()))


TARGETS = {
    "video": Target(_read_film, 1 << 29, in_python=False),
    "manifest": Target(_read_manifest, 1 << 26),
    "config": Target(_read_config, 1 << 26),
    "suite": Target(_read_suite, 1 << 26),
    "checkpoint": Target(_read_tensors, 1 << 28),
    "training": Target(_read_checkpoint, 1 << 28, in_python=False),
    "rows": Target(_read_rows, 1 << 27),
    "spec": Target(_read_spec, 1 << 26),
}
