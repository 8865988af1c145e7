"""A published reward model: its card, the files it needs, and what builds it from them.

An entry point of the group `rewardkit.rewards` may name a class, a function, or a `Release` such as
`rewardkit.rewards.hpsv2:HPSV2_1`. Settings, files included, can be given in brackets: `hpsv2.1[checkpoint=my.pt]`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from rewardkit.errors import UsageError
from rewardkit.rewards.card import RewardCard
from rewardkit.rewards.interface import ImageReward, TemporalReward
from rewardkit.weights.content import sha256_of
from rewardkit.weights.filling import Placement
from rewardkit.weights.source import Source


@dataclass(frozen=True)
class Release:
    """One published reward model.

    Attributes:
        card: what it says of itself.
        files: what it needs, by the setting that gives another path for it (`checkpoint`, `tokenizer`, ...).
        build: makes the model from (card, placement, one path a file, further settings); its parameters' names are
            those of the settings.
        defaults: settings in force unless others are given, such as the architecture that the files must hold.
    """

    card: RewardCard
    build: Callable[..., ImageReward | TemporalReward]
    files: Mapping[str, Source] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)

    def load(self, placement: Placement, settings: Mapping[str, object]) -> ImageReward | TemporalReward:
        """The model at `placement`, from the files that `settings` names or else from the hub.

        Raises:
            UsageError: an unknown setting, or a file that is not there.
            MissingWeightsError: a file is not on this machine and cannot be fetched.
            BadCheckpointError: a file holds something else.
        """
        given = read_settings(self.card.name, self.build, settings)
        paths = {key: self._path(key, source, given) for key, source in self.files.items()}
        model = self.build(self.card, placement, **{**self.defaults, **given, **paths})
        model.loaded_from = {f"{key}/{path.name}": sha256_of(path) for key, path in paths.items() if path.is_file()}
        return model

    def _path(self, key: str, source: Source, given: Mapping[str, object]) -> Path:
        if key not in given:
            return source.locate(self.card.name)
        path = Path(str(given[key])).expanduser()
        # a device or a pipe is there too, and has no end
        if not (path.is_file() or path.is_dir()):
            raise UsageError(f"{self.card.name}: no {key} at {path}; expected {source}")
        return path


BESIDE_SETTINGS = ("card", "placement")
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def setting_names(made: object) -> list[str]:
    """The settings that a release, class or function takes, files included."""
    if not callable(made) and not isinstance(made, Release):
        return []
    build = made.build if isinstance(made, Release) else made
    parameters = inspect.signature(build).parameters.values()
    # a class without `__init__` has that of nn.Module, (*args, **kwargs)
    return [p.name for p in parameters if p.name not in BESIDE_SETTINGS and p.kind not in VARIADIC]


def read_settings(who: str, build: Callable[..., Any], settings: Mapping[str, object]) -> dict[str, object]:
    """Settings as the parameters of `build` want them: text from a line or a file becomes numbers, paths, ...

    Raises:
        UsageError: a setting that `build` does not have, or a value that does not fit.
    """
    known = setting_names(build) if settings else []
    target = build.__init__ if inspect.isclass(build) else build
    hints = get_type_hints(target) if settings else {}
    read = {}
    for name, value in settings.items():
        if name not in known:
            raise UsageError(f"{who} has no setting {name!r}: it has {', '.join(known) or 'none'}")
        try:
            read[name] = TypeAdapter(hints.get(name, Any)).validate_python(value)
        except ValidationError as error:
            raise UsageError(f"{who}: {name}: {error.errors()[0]['msg']}, got {value!r}") from None
    return read
