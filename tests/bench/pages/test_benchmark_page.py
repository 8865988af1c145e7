from __future__ import annotations

import base64
import hashlib
import io
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from PIL import Image

from rewardkit.bench.pages.benchmark_page import write_page
from rewardkit.bench.pages.outputs import write_outputs
from rewardkit.bench.result import Column, Estimate, Films, Forest, Heat, Line, Panel, Panels, Result, Section, Table
from rewardkit.errors import OutputError, UsageError
from rewardkit.video import read_video
from tests.bench.pages.sample import HOSTILE, METHODS, forest, heat, leaderboard, panels, sample

KEPT = {"kind", "slug", "path", "unit", "best"}
"""Fields whose words are ours."""


class Tag:
    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name, self.attributes, self.text = name, attributes, ""

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()


class Reader(HTMLParser):
    """All tags in order; each with all text up to its end."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[Tag] = []
        self.open: list[Tag] = []
        self.crossed = False
        self.html = html
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = Tag(tag, {name: value or "" for name, value in attrs})
        self.tags.append(found)
        if tag not in {"meta", "img", "source", "br"}:
            self.open.append(found)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        self.crossed |= not self.open or self.open[-1].name != tag
        while self.open and self.open.pop().name != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            tag.text += data

    def of(self, name: str, kind: str | None = None) -> list[Tag]:
        return [tag for tag in self.tags if tag.name == name and (kind is None or kind in tag.classes)]


def page(result: Result, folder: Path) -> Reader:
    out = folder / "out" / "report.html"
    write_page(result, folder, out)
    return Reader(out.read_text("utf-8"))


def only(*blocks: Table | Forest | Panels | Heat) -> Result:
    section = Section(title="s", blocks=list(blocks))
    return Result(kind="rewards", title="t", headline=["h"], warnings=[], sections=[section], made={})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sample")


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return sample(folder)


@pytest.fixture(scope="module")
def shown(result: Result, folder: Path) -> Reader:
    return page(result, folder)


# ---- self-contained and safe


def test_the_page_asks_the_network_for_nothing(shown: Reader) -> None:
    for tag in shown.tags:
        assert tag.name not in {"link", "iframe", "object", "embed", "base", "form", "video", "use", "image"}
        assert not {"action", "poster", "background", "xlink:href"} & tag.attributes.keys()
        for name in ("src", "srcset"):
            assert tag.attributes.get(name, "data:image/").startswith("data:image/")
    links = [tag.attributes["href"] for tag in shown.tags if "href" in tag.attributes]
    assert links == ["#section-1", "#section-2", "#section-3"]
    assert [tag.attributes["id"] for tag in shown.of("section")] == [link[1:] for link in links]
    style = shown.of("style")[0].text
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in shown.html.replace("http-equiv", "")


def test_the_policy_allows_the_one_style_and_the_one_script_alone(shown: Reader) -> None:
    (policy,) = [t.attributes["content"] for t in shown.tags if t.attributes.get("http-equiv")]
    for element in ("style", "script"):
        (tag,) = shown.of(element)
        digest = base64.b64encode(hashlib.sha256(tag.text.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


def test_nothing_in_the_page_is_what_the_policy_would_block(shown: Reader) -> None:
    for tag in shown.tags:
        assert not [name for name in tag.attributes if name == "style" or name.startswith("on")]


def filled(value: Any, text: str) -> Any:
    """With every text that can come from outside being `text`; texts of one name stay different from others."""
    if isinstance(value, dict):
        return {name: part if name in KEPT else filled(part, text) for name, part in value.items()}
    if isinstance(value, list):
        return [filled(part, text) for part in value]
    return f"{value} {text}" if isinstance(value, str) else value


def full_of(text: str, result: Result) -> Result:
    raw = result.model_dump(mode="json")
    return Result.model_validate({**filled(raw, text), "made": {text: text, "more": {"count": 1}}})


@pytest.fixture(scope="module")
def charts(result: Result) -> Result:
    """All but the films: those of a dozen pages would take a dozen times as long."""
    (films,) = result.sections[2].blocks
    assert isinstance(films, Films)
    row = films.rows[1]
    lost = films.model_copy(update={"rows": [row.model_copy(update={"films": row.films[2:]})]})
    last = result.sections[2].model_copy(update={"blocks": [lost]})
    return result.model_copy(update={"sections": [*result.sections[:2], last]})


def collapsed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(text: str, charts: Result, tmp_path: Path) -> None:
    plain = "h" * len(text)  # long words leave room for fewer of them
    hostile, harmless = page(full_of(text, charts), tmp_path), page(full_of(plain, charts), tmp_path)
    assert [tag.name for tag in hostile.tags] == [tag.name for tag in harmless.tags]
    assert [set(tag.attributes) for tag in hostile.tags] == [set(tag.attributes) for tag in harmless.tags]
    counts = [
        collapsed(reader.of("body")[0].text).count(collapsed(words))
        for reader, words in ((hostile, text), (harmless, plain))
    ]
    assert counts[0] == counts[1] > 60


def test_without_escaping_hostile_text_would_be_noticed(
    charts: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    escaping = jinja2.Environment
    monkeypatch.setattr(jinja2, "Environment", lambda **options: escaping(**(options | {"autoescape": False})))
    hostile = page(full_of("<b onclick='alert(1)'></b>", charts), tmp_path)
    assert any("onclick" in tag.attributes for tag in hostile.tags)


# ---- what it says


def test_every_tag_is_closed_within_its_own(shown: Reader) -> None:
    assert not shown.crossed
    assert not shown.open
    assert Reader("<p><b></p>").crossed


def test_headline_warnings_and_origin_are_all_there(result: Result, shown: Reader) -> None:
    (answer,) = shown.of("div", "answer")
    assert answer.text == "".join(result.headline)
    assert [tag.text for tag in shown.of("li", "notice")] == result.warnings
    (made,) = shown.of("details", "made")
    for words in ("f8693c5", "NVIDIA H100", "rewardkit benchmark methods", '"torch": "2.9.0"'):
        assert words in made.text


def test_without_warnings_there_is_no_notice(tmp_path: Path) -> None:
    assert not page(only(), tmp_path).of("li", "notice")


def test_sections_and_blocks_keep_their_order(result: Result, shown: Reader) -> None:
    titles = [tag.text for tag in shown.tags if tag.name in ("h2", "h3")]
    assert titles == [part.title for section in result.sections for part in [section, *section.blocks]]


# ---- tables and charts


def test_a_table_shows_its_numbers_and_marks_the_best(tmp_path: Path) -> None:
    shown = page(only(leaderboard()), tmp_path)
    assert [tag.text for tag in shown.of("th", "text")][2:] == METHODS
    best = [collapsed(tag.text) for tag in shown.of("td", "best")]
    assert best == ["0.000", "0.593 0.565 to 0.621", "77 % 71 to 83"]


def percent(tag: Tag, name: str) -> float:
    return float(tag.attributes[name].removesuffix("%"))


def test_a_forest_places_values_intervals_and_reference_on_one_axis(tmp_path: Path) -> None:
    block = forest()
    shown = page(only(block), tmp_path)
    estimates = [row.estimate for row in block.rows]
    places = [percent(tag, "cx") for tag in shown.of("circle", "point")]
    slope, start = np.polyfit([e.value for e in estimates], places, 1)
    assert places == pytest.approx([slope * e.value + start for e in estimates], abs=0.02)  # written to two decimals
    ends = [(percent(tag, "x1"), percent(tag, "x2")) for tag in shown.of("line", "whisker")]
    for (low, high), estimate in zip(ends, [e for e in estimates if e.low is not None], strict=True):
        assert (low, high) == pytest.approx(
            (slope * (estimate.low or 0) + start, slope * (estimate.high or 0) + start), abs=0.05
        )
    (reference,) = {percent(tag, "x1") for tag in shown.of("line", "reference")}
    assert reference == pytest.approx(slope * 0.5 + start, abs=0.05)
    assert [collapsed(t.text) for t in shown.of("span", "numbers")][2] == "74.0 % 68.6 to 79.4"


def test_rows_of_one_group_stand_together(tmp_path: Path) -> None:
    block = forest()
    mixed = block.model_copy(update={"rows": block.rows[::3] + block.rows[1::3] + block.rows[2::3]})
    shown = page(only(mixed), tmp_path)
    assert [tag.text for tag in shown.of("li", "group")] == ["seen prompts", "new colours", "new shapes"]


def test_lines_of_one_name_share_a_colour_and_their_dots_say_what_they_are(tmp_path: Path) -> None:
    block = panels()
    shown = page(only(block), tmp_path)
    names = [tag.text for tag in shown.of("li") if tag.classes and tag.classes[0].startswith("part-")]
    assert names == METHODS
    colours = [tag.classes[0] for tag in shown.of("g")]
    assert colours == [f"part-{names.index(line.name)}" for panel in block.panels for line in panel.lines]
    titles = [tag.text for tag in shown.of("title")]
    assert "instructvideo, step 0: 0.500 (0.480 to 0.520)" in titles
    assert "instructvideo, half: 0.520 (0.500 to 0.540)" in titles
    assert len(shown.of("path", "limit")) == 1
    assert len(shown.of("path", "band")) == 9


def test_a_line_goes_up_where_its_numbers_do(tmp_path: Path) -> None:
    line = Line(name="a", x=[0, 1, 4], y=[Estimate(value=v) for v in (1.0, 3.0, 2.0)])
    block = Panels(slug="p", title="p", panels=[Panel(title="p", lines=[line])])
    (path,) = page(only(block), tmp_path).of("path", "line")
    places = np.array(re.findall(r"[\d.]+", path.attributes["d"]), dtype=float).reshape(3, 2)
    assert places[:, 0].tolist() == [0, 250, 1000]
    assert places[0, 1] - places[2, 1] == pytest.approx(places[2, 1] - places[1, 1], abs=0.11)  # to one decimal
    assert places[1, 1] < places[0, 1]


@pytest.mark.parametrize(
    ("value", "colour", "words"),
    [
        (1.0, "h10", "1.00"),
        (-1.0, "h-10", "\N{MINUS SIGN}1.00"),
        (0.37, "h4", "0.37"),
        (-0.04, "h0", "\N{MINUS SIGN}0.04"),
        (None, "none", "\N{EN DASH}"),
        (math.nan, "none", "\N{EN DASH}"),
        (1.2, "h10", "1.20"),
    ],
)
def test_a_heat_has_the_number_and_a_colour_for_each_tenth(
    value: float | None, colour: str, words: str, tmp_path: Path
) -> None:
    shown = page(only(Heat(slug="h", title="h", names=["a"], values=[[value]])), tmp_path)
    (cell,) = [tag for tag in shown.of("td") if tag.classes]
    assert (cell.classes, cell.text) == ([colour], words)
    assert re.search(rf"\.{colour}\b", shown.of("style")[0].text)


def bare(kind: str) -> Iterator[Table | Forest | Panels | Heat]:
    columns = [Column(name="a", unit="text"), Column(name="b", best="high"), Column(name="c", unit="percent")]
    rows: dict[str, list[Any]] = {"none": [], "one": [["x", Estimate(value=1), None]], "nothing": [[None] * 3] * 2}
    yield Table(slug="a", title="a", columns=columns, rows=rows[kind])
    count = len(rows[kind])
    lost = Estimate(value=math.nan, low=0, high=1)
    estimates = [lost if kind == "nothing" else Estimate(value=1)] * count
    yield Forest.model_validate(
        {"slug": "b", "title": "b", "rows": [{"label": "x", "estimate": estimate} for estimate in estimates]}
    )
    line = Line(name="x", x=list(map(float, range(count))), y=estimates)
    yield Panels(slug="c", title="c", panels=[Panel(title="x", lines=[line])] * bool(count))
    yield Heat(slug="d", title="d", names=["x"] * count, values=[[None] * count] * count)


@pytest.mark.parametrize("kind", ["none", "one", "nothing"])
def test_little_or_nothing_makes_a_page_all_the_same(kind: str, tmp_path: Path) -> None:
    shown = page(only(*bare(kind)), tmp_path)
    assert len(shown.of("h3")) == 4
    assert not re.search(r"\bnan\b|\bNone\b|inf%", shown.of("main")[0].text + " ".join(paths(shown)))
    assert not [d for d in paths(shown) if not re.match(r"M-?\d", d)]


def paths(shown: Reader) -> list[str]:
    return [tag.attributes["d"] for tag in shown.of("path")]


# ---- films


def frames_of(uri: str) -> tuple[list[np.ndarray[Any, Any]], list[float]]:
    """Pictures and milliseconds."""
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/webp;base64,")))) as picture:
        found, durations = [], []
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            picture.load()
            found.append(np.asarray(picture.convert("RGB")))
            durations.append(picture.info.get("duration", 0))
        return found, durations


def test_a_small_film_plays_every_frame_pixel_by_pixel(shown: Reader, folder: Path) -> None:
    tag = shown.of("img", "moving")[1]
    found, durations = frames_of(tag.attributes["src"])
    assert np.array_equal(found, np.load(folder / "small-1.npy"))
    assert "small" in tag.classes
    assert sum(durations) == 1000  # 8 frames; an array has no clock and plays 8 a second


def test_a_large_film_plays_an_even_choice_of_frames_in_its_own_time(shown: Reader, folder: Path) -> None:
    tag = shown.of("img", "moving")[4]
    found, durations = frames_of(tag.attributes["src"])
    assert [picture.shape for picture in found] == [(144, 256, 3)] * 32
    assert "small" not in tag.classes
    assert sum(durations) == pytest.approx(5000, abs=16)  # each of the 32 is rounded to a millisecond
    film = (read_video(folder / "large-0.mp4") * 255).round().byte().permute(0, 2, 3, 1).numpy()
    frames = [
        np.asarray(Image.fromarray(frame).resize((256, 144), Image.Resampling.BOX), dtype=float) for frame in film
    ]
    nearest = [int(np.argmin([np.abs(picture - frame).mean() for frame in frames])) for picture in found]
    assert nearest == [round(place * 39 / 31) for place in range(32)]


def test_who_wants_no_motion_sees_the_first_frame(shown: Reader) -> None:
    sources, films = shown.of("source"), shown.of("img", "moving")
    assert len(sources) == len(films) == 6
    for source, film in zip(sources, films, strict=True):
        assert "prefers-reduced-motion: reduce" in source.attributes["media"]
        (still,), _ = frames_of(source.attributes["srcset"])
        # both are compressed with loss where the film is large
        assert np.abs(still.astype(float) - frames_of(film.attributes["src"])[0][0]).mean() < 3


def test_below_a_film_are_its_frames_its_curve_and_its_scores(result: Result, shown: Reader) -> None:
    thumbs = [tag for tag in shown.of("img") if "moving" not in tag.classes]
    numbers = [tag.attributes["alt"] for tag in thumbs[32:40]]
    playing = [round(place * 39 / 31) for place in range(32)]
    assert numbers == [f"frame {playing[round(place * 31 / 7)]}" for place in range(8)]
    assert len(thumbs) == 6 * 8
    film = shown.of("figure", "film")[5]
    assert "frame 5: " in film.text
    assert re.search(r"miniworld\s*0\.500\s*judge\s*3\.00", film.text)


def test_curves_of_one_row_share_their_axis(shown: Reader) -> None:
    lines = shown.of("path", "line")[9:]
    assert len(lines) == 6
    heights = [np.array(re.findall(r"[\d.]+ ([\d.]+)", tag.attributes["d"]), dtype=float).mean() for tag in lines]
    assert heights[:4] == sorted(heights[:4], reverse=True)  # each film scores higher than the one before it
    assert heights[0] - heights[3] > 50


def test_a_film_that_cannot_be_read_says_so_and_not_where_it_should_be(shown: Reader, folder: Path) -> None:
    (lost,) = shown.of("p", "problem")
    assert lost.text == "This film cannot be shown: 'gone.mp4' does not exist"
    assert str(folder) not in shown.html


# ---- files


def test_everything_is_written_beside_the_result(tmp_path: Path) -> None:
    write_outputs(only(leaderboard(), heat()), tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    tables = {f"tables/leaderboard.{suffix}" for suffix in ("md", "csv", "tex")}
    figures = {f"figures/agreement.{suffix}" for suffix in ("png", "svg")}
    assert found == {"report.html", *tables, *figures}


@pytest.mark.parametrize("slug", ["../up", "a/b", "", ".hidden", "A", "nul\0"])
def test_a_slug_that_leads_elsewhere_is_refused(slug: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a block's slug names its files"):
        write_outputs(only(heat().model_copy(update={"slug": slug})), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_blocks_of_one_slug_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="agreement came twice"):
        write_outputs(only(heat(), heat()), tmp_path)


def test_a_saved_result_makes_the_same_page(result: Result, shown: Reader, folder: Path, tmp_path: Path) -> None:
    result.save(tmp_path)
    assert page(Result.read(tmp_path), folder).html == shown.html


def test_a_page_needs_the_name_of_a_page(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give a name that ends in"):
        write_page(only(), tmp_path, tmp_path / "page.txt")


def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_page(only(), tmp_path, tmp_path / "file" / "page.html")
