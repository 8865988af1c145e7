"""What the documentation says is done here: its blocks are run, its links followed, its lists compared with the code.

CONTRIBUTING.md tells how blocks are marked: `python` and `bash` run, `console` and `text` are only shown, and a block
with a title is written to the file of that name.
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

import rewardkit
from rewardkit import errors
from rewardkit.cli import main
from rewardkit.miniworld.clips import write_clips
from rewardkit.miniworld.renderer import draw
from rewardkit.miniworld.truth import Truth
from rewardkit.reducers import aggregation
from rewardkit.reducers.aggregation import AGGREGATIONS
from rewardkit.reducers.attenuation import WEIGHTS
from rewardkit.reducers.normalisation import SCALES
from rewardkit.reducers.sampling import SAMPLERS
from rewardkit.scoring.config import ScoreConfig
from rewardkit.scoring.rows import PartScore, ScoreHeader, ScoreRow
from rewardkit.spec import Part, parse_part
from rewardkit.video import write_video

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
OTHERS = [
    CONTRIBUTING,
    *(ROOT / name for name in ("CHANGELOG.md", "RELEASING.md", "adapters/README.md", "benchmarks/README.md")),
]
FENCE = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL_SIGNS = re.compile(r"[|<>&;$`*?]")
QUOTED = re.compile(r"'[^']*'|\"[^\"$`]*\"")


class Block(NamedTuple):
    language: str
    title: str | None
    body: str


def blocks_of(page: Path) -> list[Block]:
    found = []
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        title = re.search(r'title="([^"]+)"', match["info"])
        found.append(Block(match["info"].partition(" ")[0], title[1] if title else None, match["body"]))
    return found


def run_blocks(blocks: list[Block]) -> None:
    """Runs the blocks of one page in order, in the folder that is current."""
    names: dict[str, object] = {"__name__": "docs_page"}
    for position, block in enumerate(blocks):
        if block.title:
            Path(block.title).write_text(block.body, encoding="utf-8")
            later = "".join(other.body for other in blocks[position + 1 :])
            assert block.title in later, f"no later block uses {block.title}"
        elif block.language == "python":
            exec(compile(block.body, "docs_page", "exec"), names)
        elif block.language == "bash":
            for command in re.sub(r"\\\n\s*", "", block.body).splitlines():
                run_command(command)


def run_command(command: str) -> None:
    """Runs one line. It must exit with 0, or with N where it ends in `# exit N`."""
    line, _, comment = command.partition(" # ")
    if not line.strip() or line.startswith("#"):
        return
    if line.startswith("rewardkit ") and not SHELL_SIGNS.search(QUOTED.sub("", line)):
        code = run_here(shlex.split(line))
    else:
        places = [str(Path(sys.executable).parent), os.environ["PATH"]]
        environment = {**os.environ, "PATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}
        code = subprocess.run(["bash", "-euo", "pipefail", "-c", line], env=environment, check=False).returncode
    expected = int(comment.removeprefix("exit ")) if comment.startswith("exit ") else 0
    assert code == expected, f"{line.strip()!r} exits {code}, not {expected}"


def run_here(words: list[str]) -> object:
    """Runs the command line in this process, because starting another takes seconds; gives its exit code."""
    sys.argv = words
    try:
        main()
    except SystemExit as stopped:
        return stopped.code or 0
    return 0


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Pictures this small gain nothing from a second thread, and wait for it where processors are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pages find in their folder: clips/ with prompts.csv in and beside it, base/ and tuned/ with equal names."""
    folder = tmp_path_factory.mktemp("samples")
    shutil.copy(write_clips(folder / "clips", films=1), folder / "prompts.csv")
    for name in ("base", "tuned"):
        (folder / name).mkdir()
        for number, colour in enumerate(("red", "orange", "green", "blue", "purple", "pink")):
            truth = Truth(colour, "star", "left", quality="good" if name == "tuned" else "blurred")  # type: ignore[arg-type]
            write_video(folder / name / f"a_{colour}_star-{number}.mp4", draw(truth, 8, 64, seed=number), fps=8)
    return folder


@pytest.fixture
def folder(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the samples, as the current folder."""
    shutil.copytree(samples, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])
    return tmp_path


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    "page", [p for p in PAGES if {b.language for b in blocks_of(p)} & {"python", "bash"}], ids=named
)
def test_blocks_run(page: Path, folder: Path) -> None:
    run_blocks(blocks_of(page))


@pytest.mark.parametrize(
    "block",
    [
        Block("python", None, "import rewardkit\nrewardkit.Segmets"),
        Block("bash", None, "rewardkit info tecnical"),
        Block("bash", None, "rewardkit info technical # exit 2"),
        Block("bash", None, "false | true"),
        Block("python", "unused.py", "x = 1\n"),
    ],
    ids=lambda block: block.body,
)
def test_a_block_that_does_not_hold_is_noticed(block: Block, folder: Path) -> None:
    with pytest.raises((AssertionError, AttributeError)):
        run_blocks([block])


def test_the_first_change_in_contributing_works() -> None:
    names = dict(vars(aggregation))
    for block in blocks_of(CONTRIBUTING):
        if block.language == "python":
            exec(compile(block.body, "CONTRIBUTING.md", "exec"), names)
    tests = [thing for name, thing in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()  # type: ignore[operator]


def slug(heading: str) -> str:
    """The anchor of a heading, as Python-Markdown and GitHub make it of plain words."""
    plain = unicodedata.normalize("NFKD", heading.replace("`", "")).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def broken_links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        if not linked.exists():
            yield f"{target}: no such file"
        elif anchor and anchor not in map(slug, re.findall(r"^#+ (.+)$", prose(linked), re.MULTILINE)):
            yield f"{target}: no such heading"


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=named)
def test_links_resolve(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_broken_links_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two`, three\n[a](#one-two-three) [b](#four) [c](gone.md) [d](https://e.org) `[e](f)`\n")
    assert list(broken_links(page)) == ["#four: no such heading", "gone.md: no such file"]


def tree_paths(tree: str) -> set[str]:
    """The paths that a printed tree names: indentation nests, names end at two spaces or a `#`."""
    paths: set[str] = set()
    parents: list[tuple[int, str]] = []
    for line in tree.splitlines():
        bare = re.sub(r"[│├└─]", " ", line)
        names = re.split(r"\s{2,}|\s#", bare.strip())[0].split()
        depth = len(bare) - len(bare.lstrip())
        while parents and parents[-1][0] >= depth:
            parents.pop()
        above = parents[-1][1] if parents else ""
        paths |= {above + name for name in names}
        if len(names) == 1 and names[0].endswith("/"):
            parents.append((depth, above + names[0]))
    return paths


def test_the_tree_in_the_readme_is_the_tree() -> None:
    trees = [block.body for block in blocks_of(README) if block.body.startswith("rewardkit/")]
    assert len(trees) == 1, "README.md prints the tree in one block that begins with rewardkit/"
    printed = tree_paths(trees[0])
    assert [path for path in printed if not (ROOT / path).exists()] == []
    first_level = {
        f"rewardkit/{path.name}{'/' if path.is_dir() else ''}"
        for path in (ROOT / "rewardkit").iterdir()
        if not path.name.startswith("_") and (path.is_dir() or path.suffix == ".py")
    }
    assert first_level - printed == set()


def test_a_printed_tree_is_read_as_it_nests() -> None:
    tree = "a/\n  b.py c.py   two files\n  d/          # folder\n  │   └── e.py\nf/  other\n"
    assert tree_paths(tree) == {"a/", "a/b.py", "a/c.py", "a/d/", "a/d/e.py", "f/"}


PAGES_WRITTEN = runpy.run_path(str(DOCS / "write_reference.py"))["PAGES"]


@pytest.mark.parametrize("page", PAGES_WRITTEN, ids=named)
def test_what_is_written_from_code_and_results_is_up_to_date(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == PAGES_WRITTEN[page](), "run `python docs/write_reference.py`"


def test_every_reward_and_backbone_has_its_page_and_no_other_is_left() -> None:
    for kind in ("rewards", "backbones"):
        written = {page for page in PAGES_WRITTEN if page.parent == DOCS / "reference" / kind}
        assert set((DOCS / "reference" / kind).iterdir()) == written
        assert len(written) > 5


def first_cells(page: Path, heading: str) -> list[str]:
    """What stands in backticks at the head of each table row below a heading."""
    section = re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (below,) = [text for text in section if text.startswith(f"{heading}\n")]
    return [cell for row in re.findall(r"^\| ([^|]+)\|", below, re.MULTILINE) for cell in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize(("heading", "model"), [("Row", ScoreRow), ("Parts", PartScore), ("Header", ScoreHeader)])
def test_every_field_of_row_and_header_is_described(heading: str, model: type) -> None:
    assert first_cells(DOCS / "reference/row.md", heading) == list(model.model_fields)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("heading", "known"),
    [("Samplers", SAMPLERS), ("Weights", WEIGHTS), ("Aggregations", AGGREGATIONS), ("Normalisation", SCALES)],
)
def test_every_part_is_described_by_a_spec_that_reads(heading: str, known: dict[str, type]) -> None:
    specs = first_cells(DOCS / "how-to/choose-frames.md", heading)
    assert {parse_part(Part, spec, known).name for spec in specs} == set(known)


def test_every_error_is_listed_with_its_exit_code() -> None:
    listed = dict(
        re.findall(r"^\| `(\w+Error)` \| (\d) \|", prose(DOCS / "reference/errors-and-exit-codes.md"), re.MULTILINE)
    )
    own = [
        thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, errors.RewardkitError)
    ]
    assert listed == {kind.__name__: str(kind.exit_code) for kind in own}


def test_every_public_name_is_in_the_reference() -> None:
    described = re.findall(r"^::: rewardkit\.(?:\w+\.)*(\w+)$", (DOCS / "reference/api.md").read_text(), re.MULTILINE)
    assert sorted(described) == sorted([*rewardkit.__all__, "conformance"])


def test_every_setting_of_a_configuration_file_is_named() -> None:
    words = set(re.findall(r"`(\w+)`", prose(DOCS / "tutorials/score-a-folder.md")))
    assert set(ScoreConfig.model_fields) <= words
