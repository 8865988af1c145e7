"""Configuration files: YAML or TOML into a pydantic model; command line over file over default."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rewardkit.errors import UnknownNameError, UsageError

ModelT = TypeVar("ModelT", bound=BaseModel)


def load_config(model: type[ModelT], path: Path | None, overrides: Mapping[str, object]) -> ModelT:
    """`model` with the values of `path` (.yaml, .yml, .toml), and over them every override that is not None.

    Raises:
        UsageError: unreadable file, unknown key (with the nearest one), or a value of the wrong kind.
    """
    values = _read(path) if path is not None else {}
    for key in values:
        if key not in model.model_fields:
            raise UsageError(f"{path}: {UnknownNameError('setting', str(key), model.model_fields)}")
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return model.model_validate({**values, **given})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(place) for place in first["loc"])
        source = f"{path}: " if where.split(".")[0] in values and where.split(".")[0] not in given else ""
        raise UsageError(f"{source}{where}: {first['msg']}, got {first['input']!r}") from None


def _read(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".toml":
            values: object = tomllib.loads(text)
        elif path.suffix.lower() in (".yaml", ".yml"):
            values = yaml.safe_load(text)
        else:
            raise UsageError(f"cannot read {path}: a configuration ends in .yaml, .yml or .toml")
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read {path}: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected settings as key: value, got a {type(values).__name__}")
    return values
