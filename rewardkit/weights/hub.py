"""Files of the Hugging Face hub: fetched, and again where that can help.

huggingface_hub itself asks six more times what a file is, and resumes a download that stops or is cut off up to five
times; hf_xet has a minute or three of patience. What they give up on at once is here: a hub that answers 500 to the
download itself, a connection that is reset, a file of another length, or with another sha256. Read in huggingface_hub
2.4.0, `file_download.py`.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from rewardkit.errors import BadCheckpointError, MissingWeightsError, OutputError, UsageError, first_line
from rewardkit.weights.content import in_words, sha256_of

LOGGER = logging.getLogger(__name__)
TRIES = 3
FIRST_WAIT = 2.0
"""Seconds before the second try; each further one waits twice as long."""
HAVE_TRIED = ("ConnectError", "ConnectTimeout", "ReadTimeout", "RuntimeError")
"""They come after many tries of huggingface_hub or hf_xet; by name, as their HTTP client changes with the version."""
ASK_LATER = (408, 429)
"""Statuses below 500 that do not refuse: too slow, too often."""


@dataclass(frozen=True)
class HubFile:
    """One file of a hub repository, pinned.

    Attributes:
        repo: `owner/name` on the Hugging Face hub.
        name: the file.
        revision: the commit that is pinned.
        size: bytes; None where nobody has said.
        sha256: of the content; checked after download where known.
    """

    repo: str
    name: str
    revision: str
    size: int | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        size = f" ({in_words(self.size)})" if self.size is not None else ""
        return f"{self.name}{size} of {self.repo}@{self.revision[:12]}"

    def cached(self) -> Path | None:
        """Its place in the hub's cache, or None where it has not been downloaded."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.repo, self.name, revision=self.revision)
        return Path(found) if isinstance(found, str) else None

    def locate(self, who: str) -> Path:
        """Its place on this machine, downloaded if need be; HF_HOME and HF_HUB_OFFLINE are honoured.

        A hub that fails on the way is asked again, with a warning, and what has another sha256 is fetched anew, once.

        Raises:
            MissingWeightsError: it is not in the cache and the hub cannot be reached, or fails each time.
            UsageError: the hub does not give it.
            OutputError: the cache cannot be written.
            BadCheckpointError: it is not the file that was published.
        """
        return _fetched(self, who)


class _HubFailedError(Exception):
    """It failed on the way and may do better."""


def _fetched(file: HubFile, who: str) -> Path:
    """See `HubFile.locate`. What has another sha256 stays where it is without a network, and is deleted otherwise."""
    from huggingface_hub import constants

    for again in (True, False):
        path = _brought(file, who)
        if file.sha256 is None or sha256_of(path) == file.sha256:
            return path
        differs = f"its sha256 is {sha256_of(path)[:12]}..., expected {file.sha256[:12]}..."
        if constants.HF_HUB_OFFLINE:
            raise BadCheckpointError(
                f"{path} is not the file that was published as {file}: {differs}; delete it and download it again"
            )
        _delete(path)
        if again:
            LOGGER.warning("%s: %s is not what was published, %s; deleted, and fetched anew", who, file, differs)
    raise BadCheckpointError(
        f"{who} needs {file}, and twice the hub gave something else: {differs}; it was deleted, "
        "give the path of a copy of yours"
    )


def _brought(file: HubFile, who: str) -> Path:
    for tried in range(1, TRIES + 1):
        try:
            return _asked(file, who)
        except _HubFailedError as failure:
            last = failure
            if tried < TRIES:
                wait = FIRST_WAIT * 2 ** (tried - 1)
                LOGGER.warning(
                    "%s: %s did not come (%s); try %d of %d is in %g seconds", who, file, last, tried + 1, TRIES, wait
                )
                time.sleep(wait)
    raise _missing(file, who, f"{last}, {TRIES} times")


def _asked(file: HubFile, who: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError  # type: ignore[attr-defined]

    try:
        return Path(hf_hub_download(file.repo, file.name, revision=file.revision))
    except LocalEntryNotFoundError as error:  # it was asked what the file is, often enough
        cause = error.__cause__ or error
        if _refuses(cause):
            raise UsageError(f"{who}: the hub does not give {file}: {first_line(cause)}") from None
        raise _missing(file, who, _in_words(cause)) from None
    except (HTTPError, RuntimeError, OSError) as error:  # hf_xet has only RuntimeError
        if _refuses(error):
            raise UsageError(f"{who}: the hub does not give {file}: {first_line(error)}") from None
        if _is_of_this_machine(error):
            raise OutputError(f"{who}: cannot keep {file} in {hub_cache()}: {first_line(error)}") from None
        if type(error).__name__ in HAVE_TRIED:
            raise _missing(file, who, _in_words(error)) from None
        raise _HubFailedError(_in_words(error)) from None


def hub_cache() -> str:
    """The folder of the hub's cache, as HF_HOME and HF_HUB_CACHE set it."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return str(HF_HUB_CACHE)


def _missing(file: HubFile, who: str, why: str) -> MissingWeightsError:
    return MissingWeightsError(
        f"{who} needs {file}, which is not in {hub_cache()} and cannot be fetched now ({why}): run "
        f"`rewardkit download {who}` later or where there is a network, or give the path of a copy of yours"
    )


def _refuses(error: BaseException) -> bool:
    status = _status(error)
    return status is not None and status < 500 and status not in ASK_LATER


def _is_of_this_machine(error: Exception) -> bool:
    # an error that huggingface_hub itself raises, such as for a file that is too short, has no number
    return (
        isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError | TimeoutError)
    )


def _in_words(error: BaseException) -> str:
    status = _status(error)
    return f"the hub answered {status}" if status is not None else f"{type(error).__name__}: {first_line(error)}"


def _status(error: BaseException) -> int | None:
    from huggingface_hub.errors import HfHubHTTPError

    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def _delete(path: Path) -> None:
    """Deletes a file of the cache and what it links to, unless that lies outside, where it is somebody's own."""
    content = path.resolve()
    try:
        path.unlink()
        if content.is_relative_to(Path(hub_cache()).resolve()):
            content.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot delete {path}, which is not what was published: {first_line(error)}") from None
