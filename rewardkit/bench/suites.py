"""What a benchmark is told: one model a kind, from a TOML or YAML file; unknown keys are errors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from rewardkit.bench.defects import WRONG_PROMPT, find_defect
from rewardkit.bench.names import slug
from rewardkit.config import load_config
from rewardkit.engine.memory import AnyMemory
from rewardkit.engine.settings import FinetuneConfig

SuiteT = TypeVar("SuiteT", bound="Suite")
MINIWORLD = "miniworld"
"""The backbone that comes with the package."""
Budget = Literal["calls", "time"]
BUNDLED = Path("miniworld")
"""Stands for the LoRA of the mini world that comes with the package."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Suite(_Part):
    """What all benchmarks are told.

    Attributes:
        title: of the page.
        seed: of bootstraps, and of frames that are drawn at random.
        device: `auto`, `cpu`, `cuda`, ...
        dtype: of rewards.
    """

    kind: ClassVar[str]
    title: str = ""
    seed: NonNegativeInt = 0
    device: str = "auto"
    dtype: str = "auto"

    def beside(self, folder: Path) -> Self:
        """The same suite with relative paths taken from `folder`."""
        return self


class VideoSet(_Part):
    """Videos to score, and what people said of them.

    Attributes:
        name: in tables.
        source: folder, glob, manifest or file.
        prompts: as in `score_folder`.
        ratings: CSV with the columns `path` and `rating`, higher is better.
        preferences: CSV with the columns `first`, `second` (paths) and `preferred`: first, second or tie.
        labels: whose word ratings and preferences are.
    """

    name: str = Field(min_length=1)
    source: str
    prompts: str = "auto"
    ratings: Path | None = None
    preferences: Path | None = None
    labels: str = "people"

    def beside(self, folder: Path) -> VideoSet:
        """With relative paths taken from `folder`."""
        keywords = ("auto", "sidecar", "filename", "none")
        return self.model_copy(
            update={
                "source": str(folder / self.source),
                "prompts": self.prompts if self.prompts in keywords else str(folder / self.prompts),
                "ratings": self.ratings and folder / self.ratings,
                "preferences": self.preferences and folder / self.preferences,
            }
        )


class RewardsSuite(Suite):
    """Which reward should I take?

    Attributes:
        rewards: lines as `create_reward` reads them.
        videos: sets; none takes films of the mini world in every quality, whose truth stands in for people.
        defects: ways of spoiling, by name; see `rewardkit.bench.defects`.
        resolutions: shares of width and height at which videos are scored again.
        codecs: qualities of x264 (crf) at which videos are written and scored again.
        frames: samplers, each of which takes the place of the reward's own.
        tried_on: sets whose videos defects, resolutions, codecs and samplers are tried on; empty is all sets.
        most: of those videos, evenly chosen.
        compare: two sets of the same prompts, the second of which may be better than the first.
    """

    kind: ClassVar[str] = "rewards"
    rewards: tuple[str, ...] = Field(min_length=1)
    videos: tuple[VideoSet, ...] = ()
    defects: tuple[str, ...] = ("blur", "noise", "jpeg", "desaturation", "frozen", "shuffled", "wrong prompt")
    resolutions: tuple[PositiveFloat, ...] = (0.75, 0.5)
    codecs: tuple[NonNegativeInt, ...] = (28, 38)
    frames: tuple[str, ...] = ("first:1", "index:0,-1", "uniform:4", "uniform:8", "segments:4", "all")
    tried_on: tuple[str, ...] = ()
    most: Annotated[int, Field(ge=2)] = 16
    compare: tuple[str, str] | None = None

    def beside(self, folder: Path) -> RewardsSuite:
        """See `Suite.beside`."""
        return self.model_copy(update={"videos": tuple(one.beside(folder) for one in self.videos)})

    @model_validator(mode="after")
    def _different(self) -> RewardsSuite:
        _all_different("reward", self.rewards)
        names = [one.name for one in self.videos]
        _all_different("set of videos", names)
        for name in (*self.tried_on, *(self.compare or ())):
            if name not in names:
                raise ValueError(f"no set of videos is called {name!r}: there are {', '.join(names) or 'none'}")
        for what in ("defects", "resolutions", "codecs", "frames"):
            _all_different(what.removesuffix("s"), map(str, getattr(self, what)))
        for defect in self.defects:
            if defect != WRONG_PROMPT:
                find_defect(defect)
        return self


class Films(_Part):
    """Of which prompts and noise films are made, and how they are measured.

    Attributes:
        prompts: a file of prompts (.txt, or a manifest) for each split; empty takes the mini world's splits.
        each: prompts a split, from its first on; None is all of a file, and 8 of the mini world's, which has 24.
        film_seeds: each makes a film of every prompt; 2 or more tell diversity.
        steps: of the walk.
        guidance: scale; None is the backbone's own.
        frames, height, width: None is the backbone's own.
        fps: of the files.
        files: `mp4`, which plays everywhere, or `npy`, which loses nothing: for films of few pixels.
        batch_size: films made at once.
    """

    prompts: dict[str, Path] = {}
    each: PositiveInt | None = None
    film_seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0, 1)
    steps: PositiveInt = 20
    guidance: float | None = None
    frames: PositiveInt | None = None
    height: PositiveInt | None = None
    width: PositiveInt | None = None
    fps: PositiveFloat = 8.0
    files: Literal["mp4", "npy"] = "mp4"
    batch_size: PositiveInt = 8

    @model_validator(mode="after")
    def _not_all(self) -> Films:
        if "all" in self.prompts:
            raise ValueError("a split cannot be called 'all', which stands for all splits")
        return self

    def beside(self, folder: Path) -> Films:
        """With relative paths taken from `folder`."""
        return self.model_copy(update={"prompts": {name: folder / path for name, path in self.prompts.items()}})


class Entry(_Part):
    """A backbone, with or without a LoRA; or a folder of films that were made elsewhere.

    Attributes:
        name: in tables.
        backbone, model, dtype, memory: see `create_backbone`.
        lora: folder that a fine-tuning wrote; `miniworld` is the mini world's own.
        lora_strength: how much of it counts.
        guidance: scale; None is that of all films.
        folder: films made elsewhere, instead of a backbone.
        manifest: CSV with path, prompt and, where a prompt has several films, seed; None is `prompts.csv` in `folder`.
    """

    name: str = Field(min_length=1)
    backbone: str | None = None
    model: str | None = None
    dtype: str = "auto"
    memory: AnyMemory = "auto"
    lora: Path | None = None
    lora_strength: float = 1.0
    guidance: float | None = None
    folder: Path | None = None
    manifest: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Entry:
        if (self.backbone is None) == (self.folder is None):
            raise ValueError(f"the entry {self.name!r} needs either a backbone or a folder of films")
        foreign = (
            {"manifest"} if self.folder is None else type(self).model_fields.keys() - {"name", "folder", "manifest"}
        )
        unused = sorted(self.model_fields_set & foreign)
        if unused:
            kind = "a backbone" if self.folder is None else "a folder of films"
            raise ValueError(f"the entry {self.name!r} is {kind}, which has no {' or '.join(unused)}")
        return self

    def beside(self, folder: Path) -> Entry:
        """With relative paths taken from `folder`."""
        placed = {
            "model": _placed(self.model, folder),
            "lora": self.lora if self.lora in (None, BUNDLED) else folder / self.lora,
            "folder": self.folder and folder / self.folder,
            "manifest": self.manifest and folder / self.manifest,
        }
        # what stays None must not count as given
        return self.model_copy(update={name: path for name, path in placed.items() if path is not None})


class BackbonesSuite(Suite):
    """Which backbone should I take? Did the tuning help?

    Attributes:
        rewards: to measure films with.
        entries: to compare; the first is what others are compared with.
        films: what is made.
    """

    kind: ClassVar[str] = "backbones"
    rewards: tuple[str, ...] = Field(min_length=1)
    entries: tuple[Entry, ...] = Field(min_length=1)
    films: Films = Films()

    def beside(self, folder: Path) -> BackbonesSuite:
        """See `Suite.beside`."""
        entries = tuple(one.beside(folder) for one in self.entries)
        return self.model_copy(update={"entries": entries, "films": self.films.beside(folder)})

    @model_validator(mode="after")
    def _different(self) -> BackbonesSuite:
        _all_different("reward", self.rewards)
        _all_different("entry", [one.name for one in self.entries])
        return self


class Method(_Part):
    """A way to fine-tune.

    Attributes:
        name: in tables.
        settings: what it changes in the suite's `settings`, as a fine-tuning reads them.
        reward: to train on; None is the suite's.
    """

    name: str = Field(min_length=1)
    settings: dict[str, Any] = {}
    reward: str | None = None


class MethodsSuite(Suite):
    """Which way to fine-tune is best, at equal cost?

    Attributes:
        backbone, model, memory: that is tuned; see `create_backbone`.
        reward: to train on.
        rewards: to measure films with; the first is the one that tables are of.
        training: file of prompts, or manifest of clips; None takes clips of the mini world.
        methods: to compare; the first is what others are compared with.
        settings: of every fine-tuning; `steps` is set by the budgets.
        seeds: each trains every method once.
        calls: films through the denoiser that a training may take, recomputation included.
        seconds: that a training may take; None is what the first method takes for its calls, seed by seed.
        budgets: what is held equal; one table each.
        films: what is made of every LoRA.
    """

    kind: ClassVar[str] = "methods"
    backbone: str = MINIWORLD
    model: str | None = None
    memory: AnyMemory = "auto"
    reward: str
    rewards: tuple[str, ...] = Field(min_length=1)
    training: Path | None = None
    methods: tuple[Method, ...] = Field(min_length=1)
    settings: dict[str, Any] = {}
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0, 1, 2)
    calls: PositiveInt
    seconds: PositiveFloat | None = None
    budgets: tuple[Budget, ...] = ("calls", "time")
    films: Films = Films()

    def beside(self, folder: Path) -> MethodsSuite:
        """See `Suite.beside`."""
        placed = {"training": self.training and folder / self.training, "model": _placed(self.model, folder)}
        return self.model_copy(update={**placed, "films": self.films.beside(folder)})

    @model_validator(mode="after")
    def _readable(self) -> MethodsSuite:
        _all_different("reward", self.rewards)
        _all_different("method", [one.name for one in self.methods])
        _all_different("budget", self.budgets)
        if any(slug(method.name) == "base" for method in self.methods):
            raise ValueError("a method cannot be called 'base', which stands for the base model")
        if "calls" not in self.budgets:
            raise ValueError("budgets need calls, by which time is measured")
        for method in self.methods:
            self.config(method, 0)
        return self

    def config(self, method: Method, seed: int) -> FinetuneConfig:
        """Settings of a fine-tuning; as many steps as nobody takes."""
        merged: dict[str, Any] = {**self.settings, **method.settings, "seed": seed, "steps": 10**6}
        return FinetuneConfig.model_validate({"walk_steps": self.films.steps, **merged})


def _placed(model: str | None, folder: Path) -> str | None:
    """A model that lies in the suite's folder; else it is a hub id, or a path of its own."""
    return str(folder / model) if model is not None and os.path.exists(folder / model) else model


def _all_different(what: str, names: Iterable[str]) -> None:
    """Refuses names that would share a folder."""
    known: dict[str, str] = {}
    for name in names:
        if slug(name) in known:
            other = known[slug(name)]
            alike = "is there twice" if other == name else f"and {name!r} are too much alike"
            raise ValueError(f"each {what} once: {other!r} {alike}")
        known[slug(name)] = name


def read_suite(model: type[SuiteT], path: Path | None, overrides: Mapping[str, object]) -> SuiteT:
    """The suite of a file, or the one that comes with the package, and over it every override that is not None.

    Paths in a file are relative to its folder, those of overrides to the current one.

    Raises:
        UsageError: unreadable file, unknown key, or a value of the wrong kind.
    """
    if path is not None:
        read = load_config(model, path, {})
        placed = read.beside(path.parent.resolve())
    else:
        with resources.as_file(resources.files("rewardkit.bench") / "defaults" / f"{model.kind}.toml") as default:
            placed = load_config(model, default, {})
    given = {name: value for name, value in overrides.items() if value is not None}
    return load_config(model, None, {name: getattr(placed, name) for name in model.model_fields} | given)
