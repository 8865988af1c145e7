"""Which videos were asked for: files, folders, globs, manifests, or a list on standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rewardkit.errors import NothingToDoError, UsageError
from rewardkit.files import natural_order
from rewardkit.scoring.manifest import MANIFEST_SUFFIXES, read_manifest
from rewardkit.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_animated_webp


@dataclass(frozen=True)
class FoundVideo:
    """One video that was asked for.

    Attributes:
        path: as typed, or the folder as typed plus the rest.
        name: position below the folder that was asked for, with forward slashes; the same on every machine.
        prompt: from the manifest that named the video; None where no manifest did.
    """

    path: str
    name: str
    prompt: str | None = None


def find_videos(sources: Sequence[str | Path]) -> list[FoundVideo]:
    """Every video that `sources` name, in natural order (`2.mp4` before `10.mp4`), each once.

    A source is a file, a folder (searched with its subfolders; a folder of pictures is one video), a glob, a manifest
    (.csv, .tsv, .jsonl, .json), or `-` for paths on standard input, one a line or separated by NUL bytes.

    Raises:
        UsageError: a source does not exist.
        NothingToDoError: there is no video in any of them.
    """
    found: dict[str, FoundVideo] = {}
    for source in sources:
        for video in _from_source(str(source)):
            known = found.setdefault(os.path.abspath(video.path), video)
            if known.prompt is None:
                found[os.path.abspath(video.path)] = replace(known, prompt=video.prompt)
            elif video.prompt not in (None, known.prompt):
                raise UsageError(f"{video.path} is asked for with two prompts: {known.prompt!r} and {video.prompt!r}")
    if not found:
        looked = ", ".join(map(str, sources))
        raise NothingToDoError(
            f"no videos in {looked}: looked for {' '.join(sorted(VIDEO_SUFFIXES))} and folders of pictures"
        )
    return list(found.values())


def _from_source(source: str) -> Iterable[FoundVideo]:
    if source == "-":
        return _from_list(sys.stdin.buffer.read())
    if os.path.isdir(source):
        return _from_folder(source)
    if os.path.lexists(source):
        if Path(source).suffix.lower() in MANIFEST_SUFFIXES:
            return _from_manifest(Path(source))
        return [FoundVideo(source, Path(source).name)]
    matches = sorted(glob.glob(source, recursive=True), key=natural_order)
    if not matches:
        raise UsageError(f"no such file or folder: {source}")
    films = [match for match in matches if os.path.isdir(match) or _is_film(Path(match))]
    return [video for match in films for video in _from_source(match)]


def _from_list(listed: bytes) -> list[FoundVideo]:
    separator = b"\0" if b"\0" in listed else b"\n"
    paths = [os.fsdecode(line.rstrip(b"\r")) for line in listed.split(separator)]
    return [FoundVideo(path, Path(path).name) for path in paths if path]


def _from_manifest(manifest: Path) -> list[FoundVideo]:
    return [
        FoundVideo(os.path.join(manifest.parent, entry.path), Path(entry.path).as_posix(), entry.prompt)
        for entry in read_manifest(manifest)
    ]


def _from_folder(folder: str) -> list[FoundVideo]:
    paths: list[str] = []
    pictured: list[str] = []
    unlisted: list[OSError] = []
    visited: set[str] = set()
    for parent, folders, files in os.walk(folder, onerror=unlisted.append, followlinks=True):
        if os.path.realpath(parent) in visited:  # a link that leads back
            folders.clear()
            continue
        visited.add(os.path.realpath(parent))
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = [Path(parent, name) for name in files if not name.startswith(".")]
        films = [str(file) for file in visible if _is_film(file)]
        paths += films
        if not films and any(file.suffix.lower() in IMAGE_SUFFIXES for file in visible):
            pictured.append(parent)  # pictures and no film: the folder itself is the video, unless films lie below
    above = {str(place) for path in paths for place in Path(path).parents}
    paths += [place for place in pictured if str(Path(place)) not in above]
    paths += [str(error.filename) for error in unlisted]  # their rows will say that they cannot be read
    paths.sort(key=natural_order)
    return [FoundVideo(path, _below(path, folder)) for path in paths]


def _is_film(file: Path) -> bool:
    suffix = file.suffix.lower()
    return suffix in VIDEO_SUFFIXES and (suffix != ".webp" or is_animated_webp(file))


def _below(path: str, folder: str) -> str:
    inside = os.path.relpath(path, folder)
    return Path(path).name if inside == "." else Path(inside).as_posix()
