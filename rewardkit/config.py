"""Configuration files: YAML or TOML into a pydantic model; command line over file over default."""

from __future__ import annotations

import math
import re
import reprlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rewardkit.errors import UnknownNameError, UsageError

ModelT = TypeVar("ModelT", bound=BaseModel)

MOST_BYTES = 1 << 16
MOST_VALUES = 100_000
DEEPEST = 20
LONG_KEY = re.compile(
    r"""(?<! [\w-]) (?: (?: [\w-]++ | "[^"\n]*+" | '[^'\n]*+' ) [ \t]*+ \. [ \t]*+ ){32}""", re.VERBOSE
)
"""`a.b.c...`, for which tomllib takes time and memory as the square of its length."""


def load_config(model: type[ModelT], path: Path | None, overrides: Mapping[str, object]) -> ModelT:
    """`model` with the values of `path` (.yaml, .yml, .toml), and over them every override that is not None.

    Raises:
        UsageError: unreadable file, unknown key (with the nearest one), or a value of the wrong kind.
    """
    values = _read(path) if path is not None else {}
    for key in values:
        if key not in model.model_fields:
            name = key if isinstance(key, str) else _shown(key)
            raise UsageError(f"{path}: {UnknownNameError('setting', name, model.model_fields)}")
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return model.model_validate({**values, **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(place) for place in first["loc"])
        source = f"{path}: " if where.split(".")[0] in values and where.split(".")[0] not in given else ""
        reason = " ".join(first["msg"].split())
        raise UsageError(f"{source}{where}: {reason}, got {_shown(first['input'])}") from None


def _read(path: Path) -> dict[str, object]:
    try:
        values: object = _parsed(path)
    # yaml makes values of what is tagged as one without a look at it, and stumbles in any way
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        ArithmeticError,
        RecursionError,
        yaml.YAMLError,
    ) as error:
        raise UsageError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected settings as key: value, got a {type(values).__name__}")
    return values


def _parsed(path: Path) -> object:
    suffix = path.suffix.lower()
    if suffix not in (".toml", ".yaml", ".yml"):
        raise UsageError(f"cannot read {path}: a configuration ends in .yaml, .yml or .toml")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise UsageError(f"cannot read {path}: it has more than {MOST_BYTES} bytes, as no configuration has")
    text = content.decode("utf-8-sig")
    if suffix != ".toml":
        return yaml.load(text, _BoundedLoader)
    if LONG_KEY.search(text):
        raise UsageError(f"cannot read {path}: it has a key of more than 32 parts")
    return tomllib.loads(text)


class _BoundedLoader(yaml.SafeLoader):
    """Refuses what takes time or memory out of all proportion to the file."""

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        """A bracket opens; each one more costs every word inside a look at all that are open."""
        if self.flow_level >= DEEPEST:
            raise ValueError(f"more than {DEEPEST} brackets are open at once")
        super().fetch_flow_collection_start(token)

    def get_single_node(self) -> yaml.Node | None:
        """The document; aliases of aliases may stand for more values than memory holds."""
        node = super().get_single_node()
        if node is not None and _values(node, {}) > MOST_VALUES:
            raise ValueError(f"its aliases stand for more than {MOST_VALUES} values")
        return node


def _values(node: yaml.Node, known: dict[int, float]) -> float:
    """How many a node has in it, each alias being as many as what it stands for."""
    if id(node) not in known:
        known[id(node)] = math.inf  # of one that stands in itself
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        inside = [one for part in parts for one in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = 1 + sum(_values(one, known) for one in inside)
    return known[id(node)]


class _Shown(reprlib.Repr):
    """Values as an error quotes them, of which files may hold any size."""

    def repr_int(self, x: int, level: int) -> str:
        """Python writes no more than 4300 digits."""
        return "a number of thousands of digits" if abs(x) >= 10**4000 else super().repr_int(x, level)


def _shown(value: object) -> str:
    shown = _Shown()
    shown.maxstring = shown.maxother = shown.maxlong = 200
    return shown.repr(value)
