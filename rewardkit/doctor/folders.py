"""Checks of folders and what surrounds them: the hub's cache and how it is filled, and where files are written."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from rewardkit.doctor.finding import Finding, State
from rewardkit.errors import first_line

LEAST_FREE = 10**9
"""Bytes that a folder for videos and rows should have left."""

SHARED = Path("/dev/shm")
OFFLINE = "HF_HUB_OFFLINE"


def hub_cache() -> Finding:
    """Whether weights can be downloaded: the cache's folder can be written, and holds the largest reward."""
    from huggingface_hub.constants import HF_HUB_OFFLINE

    from rewardkit.weights.content import in_words
    from rewardkit.weights.hub import hub_cache

    folder = Path(hub_cache())
    there = _nearest(folder)
    where = f"{folder}{'' if there == folder else ' (not there yet)'}"
    problem = write_problem(there)
    if problem:
        # a cache that others fill, on a machine without a network, is only read
        state: State = "warn" if HF_HUB_OFFLINE and os.path.isdir(folder) else "bad"
        return Finding("hub cache", state, f"{where} cannot be written: {problem}", "export HF_HOME=/a/folder/of/yours")
    name, largest = _largest_reward()
    free = shutil.disk_usage(there).free
    words = f"{where}, {in_words(free)} free; the largest reward, {name}, takes {in_words(largest)}"
    if free < largest:
        return Finding("hub cache", "warn", words, "export HF_HOME=/a/folder/on/a/larger/disk")
    return Finding("hub cache", "ok", words)


def network() -> Finding:
    """Whether weights may be fetched at all."""
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        given = next((name for name in (OFFLINE, "TRANSFORMERS_OFFLINE") if name in os.environ), OFFLINE)
        return Finding("network", "warn", f"{given} is set: only weights in the hub cache are found", f"unset {given}")
    return Finding("network", "ok", "weights may be fetched (no attempt was made)")


def token() -> Finding:
    """Whether the hub will know who asks. The token itself is never shown."""
    from huggingface_hub import get_token

    there = "set" if get_token() else "not set; only private files and files behind a form need one"
    return Finding("hub token", "ok", there)


def temporary_folder() -> Finding:
    """Where videos from stores are kept while they are read."""
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError as error:  # none of all that Python tries can be written
        return Finding("temporary folder", "bad", str(error.strerror), "export TMPDIR=/a/folder/of/yours")
    return _folder("temporary folder", folder, "export TMPDIR=/a/folder/on/a/larger/disk")


def output_folder() -> Finding:
    """Where results go unless they are told otherwise."""
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        words = "was deleted: results have no place, and torch may not even load from it"
        return Finding("this folder", "bad", words, "cd /a/folder/of/yours")
    return _folder("this folder", folder, "cd /a/folder/of/yours  # or name one with --out")


def shared_memory() -> Finding:
    """Room that processes share, which Ray keeps decoded frames in; containers have little of it."""
    from rewardkit.weights.content import in_words

    if not SHARED.is_dir():
        return Finding("shared memory", "ok", "this system has no /dev/shm, and needs none")
    size = shutil.disk_usage(SHARED).total
    if size < LEAST_FREE:
        mend = "docker run --shm-size=8g ...  # outside a container: sudo mount -o remount,size=8G /dev/shm"
        return Finding("shared memory", "warn", f"{in_words(size)} in {SHARED}: too little for the engine ray", mend)
    return Finding("shared memory", "ok", f"{in_words(size)} in {SHARED}")


def write_problem(folder: Path) -> str:
    """Why no file can be written there, found by writing one; empty where one can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        if isinstance(error, FileNotFoundError) and folder.is_symlink():
            return f"{folder} is a link to {folder.readlink()}, which is not there"
        return error.strerror or first_line(error)
    return ""


def _folder(name: str, folder: Path, mend: str) -> Finding:
    from rewardkit.weights.content import in_words

    problem = write_problem(folder)
    if problem:
        return Finding(name, "bad", f"{folder} cannot be written: {problem}", mend)
    free = shutil.disk_usage(folder).free
    words = f"{folder}, {in_words(free)} free"
    return Finding(name, "warn", words, mend) if free < LEAST_FREE else Finding(name, "ok", words)


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there, as far as this user may look.

    A link that leads nowhere counts: it stands where a folder would have to be made.
    """
    return next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))


def _largest_reward() -> tuple[str, int]:
    """The reward whose published files are largest together, and their bytes."""
    from rewardkit.rewards.catalog import list_rewards, reward_files
    from rewardkit.weights.source import PackageFile

    sizes = {
        name: sum(file.size or 0 for file in reward_files(name).values() if not isinstance(file, PackageFile))
        for name in list_rewards()
    }
    return max(sizes.items(), key=lambda pair: pair[1])
