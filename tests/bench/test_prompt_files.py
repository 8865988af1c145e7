"""Prompts and clips from files that people have."""

from pathlib import Path

import pytest

from rewardkit import UsageError
from rewardkit.bench.films.prompt_files import read_examples, read_prompts


def test_clips_of_a_manifest_lie_beside_it_and_not_elsewhere_unless_allowed(tmp_path: Path) -> None:
    manifest = tmp_path / "lists" / "m.csv"
    manifest.parent.mkdir()
    manifest.write_text("path,prompt\na.mp4,a cat\n")
    (example,) = read_examples(manifest)
    assert (example.prompt, example.video) == ("a cat", tmp_path / "lists" / "a.mp4")
    manifest.write_text("path,prompt\n../a.mp4,a cat\n")
    with pytest.raises(UsageError, match="leads out of the manifest's folder"):
        read_examples(manifest)
    (example,) = read_examples(manifest, allow_outside=True)
    assert example.prompt == "a cat"


def test_a_prompt_ends_where_its_line_does(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes("a cat\u2028and a dog\r\n\n a bird \n".encode())
    assert read_prompts(tmp_path / "p.txt") == ["a cat\u2028and a dog", "a bird"]
