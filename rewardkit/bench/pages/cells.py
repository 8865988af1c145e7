"""A table's cells in words, the best of each column marked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rewardkit.bench.pages.estimates import Words, in_words
from rewardkit.bench.result import Cell, Column, Estimate, Table


@dataclass(frozen=True)
class ShownCell:
    """A cell to print: a text, a number, or None for what was not measured."""

    words: str | Words | None
    best: bool = False


def shown_rows(table: Table) -> list[list[ShownCell]]:
    """The rows of the table, cell by cell."""
    columns = [_shown_column(column, [row[place] for row in table.rows]) for place, column in enumerate(table.columns)]
    return [[cells[number] for cells in columns] for number in range(len(table.rows))]


def _shown_column(column: Column, cells: list[Cell]) -> list[ShownCell]:
    numbers = [cell for cell in cells if isinstance(cell, Estimate)]
    words, best = iter(in_words(numbers, column.unit == "percent")), _best(column, numbers)
    return [
        ShownCell(next(words), cell.value == best) if isinstance(cell, Estimate) else ShownCell(cell) for cell in cells
    ]


def _best(column: Column, numbers: list[Estimate]) -> float | None:
    """The best value; None where nothing is to be marked, as nothing differs."""
    values = {number.value for number in numbers if math.isfinite(number.value)}
    if column.best is None or len(values) < 2:
        return None
    return max(values) if column.best == "high" else min(values)
