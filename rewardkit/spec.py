"""Spec strings: one line that names a part and its settings, `segments:4,pick=first`.

The same line works on the command line, in a configuration file and in Python, and `str(part)` gives it back.
A part is a frozen pydantic dataclass whose fields are its settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, ValidationError

from rewardkit.errors import UnknownNameError, UsageError

STRICT_FIELDS = ConfigDict(extra="forbid", allow_inf_nan=False)

LONGEST_LINE = 10_000
"""Characters; reading takes time as the square of their number."""


class Part:
    """A thing with a name and settings that a spec string can build and that prints as one.

    `kind` is what an error calls such things; each kind is an abstract class.
    """

    kind: ClassVar[str]
    name: ClassVar[str]

    def __str__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        changed = [(f.name, _word(getattr(self, f.name))) for f in fields if getattr(self, f.name) != f.default]
        words = [word if name == fields[0].name else f"{name}={word}" for name, word in changed]
        return _joined(self.name, words)


PartT = TypeVar("PartT", bound=Part)


def parse_part(base: type[PartT], spec: str | PartT, known: Mapping[str, type[PartT]]) -> PartT:
    """The part of the kind `base` that `spec` describes; such a part is returned as it is.

    Values without a name fill the part's fields in order: `segments:4` is `segments:count=4`. A field that takes
    several numbers takes all that are left: `index:0,4,8`.

    Raises:
        UnknownNameError: no part of that name, with suggestions.
        UsageError: a setting that the part does not have or cannot read, or something else than a line or a part.
    """
    if isinstance(spec, base):
        return spec
    if not isinstance(spec, str):
        raise UsageError(f"a {base.kind} is a line such as {usage(next(iter(known.values())))!r}: got {spec!r}")
    check_line(spec)
    name, _, settings = spec.strip().partition(":")
    if name not in known:
        raise UnknownNameError(base.kind, name, known)
    part = known[name]
    try:
        return part(**_named_settings(part, [w.strip() for w in settings.split(",") if w.strip()]))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(place) for place in first["loc"])
        raise UsageError(f"{base.kind} {spec!r}: {where}: {first['msg']}; it reads {usage(part)}") from None


def check_line(line: str) -> None:
    """Refuses lines that nobody wrote by hand."""
    if len(line) > LONGEST_LINE:
        raise UsageError(f"cannot read a line of {len(line)} characters: {LONGEST_LINE} at most")


def usage(part: type[Part]) -> str:
    """How a part is written: its name and its settings with their defaults."""
    words = []
    for field in dataclasses.fields(part):  # type: ignore[arg-type]
        default = field.default
        words.append(field.name if default is dataclasses.MISSING else f"{field.name}={_word(default)}")
    return _joined(part.name, words)


def _named_settings(part: type[Part], words: list[str]) -> dict[str, Any]:
    fields = [f.name for f in dataclasses.fields(part)]  # type: ignore[arg-type]
    settings: dict[str, Any] = {}
    for position, word in enumerate(words):
        key, equals, value = word.partition("=")
        if equals:
            settings[key.strip()] = value.strip()
        elif position < len(fields) and fields[position] not in settings:
            settings[fields[position]] = word
        elif fields and isinstance(settings.get(fields[-1]), str):
            settings[fields[-1]] += f",{word}"
        else:
            raise UsageError(f"{part.name} cannot read {word!r}: it reads {usage(part)}")
    return settings


def _joined(name: str, words: list[str]) -> str:
    return f"{name}:{','.join(words)}" if words else name


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def split_numbers(value: object) -> object:
    """A comma-separated word as a list of words, for fields that take several numbers; anything else as it is."""
    if isinstance(value, int):
        return (value,)
    return value.split(",") if isinstance(value, str) else value
