"""Where a published file comes from, and where it lies on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rewardkit.errors import MissingWeightsError
from rewardkit.weights.content import in_words
from rewardkit.weights.hub import HubFile


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
