"""Finding rewards and backbones by name. One door for everybody, us included.

A name is an entry point of an installed package (`hpsv2.1`), `module:Attribute` (`my_rewards:Redness`), or a file of
your own (`./my_rewards.py:Redness`). Nothing is imported until it is asked for by name.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib
import importlib.util
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from rewardkit.errors import RewardkitError, UnknownNameError, UsageError


class Registry:
    """Everything of one kind that installed packages offer under one entry point group."""

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group

    def names(self, pattern: str = "*") -> list[str]:
        """The registered names that match a shell pattern such as `*hps*`, sorted; imports nothing."""
        return sorted(fnmatch.filter(self._entries(), pattern))

    def load(self, name: str) -> object:
        """What `name` stands for.

        Raises:
            UnknownNameError: no entry point of that name, with suggestions.
            UsageError: the module or attribute cannot be imported.
        """
        if ":" in name:
            module, _, attribute = name.rpartition(":")
            return self._attribute(module, attribute, own=True)
        entries = self._entries()
        if name not in entries:
            raise UnknownNameError(self.kind, name, entries)
        module, _, attribute = entries[name].value.partition(":")
        return self._attribute(module, attribute, own=False)

    def _entries(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=self.group):
            known = found.setdefault(entry.name, entry)
            if known.value != entry.value:
                raise UsageError(
                    f"two packages offer a {self.kind} called {entry.name!r}: {known.value} and {entry.value}; "
                    "uninstall one, or name it as module:Attribute"
                )
        return found

    def _attribute(self, module: str, attribute: str, own: bool) -> object:
        try:
            loaded = _import_own(module) if own else importlib.import_module(module)
        except RewardkitError:
            raise
        except (Exception, SystemExit) as error:  # code of others may raise anything while it is imported
            raise UsageError(
                f"cannot import the {self.kind} {module}:{attribute}: {type(error).__name__}: {error}"
            ) from error
        found: object = getattr(loaded, attribute, None)
        if found is None:
            raise UsageError(f"{module} has no {self.kind} called {attribute!r}")
        return found


def _import_own(module: str) -> object:
    """A file of the user's, or a module, also from the current folder; what is installed goes first."""
    if module.endswith(".py"):
        return _import_file(Path(module).resolve())
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    return importlib.import_module(module)


def _import_file(path: Path) -> object:
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    # its own name, so that a file called random.py hides nothing, and a new one once the file has changed
    digest = hashlib.sha256(bytes(path) + b"\0" + path.read_bytes()).hexdigest()
    name = f"rewardkit_file_{path.stem}_{digest[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[name]  # else the next call would take the half-made module for the whole
        raise
    return loaded


REWARDS = Registry("reward", "rewardkit.rewards")
BACKBONES = Registry("backbone", "rewardkit.backbones")
