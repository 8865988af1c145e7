"""What people said of videos: ratings, and which of two they prefer."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rewardkit.errors import UsageError

PREFERRED = {"first": 1, "second": -1, "tie": 0}


@dataclass(frozen=True)
class Preference:
    """Two videos, and which one people prefer: 1 the first, -1 the second, 0 neither."""

    first: Path
    second: Path
    preferred: int


def read_ratings(path: Path) -> dict[Path, float]:
    """Rating of each video; higher is better. Paths in the file are beside it.

    Raises:
        UsageError: unreadable, a column is missing, or a rating is no number.
    """
    found: dict[Path, float] = {}
    for place, line in _lines(path, ("path", "rating")):
        video = _beside(path, line["path"])
        try:
            rating = float(line["rating"])
        except ValueError:
            rating = math.nan
        if not math.isfinite(rating):
            raise UsageError(f"{path}, line {place}: a rating is a number, got {line['rating']!r}")
        if found.setdefault(video, rating) != rating:
            raise UsageError(f"{path}, line {place}: a second rating of {line['path']}")
    return found


def read_preferences(path: Path) -> list[Preference]:
    """Every preference. Paths in the file are beside it.

    Raises:
        UsageError: unreadable, a column is missing, or a preference is none of first, second and tie.
    """
    found = []
    for place, line in _lines(path, ("first", "second", "preferred")):
        word = line["preferred"].strip().lower()
        if word not in PREFERRED:
            raise UsageError(f"{path}, line {place}: preferred is first, second or tie, got {line['preferred']!r}")
        first, second = (_beside(path, line[side]) for side in ("first", "second"))
        if first == second:
            raise UsageError(f"{path}, line {place}: both sides are {line['first']}")
        found.append(Preference(first, second, PREFERRED[word]))
    return found


def _lines(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(f"{path} has no column {missing[0]!r}: expected {', '.join(columns)}")
            for line in reader:
                blank = [name for name in columns if not line[name]]
                if blank:
                    raise UsageError(f"{path}, line {reader.line_num}: no {blank[0]}")
                yield reader.line_num, line
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read {path}: {error}") from None


def _beside(path: Path, video: str) -> Path:
    return Path(os.path.abspath(path.parent / video))
