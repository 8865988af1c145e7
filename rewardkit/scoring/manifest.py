"""Manifests: files that say which video belongs to which prompt."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rewardkit import storage
from rewardkit.errors import UsageError

MANIFEST_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".json"})
PATH_COLUMNS = ("path", "video", "video_path", "file", "file_name", "filename")
OF_ROWS = {"key", "prompt_source"}
"""Columns by which a table of ours is known."""

PROMPT_COLUMNS = ("prompt", "caption", "text")


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One line of a manifest: a video's path as written there, and its prompt ('' where the field is empty)."""

    path: str
    prompt: str

    def located(self, manifest: str | Path, allow_outside: bool = False) -> str:
        """Where the video is, for a path in a manifest starts from the manifest's folder.

        Raises:
            UsageError: out of that folder, by `..`, a link or a path that starts elsewhere, which is not allowed.
        """
        if not allow_outside and storage.leads_out(str(manifest), self.path):
            raise UsageError(
                f"{manifest}: {self.path!r} leads out of the manifest's folder: move the manifest there, or give "
                "--allow-outside (allow_outside=True) if you trust it"
            )
        return storage.beside(str(manifest), self.path)


def read_manifest(manifest: str | Path) -> list[ManifestEntry]:
    """The entries of a manifest, in order; a line that stands twice counts once.

    CSV and TSV have a header line, JSONL one object a line, JSON a list of objects or one object of path: prompt.
    The path is in a column `path`, `video`, `video_path`, `file`, `file_name` or `filename`, the prompt in `prompt`,
    `caption` or `text`.

    Raises:
        UsageError: missing or unreadable file, a table of scores as CSV, missing columns, or two prompts for one video.
    """
    try:
        text = storage.read_bytes(str(manifest)).decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"no such prompts file: {manifest}; for one prompt for all videos use --prompt TEXT") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the manifest {manifest}: {error}") from None
    entries: dict[str, str] = {}
    for place, record in _records(manifest, text):
        entry = _entry(f"{manifest}, {place}", record)
        if entries.setdefault(entry.path, entry.prompt) != entry.prompt:
            raise UsageError(f"{manifest}, {place}: a second prompt for {entry.path}: {entry.prompt!r}")
    return [ManifestEntry(path, prompt) for path, prompt in entries.items()]


def _records(manifest: str | Path, text: str) -> Iterator[tuple[str, object]]:
    """Where each record stands, and the record."""
    suffix = Path(manifest).suffix.lower()
    if suffix in (".csv", ".tsv"):
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="," if suffix == ".csv" else "\t", strict=True)
        try:
            if set(reader.fieldnames or ()) >= OF_ROWS:
                raise UsageError(
                    f"{manifest} is a table of scores, in which texts may have got an apostrophe: "
                    f"give the rows that it was made of, {manifest}.jsonl"
                )
            for record in reader:
                yield f"line {reader.line_num}", record
        except csv.Error as error:
            raise UsageError(f"{manifest}, line {reader.line_num}: {error}") from None
    elif suffix == ".jsonl":
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield f"line {number}", _json(f"{manifest}, line {number}", line)
    elif suffix == ".json":
        whole = _json(str(manifest), text)
        if isinstance(whole, dict):
            whole = [{"path": path, "prompt": prompt} for path, prompt in whole.items()]
        if not isinstance(whole, list):
            raise UsageError(f"{manifest}: expected a list of objects or an object of path: prompt")
        yield from ((f"entry {number}", record) for number, record in enumerate(whole, start=1))
    else:
        raise UsageError(f"cannot read prompts from {manifest}: expected {', '.join(sorted(MANIFEST_SUFFIXES))}")


def _json(place: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: not JSON: {error}") from None


def _entry(place: str, record: object) -> ManifestEntry:
    if not isinstance(record, dict):
        raise UsageError(f"{place}: expected an object with a path and a prompt, got {type(record).__name__}")
    path = next((record[name] for name in PATH_COLUMNS if record.get(name)), None)
    if not isinstance(path, str):
        raise UsageError(f"{place}: no path: expected a column {' or '.join(PATH_COLUMNS)}, got {_columns(record)}")
    if not _can_be_a_name(path):
        raise UsageError(f"{place}: the path {path!r} holds characters that no name of a file can hold")
    column = next((name for name in PROMPT_COLUMNS if name in record), None)
    if column is None:
        raise UsageError(f"{place}: no prompt: expected a column {' or '.join(PROMPT_COLUMNS)}, got {_columns(record)}")
    prompt = record[column]
    if not isinstance(prompt, str | None):
        raise UsageError(f"{place}: the prompt must be text, got {type(prompt).__name__}")
    return ManifestEntry(path, prompt or "")


def _can_be_a_name(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:  # half a character, as JSON can write it
        return False


def _columns(record: dict[object, object]) -> str:
    return ", ".join(str(name) for name in record) or "nothing"
