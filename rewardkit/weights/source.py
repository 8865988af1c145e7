"""Where a published file comes from, and where it lies on this machine."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rewardkit.errors import MissingWeightsError

BYTES_AT_ONCE = 1 << 24


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
        from rewardkit.weights.fetching import fetch  # it needs this file first

        return fetch(self, who)


@dataclass(frozen=True)
class ElsewhereFile:
    """A published file that no hub repository is pinned for; it has to be downloaded by hand.

    Attributes:
        name: the file.
        url: where its authors offer it.
        size, sha256: as in HubFile.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        size = f" ({in_words(self.size)})" if self.size is not None else ""
        return f"{self.name}{size} from {self.url}"

    def cached(self) -> Path | None:
        """Never known: the file is wherever it was put."""
        return None

    def locate(self, who: str) -> Path:
        """Says where to get the file.

        Raises:
            MissingWeightsError: always.
        """
        raise MissingWeightsError(f"{who} needs {self}: download it by hand and give its path")


@dataclass(frozen=True)
class PackageFile:
    """A file that comes with an installed package.

    Attributes:
        package: the package that has it, such as `rewardkit.miniworld`.
        name: its place in the folder of the package.
    """

    package: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} of {self.package}"

    def cached(self) -> Path | None:
        """Its place in the package, or None where the installation lacks it."""
        path = Path(str(resources.files(self.package))) / self.name
        return path if path.is_file() else None

    def locate(self, who: str) -> Path:
        """Its place in the package; never asks a network.

        Raises:
            MissingWeightsError: the installation lacks it.
        """
        path = self.cached()
        if path is None:
            raise MissingWeightsError(f"{who} needs {self}, which this installation lacks: install rewardkit again")
        return path


Source = HubFile | ElsewhereFile | PackageFile


def hub_cache() -> str:
    """The folder of the hub's cache, as HF_HOME and HF_HUB_CACHE set it."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return str(HF_HUB_CACHE)


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hex; remembered until the file changes."""
    state = os.stat(path)
    return _sha256(str(path.resolve()), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256(path: str, size: int, changed: int) -> str:
    del size, changed  # only tell one state of the file from another
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BYTES_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()


def in_words(size: int) -> str:
    """Bytes as `1.97 GB` or `34 kB`, in powers of 1000."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"
