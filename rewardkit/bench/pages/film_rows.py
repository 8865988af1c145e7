"""Films as a benchmark's page shows them: playing, with some of their frames and the scores of those."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rewardkit.bench.pages.curve import Curve, FrameScore, curve_between
from rewardkit.bench.pages.film import PlayedFilm, read_film
from rewardkit.bench.pages.numerals import fixed
from rewardkit.bench.pages.thumbnails import Strip, read_strip, spread_over
from rewardkit.bench.result import FilmRow, Films, ShownFilm
from rewardkit.scoring.decimals import decimals_for

_STRIP = 8  # thumbnails below a film


@dataclass(frozen=True)
class FilmView:
    """One film.

    Attributes:
        label: its name.
        film: what plays; None where the video cannot be read.
        strip: some of its frames, or what is wrong with the video.
        curve: the scores of its frames, on an axis that all films of the row share; None without scores.
        decimals: of the curve's numbers.
        scores: names and numbers to write below it.
    """

    label: str
    film: PlayedFilm | None
    strip: Strip
    curve: Curve | None
    decimals: int
    scores: list[tuple[str, str]]


def film_rows(films: Films, folder: Path) -> list[list[FilmView]]:
    """The films of each row. Paths start from `folder`."""
    decimals = _score_decimals(films)
    return [_row(row, decimals, folder) for row in films.rows]


def _row(row: FilmRow, decimals: dict[str, int], folder: Path) -> list[FilmView]:
    values = [score.score for film in row.films for score in _frame_scores(film)]
    low, high = min(values, default=0.0), max(values, default=0.0)

    def view(shown: ShownFilm) -> FilmView:
        film, strip = _read(folder, shown.path)
        scores = _frame_scores(shown)
        curve = curve_between(low, high, scores, film.num_frames if film else None) if scores else None
        words = [(name, fixed(score, decimals[name])) for name, score in shown.scores.items()]
        return FilmView(shown.label, film, strip, curve, decimals_for(high - low), words)

    return list(map(view, row.films))


def _read(folder: Path, name: str) -> tuple[PlayedFilm | None, Strip]:
    """The film and some of its frames. The page says what is wrong without telling others where `folder` is."""
    film = read_film(folder / name)
    if isinstance(film, str):
        return None, Strip(problem=film.replace(f"{folder}/", ""))
    return film, read_strip(folder / name, spread_over(film.frames, _STRIP))


def _frame_scores(film: ShownFilm) -> list[FrameScore]:
    """The finite ones, all of one weight."""
    return [FrameScore(frame, score, 1.0, 1.0) for frame, score in film.curve if math.isfinite(score)]


def _score_decimals(films: Films) -> dict[str, int]:
    """Decimals that tell the films apart, for each score."""
    found: dict[str, list[float]] = {}
    for film in (film for row in films.rows for film in row.films):
        for name, score in film.scores.items():
            found.setdefault(name, []).append(score)
    return {name: decimals_for(_spread(scores)) for name, scores in found.items()}


def _spread(scores: Sequence[float]) -> float:
    finite = [score for score in scores if math.isfinite(score)] or [0.0]
    return max(finite) - min(finite) or max(map(abs, finite))
