"""Which prompt belongs to which video, and where it was found."""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rewardkit import storage
from rewardkit.errors import UsageError
from rewardkit.scoring.inputs import FoundVideo
from rewardkit.scoring.manifest import ManifestEntry, read_manifest
from rewardkit.scoring.rows import PromptSource

KEYWORDS = ("auto", "sidecar", "filename", "none")


@dataclass(frozen=True, slots=True)
class ScoreItem:
    """One video to score.

    Attributes:
        path, name, state: as in FoundVideo.
        prompt: None where there is none.
        problem: one sentence where the prompt was looked for and cannot be read.
    """

    path: str
    name: str
    prompt: str | None
    prompt_source: PromptSource
    problem: str | None = None
    state: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class PromptedVideos:
    """Every video with its prompt, and the manifest entries that fit no video."""

    items: list[ScoreItem]
    unmatched: list[str]


def attach_prompts(
    videos: Sequence[FoundVideo], prompts: str | Path | Mapping[str, str] = "auto", prompt: str | None = None
) -> PromptedVideos:
    """Each video with its prompt.

    Args:
        videos: from `find_videos`; a prompt that came with a video's own manifest wins over `auto`.
        prompts: a manifest file; a mapping of path or file name to prompt; `sidecar` for `{stem}.txt` beside each
            video; `filename` for the file name without suffix, sample number and underscores; `none`; or `auto`, which
            takes sidecars where there are some.
        prompt: one prompt for all videos.

    Raises:
        UsageError: an unreadable manifest, or both `prompts` and `prompt`.
    """
    if prompt is not None:
        if prompts != "auto":
            raise UsageError("give one prompt for all videos, or prompts for each, not both")
        return PromptedVideos([_item(video, prompt, "literal") for video in videos], [])
    if isinstance(prompts, Mapping):
        return _match(videos, [ManifestEntry(path, text) for path, text in prompts.items()], "")
    if str(prompts) not in KEYWORDS:
        return _match(videos, read_manifest(prompts), str(prompts))
    return PromptedVideos([_without_manifest(video, str(prompts)) for video in videos], [])


def _item(video: FoundVideo, prompt: str | None, source: PromptSource, problem: str | None = None) -> ScoreItem:
    return ScoreItem(video.path, video.name, prompt, source, problem, video.state)


def _without_manifest(video: FoundVideo, keyword: str) -> ScoreItem:
    if keyword == "auto" and video.prompt is not None:
        return _item(video, video.prompt, "manifest")
    if keyword == "filename":
        words = re.sub(r"-\d+$", "", Path(video.path).stem).replace("_", " ").strip()
        return _item(video, words, "filename")
    if keyword == "none" or video.has_text is False:
        return _item(video, None, "none")
    beside = f"{os.path.splitext(storage.absolute(video.path))[0]}.txt"
    try:
        return _item(video, storage.read_bytes(beside).decode("utf-8-sig").strip(), "sidecar")
    except (FileNotFoundError, NotADirectoryError):
        return _item(video, None, "none")
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            return _item(video, None, "none")  # no such name can exist
        return _item(video, None, "sidecar", f"cannot read the prompt in {beside}: {error}")


def _match(videos: Sequence[FoundVideo], entries: Sequence[ManifestEntry], manifest: str) -> PromptedVideos:
    """Pairs by full path (from the manifest's folder or from here), then by the position below the folder asked for."""
    by_path = {storage.absolute(storage.beside(place, e.path)): e for e in entries for place in ("", manifest)}
    by_name = {os.path.normpath(entry.path): entry for entry in entries}
    names = Counter(os.path.normpath(video.name) for video in videos)
    items, used = [], set()
    for video in videos:
        name = os.path.normpath(video.name)
        entry = by_path.get(storage.absolute(video.path)) or (by_name.get(name) if names[name] == 1 else None)
        if entry is None:
            items.append(_item(video, None, "none"))
        else:
            used.add(entry.path)
            items.append(_item(video, entry.prompt, "manifest"))
    return PromptedVideos(items, [entry.path for entry in entries if entry.path not in used])
