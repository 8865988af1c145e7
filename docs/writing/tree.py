"""The page that says in which room a line belongs, read off the first line of every file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from writing.tables import NOTE, ROOT, as_table, plain

HEAD = f"""{NOTE}

# Every file

What each file is, in its own first line. Imports point one way: cli, bench and doctor, scoring and engine, reducers and
miniworld, rewards, all others; a test holds it. What may be touched is told in
CONTRIBUTING.md.
"""
PACKAGES = (ROOT / "rewardkit", ROOT / "adapters" / "rewardkit_adapters")


def tree_page() -> str:
    """A table for each folder of the two packages."""
    return "\n".join([HEAD, *(_folder(folder) for package in PACKAGES for folder in _folders(package))])


def _folders(package: Path) -> Iterator[Path]:
    return iter(sorted({file.parent for file in package.rglob("*.py")}))


def _folder(folder: Path) -> str:
    base = ROOT / "adapters" if "rewardkit_adapters" in folder.parts else ROOT
    rows = [
        (f"`{file.name}`", plain(_first_line(file))) for file in sorted(folder.glob("*.py")) if file.stem != "__init__"
    ]
    about = _first_line(folder / "__init__.py")
    table = as_table(("File", "What it is"), rows) if rows else ""
    return f"## {folder.relative_to(base).as_posix()}/\n\n{plain(about)}\n\n{table}"


def _first_line(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]
