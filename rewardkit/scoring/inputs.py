"""Which videos were asked for: files, folders, globs, manifests, or a list on standard input; here or in a store."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rewardkit import storage
from rewardkit.errors import NothingToDoError, UsageError
from rewardkit.files import natural_order
from rewardkit.scoring.manifest import MANIFEST_SUFFIXES, read_manifest
from rewardkit.storage import StoredFile
from rewardkit.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_animated_webp


@dataclass(frozen=True, slots=True)
class FoundVideo:
    """One video that was asked for.

    Attributes:
        path: as typed, or the folder as typed plus the rest; of a video in a store its whole address.
        name: position below the folder that was asked for, with forward slashes; the same on every machine.
        prompt: from the manifest that named the video; None where no manifest did.
        state: what tells its content from another, where a store's listing said it; empty where it has to be looked up.
        has_text: whether a file `{stem}.txt` is beside it; None where nobody has looked.
    """

    path: str
    name: str
    prompt: str | None = None
    state: tuple[int | str, ...] = ()
    has_text: bool | None = None


def find_videos(sources: Sequence[str | Path], allow_outside: bool = False) -> list[FoundVideo]:
    """Every video that `sources` name, in natural order (`2.mp4` before `10.mp4`), each once.

    A source is a file, a folder (searched with its subfolders; a folder of pictures is one video), a glob, a manifest
    (.csv, .tsv, .jsonl, .json), or `-` for paths on standard input, one a line or separated by NUL bytes. Files,
    folders, globs and manifests may lie in a store: `s3://bucket/videos/`.

    Args:
        sources: see above.
        allow_outside: whether manifests may name videos that are not in their own folder or below, also by links.

    Raises:
        UsageError: a source does not exist, or a manifest leads out of its folder.
        NothingToDoError: there is no video in any of them.
    """
    found: dict[str, FoundVideo] = {}
    for source in sources:
        for video in _from_source(str(source), allow_outside):
            place = storage.absolute(video.path)
            known = found.setdefault(place, video)
            if known.prompt is None:
                found[place] = replace(known, prompt=video.prompt)
            elif video.prompt not in (None, known.prompt):
                raise UsageError(f"{video.path} is asked for with two prompts: {known.prompt!r} and {video.prompt!r}")
    if not found:
        looked = ", ".join(map(str, sources))
        raise NothingToDoError(
            f"no videos in {looked}: looked for {' '.join(sorted(VIDEO_SUFFIXES))} and folders of pictures"
        )
    return list(found.values())


def _from_source(source: str, allow_outside: bool) -> Iterable[FoundVideo]:
    if source == "-":
        return _from_list(sys.stdin.buffer.read())
    manifest = Path(source).suffix.lower() in MANIFEST_SUFFIXES
    if storage.is_url(source):
        return _from_manifest(source, allow_outside) if manifest else _from_store(source)
    if os.path.isdir(source):
        return _from_folder(source)
    if os.path.lexists(source):
        return _from_manifest(source, allow_outside) if manifest else [FoundVideo(source, Path(source).name)]
    matches = sorted(glob.glob(source, recursive=True), key=natural_order)
    if not matches:
        raise UsageError(f"no such file or folder: {source}")
    films = [match for match in matches if os.path.isdir(match) or _is_film(match)]
    return [video for match in films for video in _from_source(match, allow_outside)]


def _from_list(listed: bytes) -> list[FoundVideo]:
    separator = b"\0" if b"\0" in listed else b"\n"
    paths = [os.fsdecode(line.rstrip(b"\r")) for line in listed.split(separator)]
    return [FoundVideo(path, Path(path).name) for path in paths if path]


def _from_manifest(manifest: str, allow_outside: bool) -> list[FoundVideo]:
    return [
        FoundVideo(entry.located(manifest, allow_outside), Path(entry.path).as_posix(), entry.prompt)
        for entry in read_manifest(manifest)
    ]


def _from_folder(folder: str) -> list[FoundVideo]:
    unlisted: list[OSError] = []
    paths = _films_of(_walk(folder, unlisted))
    paths += [str(error.filename) for error in unlisted]  # their rows will say that they cannot be read
    paths.sort(key=natural_order)
    return [FoundVideo(path, _below(path, folder)) for path in paths]


def _walk(folder: str, unlisted: list[OSError]) -> Iterator[list[str]]:
    """The visible files of each folder below."""
    visited: set[str] = set()
    for parent, folders, files in os.walk(folder, onerror=unlisted.append, followlinks=True):
        if os.path.realpath(parent) in visited:  # a link that leads back
            folders.clear()
            continue
        visited.add(os.path.realpath(parent))
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield [os.path.join(parent, name) for name in files if not name.startswith(".")]


def _from_store(source: str) -> list[FoundVideo]:
    pattern = any(sign in source for sign in "*?[")
    if pattern:
        listed = {file.url: file for file in storage.matching(source)}
        folder = source[: min(source.find(sign) for sign in "*?[" if sign in source)].rpartition("/")[0]
    elif (file := storage.stat(source)) is not None:
        return [_stored_video(file, source.rpartition("/")[0], None)]
    else:
        folder = source.rstrip("/")
        listed = {file.url: file for files in storage.walk(folder) for file in files}
        if not listed:
            raise UsageError(f"no such file or folder: {source}")
    by_folder: dict[str, list[str]] = {}
    for url in listed:
        by_folder.setdefault(os.path.dirname(url), []).append(url)
    paths = sorted(_films_of(by_folder.values()), key=natural_order)
    found = []
    for path in paths:
        file = listed.get(path) or _together(path, [listed[url] for url in by_folder[path]])
        has_text = None if pattern else f"{os.path.splitext(path)[0]}.txt" in listed  # which a pattern leaves out
        found.append(_stored_video(file, folder, has_text))
    return found


def _together(folder: str, files: Sequence[StoredFile]) -> StoredFile:
    """A folder of pictures as one video."""
    return StoredFile(folder, (sum(file.state[0] for file in files), max(file.state[1] for file in files)))


def _stored_video(file: StoredFile, folder: str, has_text: bool | None) -> FoundVideo:
    return FoundVideo(file.url, _below(file.url, folder), None, file.state, has_text)


def _films_of(folders: Iterable[Sequence[str]]) -> list[str]:
    """The films among the files of folders; a folder of pictures and no film is one itself, unless films lie below."""
    paths: list[str] = []
    pictured: list[str] = []
    for files in folders:
        films = [file for file in files if _is_film(file)]
        paths += films
        pictures = (file for file in files if os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES)
        if not films and (picture := next(pictures, None)) is not None:
            pictured.append(os.path.dirname(picture))
    above = {place for path in paths for place in _folders_above(path)}
    return paths + [folder for folder in pictured if folder not in above]


def _folders_above(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _is_film(file: str) -> bool:
    suffix = os.path.splitext(file)[1].lower()
    return suffix in VIDEO_SUFFIXES and (suffix != ".webp" or is_animated_webp(file))


def _below(path: str, folder: str) -> str:
    inside = os.path.relpath(path, folder)
    return Path(path).name if inside == "." else Path(inside).as_posix()
