"""What a benchmark found, as data: sections of tables, figures and films, written once and drawn in every form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rewardkit.errors import UsageError
from rewardkit.files import replacing
from rewardkit.scoring.bootstrap import Interval

RESULT = "result.json"


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Fact):
    """A number, its 95 % interval where there is one, and the items that it is over."""

    value: float
    low: float | None = None
    high: float | None = None
    count: int | None = None

    @classmethod
    def within(cls, value: float, interval: Interval | None, count: int) -> Estimate:
        """A number with its interval, where there is one."""
        low, high = interval or (None, None)
        return cls(value=value, low=low, high=high, count=count)


Cell = str | Estimate | None
"""A word, a number, or None for what was not measured."""


class Column(_Fact):
    """A table's column.

    Attributes:
        name: its head.
        unit: `text`, `number` or `percent` (of a share in [0, 1]).
        best: which end is the better one, to be marked; None marks nothing.
        note: what it means, in a few words.
    """

    name: str
    unit: Literal["text", "number", "percent"] = "number"
    best: Literal["high", "low"] | None = None
    note: str = ""


class _Titled(_Fact):
    """What every block has; `slug` names its files."""

    slug: str
    title: str
    note: str = ""


class Table(_Titled):
    """Rows of cells."""

    kind: Literal["table"] = "table"
    columns: list[Column]
    rows: list[list[Cell]]

    def filled(self) -> Table:
        """Without the columns in which nothing stands."""
        kept = [n for n in range(len(self.columns)) if any(row[n] is not None for row in self.rows)]
        columns, rows = [self.columns[n] for n in kept], [[row[n] for n in kept] for row in self.rows]
        return self.model_copy(update={"columns": columns, "rows": rows})


class ForestRow(_Fact):
    """One estimate of a forest plot; rows of one group stand together."""

    label: str
    group: str = ""
    estimate: Estimate


class Forest(_Titled):
    """Estimates with their intervals, one below the other.

    Attributes:
        unit: what the axis shows; `percent` where it is a share.
        reference: where a line is drawn, such as 0 (no change) or 0.5 (chance).
    """

    kind: Literal["forest"] = "forest"
    unit: str = ""
    percent: bool = False
    reference: float | None = None
    rows: list[ForestRow]


class Line(_Fact):
    """A line of a panel: one estimate at each x."""

    name: str
    x: list[float]
    y: list[Estimate]


class Panel(_Fact):
    """One chart of lines.

    Attributes:
        x_names: words for the ends or ticks of the axis, one each x of the first line; numbers where empty.
        limit: a bound that must not be crossed.
    """

    title: str
    note: str = ""
    x: str = ""
    x_names: list[str] = []
    limit: float | None = None
    lines: list[Line]


class Panels(_Titled):
    """Charts side by side, whose lines of one name share a colour."""

    kind: Literal["panels"] = "panels"
    y: str = ""
    panels: list[Panel]


class Heat(_Titled):
    """A square of numbers in [-1, 1] between things of the same names; None where it cannot be told."""

    kind: Literal["heat"] = "heat"
    names: list[str]
    values: list[list[float | None]]


class ShownFilm(_Fact):
    """A film in the page.

    Attributes:
        path: of the video, from the result's folder.
        scores: what to write below it.
        curve: score of each scored frame, as (frame, score), of the reward `curve_of`.
    """

    label: str
    path: str
    scores: dict[str, float] = {}
    curve: list[tuple[int, float]] = []


class FilmRow(_Fact):
    """Films that belong together, such as those of one prompt and seed."""

    title: str
    note: str = ""
    films: list[ShownFilm]


class Films(_Titled):
    """Films side by side."""

    kind: Literal["films"] = "films"
    curve_of: str = ""
    rows: list[FilmRow]


Block = Annotated[Table | Forest | Panels | Heat | Films, Field(discriminator="kind")]


class Section(_Fact):
    """A chapter of the page."""

    title: str
    note: str = ""
    blocks: list[Block]


class Result(_Fact):
    """All that a benchmark found.

    Attributes:
        kind: of the benchmark.
        title: of the page.
        headline: the answer, in one or a few sentences.
        warnings: what was left out or failed, a sentence each; empty where nothing was.
        sections: most important first.
        made: command, commit, versions, device, seeds and the suite, by name.
    """

    kind: Literal["rewards", "backbones", "methods"]
    title: str
    headline: list[str]
    warnings: list[str]
    sections: list[Section]
    made: dict[str, Any]

    def blocks(self) -> list[Block]:
        """All blocks, in order."""
        return [block for section in self.sections for block in section.blocks]

    def save(self, folder: Path) -> None:
        """Writes `result.json`.

        Raises:
            OutputError: it cannot be written.
        """
        with replacing(folder / RESULT) as draft:
            draft.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Result:
        """From the folder of a benchmark.

        Raises:
            UsageError: it holds none.
        """
        try:
            return cls.model_validate_json((folder / RESULT).read_bytes())
        except FileNotFoundError:
            raise UsageError(f"{folder} holds no finished benchmark: no {RESULT} is there") from None
        except (OSError, ValidationError) as error:
            raise UsageError(f"cannot read {folder / RESULT}: {' '.join(str(error).split())[:200]}") from None
