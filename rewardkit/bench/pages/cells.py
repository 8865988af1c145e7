"""A table's cells in words, the best of each column marked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rewardkit.bench.pages.estimates import Words, in_words
from rewardkit.bench.result import Cell, Column, Estimate, Table


@dataclass(frozen=True)
class ShownCell:
    """A cell to print.

    Attributes:
        words: a text, a number, or None for what was not measured.
        best: whether it is the best of its column; only among numbers over equally many items.
        fewer: how many items it is over, where that is fewer than others of the column are.
    """

    words: str | Words | None
    best: bool = False
    fewer: int | None = None


def shown_rows(table: Table) -> list[list[ShownCell]]:
    """The rows of the table, cell by cell."""
    columns = [_shown_column(column, [row[place] for row in table.rows]) for place, column in enumerate(table.columns)]
    return [[cells[number] for cells in columns] for number in range(len(table.rows))]


def _shown_column(column: Column, cells: list[Cell]) -> list[ShownCell]:
    numbers = [cell for cell in cells if isinstance(cell, Estimate)]
    most = max((number.count or 0 for number in numbers), default=0)
    words = iter(in_words(numbers, column.unit == "percent"))
    best = _best(column, [number for number in numbers if not _fewer(number, most)])
    return [
        ShownCell(next(words), cell.value == best and not _fewer(cell, most), _fewer(cell, most))
        if isinstance(cell, Estimate)
        else ShownCell(cell)
        for cell in cells
    ]


def _fewer(number: Estimate, most: int) -> int | None:
    return number.count if number.count is not None and number.count < most else None


def _best(column: Column, numbers: list[Estimate]) -> float | None:
    """The best value; None where nothing is to be marked, as nothing differs."""
    values = {number.value for number in numbers if math.isfinite(number.value)}
    if column.best is None or len(values) < 2:
        return None
    return max(values) if column.best == "high" else min(values)
