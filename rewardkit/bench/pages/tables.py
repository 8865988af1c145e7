"""A table as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import re

from rewardkit.bench.pages.cells import ShownCell, shown_rows
from rewardkit.bench.pages.estimates import Words
from rewardkit.bench.pages.numerals import MISSING
from rewardkit.bench.pages.one_line import one_line
from rewardkit.bench.result import Cell, Column, Estimate, Table
from rewardkit.files import no_formula

_MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in "\\`*[]|"}
    # entities: python-markdown knows no backslash before these, and GitHub reads mathematics between dollars
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;", "~": "&#126;"}
)
_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    # after \\ these two would be read as its options
    | {"[": "{[}", "*": "{*}"}
    | {MISSING: "--", "\N{EM DASH}": "---", "\N{MINUS SIGN}": "$-$"}
)


def as_markdown(table: Table) -> str:
    """A Markdown table under its title, with the notes below; the best of a column in bold."""
    heads = [_markdown(column.name) for column in table.columns]
    rules = ["---" if column.unit == "text" else "---:" for column in table.columns]
    rows = [[_markdown_cell(cell) for cell in row] for row in shown_rows(table)]
    lines = ["| " + " | ".join(cells) + " |" for cells in [heads, rules, *rows]]
    notes = [f"*{_markdown(column.name)}*: {_markdown(column.note)}" for column in table.columns if column.note]
    parts = [f"**{_markdown(table.title)}**", "\n".join(lines), _markdown(table.note), "<br>\n".join(notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_csv(table: Table) -> str:
    """One line a row, numbers in full; a column of numbers is four: value, low, high and count.

    A text that a spreadsheet would run as a formula has an apostrophe before it, as `no_formula` tells.
    """
    out = io.StringIO()
    writer = csv.writer(out)  # lines end as RFC 4180 says; with others, Python 3.11 does not quote a carriage return
    writer.writerow(head for column in table.columns for head in _csv_heads(column))
    for row in table.rows:
        cells = zip(table.columns, row, strict=True)
        writer.writerow(word for column, cell in cells for word in _csv_cells(column, cell))
    return out.getvalue()


def as_latex(table: Table) -> str:
    """A table for the package booktabs; the best of a column in bold."""
    heads = [_latex(column.name) for column in table.columns]
    rows = [[_latex_cell(cell) for cell in row] for row in shown_rows(table)]
    lines = [" & ".join(cells) + r" \\" for cells in [heads, *rows]]
    notes = [table.note, *(f"{column.name}: {column.note}" for column in table.columns if column.note)]
    sentences = [f"{_latex(words).rstrip('.')}." for words in [table.title, *notes] if words]
    caption = " ".join([f"\\textbf{{{sentences[0]}}}", *sentences[1:]])
    parts = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{table.slug}}}",
        rf"\begin{{tabular}}{{{''.join('l' if column.unit == 'text' else 'r' for column in table.columns)}}}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(parts) + "\n"


def _markdown(text: str) -> str:
    words = "<br>".join(line.strip().translate(_MARKDOWN) for line in text.strip().splitlines())
    # within a word an underscore is only itself
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\_", words)


def _markdown_cell(cell: ShownCell) -> str:
    if not isinstance(cell.words, Words):
        return MISSING if cell.words is None else _markdown(cell.words)
    value, *interval = str(cell.words).partition(" (")
    words = f"**{value}**{''.join(interval)}" if cell.best else str(cell.words)
    return words if cell.fewer is None else f"{words}, n = {cell.fewer}"


def _csv_heads(column: Column) -> list[str]:
    name = no_formula(column.name)
    return [name] if column.unit == "text" else [name, f"{name} low", f"{name} high", f"{name} count"]


def _csv_cells(column: Column, cell: Cell) -> list[str]:
    if not isinstance(cell, Estimate):
        words = ["" if cell is None else no_formula(cell)]
        return words if column.unit == "text" else [*words, "", "", ""]
    numbers = [cell.value] if column.unit == "text" else [cell.value, cell.low, cell.high, cell.count]
    return ["" if number is None else repr(number) for number in numbers]


def _latex(text: str) -> str:
    """On one line: an empty line within a caption is an error."""
    return one_line(text).translate(_LATEX)


def _latex_cell(cell: ShownCell) -> str:
    if not isinstance(cell.words, Words):
        return "--" if cell.words is None else _latex(cell.words)
    value = _latex_number(cell.words.value)
    value = rf"\mathbf{{{value}}}" if cell.best else value
    value += rf"\,\{cell.words.sign}" if cell.words.sign else ""
    interval = ", ".join(map(_latex_number, cell.words.interval or ()))
    words = rf"${value}\,({interval})$" if interval else f"${value}$"
    return words if cell.fewer is None else f"{words}, $n={cell.fewer}$"


def _latex_number(words: str) -> str:
    """In mathematics, where a hyphen is a minus and a bare comma would stand off."""
    if words == MISSING:
        return r"\mbox{--}"
    words = words.replace("\N{MINUS SIGN}", "-").replace(",", "{,}")
    return re.sub(r"e\+?(-?)0*(\d+)$", r"\\cdot 10^{\1\2}", words)
