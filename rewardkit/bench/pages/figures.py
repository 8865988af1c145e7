"""Charts as figures for papers: PNG and SVG, the same bytes for the same numbers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rewardkit.bench.pages.estimates import in_words, interval_of
from rewardkit.bench.pages.numerals import fixed
from rewardkit.bench.pages.one_line import one_line
from rewardkit.bench.pages.panel_chart import line_names, named_places
from rewardkit.bench.result import Estimate, Forest, ForestRow, Heat, Line, Panel, Panels
from rewardkit.errors import MissingExtraError
from rewardkit.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Dashes = Literal["-", "--", ":", "-."]

_DPI = 200
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""For all kinds of colour vision. Source: Okabe and Ito, Color Universal Design (2008)."""
_DASHES: tuple[Dashes, ...] = ("-", "--", ":", "-.")  # one for each time that the colours are used up
_INK, _QUIET, _PALE = "#222222", "#777777", "#E4E4E4"
_LIMIT = "#B3261E"
_LABEL = 40  # characters
_INCHES_A_LETTER = 0.07
_FEW = 40  # points that each deserve a dot
_DARK = 0.65  # squares beyond it have white words
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib
    "font.size": 8,
    "text.color": _INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": _QUIET,
    "axes.linewidth": 0.7,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _PALE,
    "grid.linewidth": 0.7,
    "xtick.color": _QUIET,
    "xtick.labelcolor": _INK,
    "ytick.color": _QUIET,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "figure.titlesize": 10,
    "figure.titleweight": "bold",
    "svg.fonttype": "none",
    "svg.hashsalt": "rewardkit",
}


def save_figure(block: Forest | Panels | Heat, folder: Path) -> None:
    """Writes `{slug}.png` and `{slug}.svg` to `folder`.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: they cannot be written.
    """
    with _style():
        figure = _draw(block)
        for suffix, metadata in {".png": {"Software": None}, ".svg": {"Date": None}}.items():
            with replacing(folder / f"{block.slug}{suffix}") as draft:
                figure.savefig(draft, dpi=_DPI, bbox_inches="tight", metadata=metadata)


def check_drawing() -> None:
    """Makes sure that figures can be drawn, for those who draw after hours of work.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with _style():
        pass


@contextmanager
def _style() -> Iterator[None]:
    """Our own settings over matplotlib's, whatever the user's are; and no word on emoji, which its fonts lack."""
    try:
        import matplotlib.style
    except ImportError:
        raise MissingExtraError("drawing figures", "matplotlib", "report") from None
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


def _draw(block: Forest | Panels | Heat) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    figure.suptitle(one_line(block.title, 90), x=0.01, horizontalalignment="left")
    match block.kind:
        case "forest":
            _draw_forest(figure, block)
        case "panels":
            _draw_panels(figure, block)
        case "heat":
            _draw_heat(figure, block)
    return figure


def _draw_forest(figure: Figure, block: Forest) -> None:
    groups: dict[str, list[tuple[ForestRow, str]]] = {}
    for row, words in zip(block.rows, in_words([row.estimate for row in block.rows], block.percent), strict=True):
        groups.setdefault(row.group, []).append((row, str(words)))
    labels: list[tuple[str, bool]] = []
    axes = figure.subplots()
    for group, rows in groups.items():
        labels += [(one_line(group, _LABEL), True)] if group else []
        for row, number in rows:
            _draw_estimate(axes, len(labels), row.estimate, 100 if block.percent else 1)
            axes.text(1.02, len(labels), number, transform=axes.get_yaxis_transform(), va="center_baseline")
            labels.append((one_line(row.label, _LABEL), False))
    if block.reference is not None:
        axes.axvline(block.reference * (100 if block.percent else 1), color=_QUIET, linewidth=0.9, linestyle="--")
    axes.set_yticks(range(len(labels)), [label for label, _ in labels])
    for text, (_, head) in zip(axes.get_yticklabels(), labels, strict=True):
        text.set_fontweight("bold" if head else "normal")
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel(f"{one_line(block.unit, _LABEL)}{' (%)' if block.percent else ''}".strip())
    figure.set_size_inches(6.5, 0.9 + 0.22 * len(labels))


def _draw_estimate(axes: Axes, row: int, estimate: Estimate, scale: float) -> None:
    ends = interval_of(estimate)
    if ends:
        axes.plot(
            [scale * ends[0], scale * ends[1]], [row, row], color=_COLOURS[0], linewidth=1.4, solid_capstyle="butt"
        )
    axes.plot(scale * estimate.value, row, "o", color=_COLOURS[0], markersize=4.5)


def _draw_panels(figure: Figure, block: Panels) -> None:
    names, across = line_names(block), min(3, max(1, len(block.panels)))
    down = max(1, math.ceil(len(block.panels) / across))
    spots = figure.subplots(down, across, squeeze=False).flat
    for panel in block.panels:
        axes = next(spots)
        _draw_panel(axes, panel, names)
        axes.set_ylabel(one_line(block.y, 24))
    for axes in spots:
        axes.set_axis_off()
    width = max(3.4, 2.5 * across)
    below = _draw_key(figure, names, width) if len(names) > 1 else 0.0
    figure.set_size_inches(width, 0.5 + 1.9 * down + below)


def _draw_key(figure: Figure, names: list[str], width: float) -> float:
    """Which colour is whose; the height that it takes, in inches."""
    from matplotlib.lines import Line2D

    looks = map(_look, range(len(names)))
    keys = [Line2D([], [], linewidth=1.4, color=colour, linestyle=dash) for colour, dash in looks]
    # matplotlib 3.9 leaves out names that begin with an underscore
    words = [f" {one_line(name, _LABEL)}" for name in names]
    columns = max(1, min(len(names), int(width / (0.6 + _INCHES_A_LETTER * max(map(len, words))))))
    figure.legend(keys, words, loc="outside lower center", ncols=columns)
    return 0.2 * math.ceil(len(names) / columns)


def _draw_panel(axes: Axes, panel: Panel, names: list[str]) -> None:
    axes.set_title(one_line(panel.title, 28))
    axes.grid(axis="y")
    for line in panel.lines:
        _draw_line(axes, line, names.index(line.name))
    if panel.limit is not None:
        axes.axhline(panel.limit, color=_LIMIT, linewidth=0.9, linestyle="--")
        axes.text(1, panel.limit, "limit", transform=axes.get_yaxis_transform(), ha="right", va="bottom", color=_LIMIT)
    if panel.x_names:
        places = named_places(panel)
        axes.set_xticks([x for x, _ in places], [one_line(name, 12) for _, name in places])
    axes.set_xlabel(one_line(panel.x, 28))


def _draw_line(axes: Axes, line: Line, number: int) -> None:
    points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y.value)]
    xs = [x for x, _ in points]
    lows, highs = zip(*(interval_of(y) or (y.value, y.value) for _, y in points), strict=True) if points else ((), ())
    colour, dash = _look(number)
    if any(interval_of(y) for _, y in points):
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.15, linewidth=0)
    marker = "o" if len(points) <= _FEW else ""
    axes.plot(xs, [y.value for _, y in points], dash, color=colour, linewidth=1.4, marker=marker, markersize=3)


def _look(number: int) -> tuple[str, Dashes]:
    """Colour and dashes of the line of that number."""
    return _COLOURS[number % len(_COLOURS)], _DASHES[number // len(_COLOURS) % len(_DASHES)]


def _draw_heat(figure: Figure, block: Heat) -> None:
    axes, count = figure.subplots(), len(block.names)
    for row, values in enumerate(block.values):
        for column, value in enumerate(values):
            _draw_square(axes, row, column, value if value is not None and math.isfinite(value) else None)
    axes.set_xlim(-0.5, max(count, 1) - 0.5)
    axes.set_ylim(max(count, 1) - 0.5, -0.5)
    names = [one_line(name, _LABEL) for name in block.names]
    axes.set_xticks(range(count), names, rotation=40, rotation_mode="anchor", horizontalalignment="left")
    axes.set_yticks(range(count), names)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    longest = _INCHES_A_LETTER * max(map(len, names), default=0)
    figure.set_size_inches(1.0 + 1.8 * longest + 0.45 * count, 0.8 + 0.7 * longest + 0.32 * count)


def _draw_square(axes: Axes, row: int, column: int, value: float | None) -> None:
    import matplotlib
    from matplotlib.patches import Rectangle

    at = 0.0 if value is None else max(-1.0, min(1.0, value))
    # the ends of the colours are too dark for words on them
    fill = _PALE if value is None else matplotlib.colormaps["RdBu"](0.5 + 0.43 * at)
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=fill, edgecolor="white", linewidth=1.5))
    words = fixed(value, 2)
    colour = "white" if abs(at) > _DARK else _INK
    axes.text(column, row, words, color=colour, horizontalalignment="center", verticalalignment="center", fontsize=7)
