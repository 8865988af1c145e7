"""Files and their names: whole or not at all when written, natural order when listed. Cells of tables for people."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from rewardkit.errors import OutputError

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the last four: the first four in full width


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside `path` to write to; it takes the place of `path` once the block ends without an error.

    Raises:
        OutputError: the draft cannot be written, or cannot take its place.
    """
    path = path.resolve()  # where a link leads
    draft = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")  # keeps the suffix, by which writers choose a format
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        draft.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def no_formula(text: str) -> str:
    """`text` as a cell that no spreadsheet runs: one that begins like a formula gets an apostrophe before it.

    Formulas begin with `=`, `+`, `-`, `@` (of either width), a tab or a line end. A text in which apostrophes lead up
    to such a sign gets one more, so that the original can be told: from a cell that begins with apostrophes and then
    such a sign, take one away. This is for tables that people open. Numbers stay as they are, and so do manifests,
    which programs read.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def natural_order(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key under which `2.png` comes before `10.png`, whatever the case of letters."""
    parts = re.findall(r"\d+|\D+", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name
