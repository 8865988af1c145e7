"""Prompts for generators, from files that people have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rewardkit.errors import UsageError

if TYPE_CHECKING:
    from rewardkit.engine.examples import Example


def read_examples(path: Path, allow_outside: bool = False) -> list[Example]:
    """Prompts of a .txt file, one a line, or pairs of video and prompt of a manifest, whose paths are beside it.

    Args:
        path: of the file.
        allow_outside: whether a manifest may name videos that are not in its own folder or below, also by links.

    Raises:
        UsageError: a missing or unreadable file, or a manifest that leads out of its folder.
    """
    from rewardkit.engine.examples import Example
    from rewardkit.scoring.manifest import read_manifest

    if path.suffix.lower() != ".txt":
        return [Example(entry.prompt, Path(entry.located(path, allow_outside))) for entry in read_manifest(path)]
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # splitlines would also cut prompts at U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read prompts from {path}: {error}") from None
    return [Example(line.strip()) for line in lines if line.strip()]


def read_prompts(path: Path) -> list[str]:
    """The prompts alone of a file as `read_examples` takes it; a manifest may name any videos, for none is opened."""
    return [example.prompt for example in read_examples(path, allow_outside=True)]
