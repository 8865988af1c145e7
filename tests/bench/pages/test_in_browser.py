"""Pages full of hostile text, opened in a browser: nothing runs, nothing is fetched, and all of it is read as text.

What runs leaves `data-ran` on the page's root; what is fetched asks a proxy of the test's own. Each page is opened as
it is, and again without its policy, which would stop what escaping had let through.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import jinja2
import pytest
import torch

from rewardkit.bench.films.before_after import BeforeAfter, Pair
from rewardkit.bench.films.filming import ALL
from rewardkit.bench.pages.benchmark_page import write_page
from rewardkit.bench.pages.report import write_report
from rewardkit.bench.pages.training_report import write_training_report
from rewardkit.bench.result import FilmRow, Films, Result, Section, ShownFilm
from rewardkit.engine.finetune import StepReport
from rewardkit.engine.guards import Look
from rewardkit.engine.run_folder import LOG, LOOKS, SETTINGS
from rewardkit.engine.settings import FinetuneConfig
from rewardkit.scoring.change import measure_change
from rewardkit.scoring.rows import PartScore, ScoreHeader, ScoreRow
from tests.bench.pages.sample import forest, heat, leaderboard, panels
from tests.bench.pages.test_benchmark_page import filled
from tests.scoring.films import save_film

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not installed here"),
]

RUN = "document.documentElement.dataset.ran=1"
OUTSIDE = "http://outside.example"
SCRIPTS = [
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</style></textarea></svg><script>{RUN}</script>",
    f'"><img src=x onerror={RUN}>',
    f"'><svg onload={RUN}>",
    f"--><details open ontoggle={RUN}>",
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
]
FETCHES = [
    f"<img src={OUTSIDE}/picture>",
    f"<link rel=stylesheet href={OUTSIDE}/style>",
    f"<style>@import '{OUTSIDE}/import';</style>",
    f"<iframe src={OUTSIDE}/frame></iframe>",
    f"<script src={OUTSIDE}/script></script>",
]
OTHERS = [
    f"<base href={OUTSIDE}/>",
    f"<meta http-equiv=refresh content='0;url={OUTSIDE}/away'>",
    f"javascript:{RUN}",
    f"<a href='javascript:{RUN}'>click</a>",
    f'" onfocus={RUN} autofocus x="',
    f"' style=position:fixed onmouseover={RUN} x='",
    f"`${{{RUN}}}` {{{{ 7*7 }}}} {{% raw %}}",
    "]]>&amp;&lt;script&gt;&#60;b&#62;",
    "\u201cevery\u201d \u2018kind\u2019 of \"quotes\" 'there' `is`",
    "clips/a#b?c=d%20e&f.mp4",
    "one\u2028two\u2029three\x85four",
    "photo\u202egpj.exe",
    "nul \0 byte",
    "half \ud800 character \udcff",
    "x" * 10_000,
]
HOSTILE = [*SCRIPTS, *FETCHES, *OTHERS]
WHOLE = [text for text in HOSTILE if not re.search("[\ud800-\udfff]", text)]
"""Those that a file can hold as UTF-8."""

Build = Callable[[Path, Sequence[str]], Path]


def shown(text: str) -> str:
    """As a page can hold it: half characters and NUL become the replacement character."""
    return (
        text.encode("utf-16-le", "surrogatepass")
        .decode("utf-16-le", "replace")
        .replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


# ---- the pages


def score_report(folder: Path, texts: Sequence[str]) -> Path:
    """Every text is a prompt, a path, a part of a reward, an error and whatever a header says."""
    part = PartScore(score=1, per_frame=[1], frame_index=[0], weights=[1])
    reward, rows = " + ".join(text[:100] for text in texts), []
    for number, text in enumerate(texts):
        film = re.sub("[/\0\ud800]", "|", f"{number} {text[:100]}.npy")
        save_film(folder / film, 0.5, frames=1, height=40, width=48)
        row = ScoreRow(
            key="k", path=text, prompt=text, prompt_source="manifest", reward=reward, status="ok", score=number
        )
        rows += [
            row.model_copy(update={"path": film, "per_frame": [1.0], "frame_index": [0], "weights": [1.0]}),
            row.model_copy(update={"frame_index": [0], "parts": {text: part, "other": part}}),
            row.model_copy(update={"score": None, "status": "error", "error": text}),
        ]
    facts = dict.fromkeys(texts, reward)
    named = dict.fromkeys(["reward", "fingerprint", "device", "dtype", "platform", "created"], reward)
    header = ScoreHeader(**named, cwd=str(folder), configuration=facts, versions=facts, weights_sha256=facts)
    write_report(rows, header, folder / "page.html")
    return folder / "page.html"


def benchmark_page(folder: Path, texts: Sequence[str]) -> Path:
    """Every text is in every place of every kind of block."""
    sections = []
    for text in texts:
        lost = [
            FilmRow(title="t", note="n", films=[ShownFilm(label="l", path=text, scores={"s": 1.0}, curve=[(0, 1.0)])])
        ]
        blocks = [
            leaderboard(),
            forest(),
            panels(),
            heat(),
            Films(slug="f", title="f", note="n", curve_of="c", rows=lost),
        ]
        raw = Section(title="s", note="n", blocks=blocks).model_dump(mode="json")
        sections.append(Section.model_validate(filled(raw, text)))
    result = Result(
        kind="methods", title=" ".join(texts), headline=list(texts), warnings=list(texts), sections=sections,
        made={**dict.fromkeys(texts, "known"), "all": list(texts), "one": texts[0]},
    )  # fmt: skip
    write_page(result, folder, folder / "page.html")
    return folder / "page.html"


def training_report(folder: Path, texts: Sequence[str]) -> Path:
    """Every text is a prompt, a split, a reward and a measure."""
    names = [text for text in texts if text in WHOLE]
    settings = {**FinetuneConfig().model_dump(mode="json"), "more": list(texts)}
    facts = {
        "backbone": " ".join(texts),
        "reward": names[0],
        "examples": [[t, ""] for t in texts],
        "settings": settings,
    }
    (folder / SETTINGS).write_text(json.dumps(facts))
    steps = [
        StepReport(step=n, facts=dict.fromkeys(names, 0.1 * n), gradient_norm=1, learning_rate=1, seconds=2)
        for n in (1, 2)
    ]
    (folder / LOG).write_text("".join(step.model_dump_json() + "\n" for step in steps), "utf-8")
    looks = [
        Look(step=n, reward=n, held_out=dict.fromkeys(names[1:], 1.0 - n), error=dict.fromkeys(names, 0.01), motion=0.1,
             diversity=0.2, saturated=0, lora_norm=n)
        for n in (0, 1, 2)
    ]  # fmt: skip
    (folder / LOOKS).write_text("".join(look.model_dump_json() + "\n" for look in looks), "utf-8")
    film = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    pairs = [Pair(text, text, 0, film, film, {"x": 0.0}, {"x": 0.1}) for text in texts]
    change = measure_change("x", [(pair.before, pair.after) for pair in pairs], lambda numbers: numbers["x"])
    measured = BeforeAfter(pairs, {split: dict.fromkeys(texts, change) for split in (ALL, *texts)})
    write_training_report(folder, folder / "page.html", measured, " ".join(texts))
    return folder / "page.html"


# ---- the browser


class Tag(NamedTuple):
    name: str
    attributes: dict[str, str]


class Dom(HTMLParser):
    """What the browser made of a page, as it wrote it out: tags, and texts of the body."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[Tag] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def ran(self) -> bool:
        return any("data-ran" in tag.attributes for tag in self.tags)


class Proxy(ThreadingHTTPServer):
    """Asked for whatever the browser wants from another host; remembers it and gives nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Refusal)


class Refusal(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(404)

    do_CONNECT = do_POST = do_GET  # noqa: N815 - names that http.server looks for

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def browse(page: Path, proxy: Proxy, policy: bool = True) -> Dom:
    """Opens the page, waits until it has settled and gives what it has become."""
    if not policy:
        html, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text("utf-8"), count=1)
        assert count == 1
        page.write_text(html, "utf-8")
    assert CHROMIUM is not None
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=2000"]
    words += [
        f"--user-data-dir={page.parent / 'profile'}",
        f"--proxy-server=127.0.0.1:{proxy.server_port}",
        page.as_uri(),
    ]
    run = subprocess.run(words, capture_output=True, check=True, timeout=120)
    return Dom(run.stdout.decode("utf-8"))


def fetched(proxy: Proxy) -> list[str]:
    """Leaves out what the browser asks of its maker."""
    return [address for address in proxy.asked if "outside.example" in address]


PAGES = pytest.mark.parametrize(
    "build", [score_report, benchmark_page, training_report], ids=lambda build: build.__name__
)


@PAGES
@pytest.mark.parametrize("policy", [True, False], ids=["policy", "escaping alone"])
def test_hostile_text_is_read_and_does_nothing(build: Build, policy: bool, tmp_path: Path, proxy: Proxy) -> None:
    dom = browse(build(tmp_path, HOSTILE), proxy, policy)
    assert not dom.ran
    assert not fetched(proxy)
    names = [tag.name for tag in dom.tags]
    assert (names.count("script"), names.count("style")) == (1, 1)
    assert not {"iframe", "base", "link", "object", "embed", "form"} & set(names)
    for tag in dom.tags:
        assert not [name for name in tag.attributes if name == "style" or name.startswith("on") or name == "autofocus"]
        for name in ("src", "srcset", "href", "action", "formaction", "xlink:href", "data", "poster", "background"):
            assert re.match(r"data:image/|#section-\d+$", tag.attributes.get(name, "data:image/")), tag
    for text in WHOLE if build is training_report else HOSTILE:
        assert shown(text) in dom.text


def test_sorting_and_filtering_hostile_rows_does_nothing(tmp_path: Path, proxy: Proxy) -> None:
    """Rows are moved and searched by the report's own script, which might take a text for markup."""
    page = score_report(tmp_path, HOSTILE)
    hand = """for (const head of document.querySelectorAll("th button")) { head.click(); head.click(); }
        const filter = document.getElementById("filter");
        for (const word of ["<script>", ""]) { filter.value = word; filter.dispatchEvent(new Event("input")); }"""
    page.write_text(
        page.read_text("utf-8").replace("</body>", f'<script type="module">{hand}</script></body>'), "utf-8"
    )
    dom = browse(page, proxy, policy=False)
    sorted_by = [tag.attributes["aria-sort"] for tag in dom.tags if "aria-sort" in tag.attributes]
    assert sorted_by == ["ascending"]  # by the last head, clicked twice: once would be descending
    assert not dom.ran
    assert not fetched(proxy)
    assert not [text for text in HOSTILE if shown(text) not in dom.text]


# ---- that this could fail


@pytest.fixture
def _unescaped(monkeypatch: pytest.MonkeyPatch) -> None:
    escaping = jinja2.Environment
    monkeypatch.setattr(jinja2, "Environment", lambda **options: escaping(**(options | {"autoescape": False})))


@PAGES
@pytest.mark.usefixtures("_unescaped")
def test_without_escaping_and_policy_hostile_text_runs(build: Build, tmp_path: Path, proxy: Proxy) -> None:
    assert browse(build(tmp_path, [*SCRIPTS, *FETCHES]), proxy, policy=False).ran
    assert {address.removeprefix(OUTSIDE) for address in fetched(proxy)} == {
        "/picture",
        "/style",
        "/import",
        "/frame",
        "/script",
    }


@pytest.mark.parametrize("text", SCRIPTS)
@pytest.mark.usefixtures("_unescaped")
def test_every_script_would_run(text: str, tmp_path: Path, proxy: Proxy) -> None:
    assert browse(score_report(tmp_path, [text]), proxy, policy=False).ran


@PAGES
@pytest.mark.usefixtures("_unescaped")
def test_the_policy_stops_what_escaping_would_let_through(build: Build, tmp_path: Path, proxy: Proxy) -> None:
    assert not browse(build(tmp_path, [*SCRIPTS, *FETCHES]), proxy).ran
    assert not fetched(proxy)
