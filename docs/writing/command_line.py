"""The page of the command line, read off the options that commands have."""

from __future__ import annotations

import inspect
import re
from typing import get_type_hints

from typer.models import ArgumentInfo, CommandInfo, OptionInfo
from writing.tables import NOTE, as_table, plain

from rewardkit.cli import app

HEAD = f"""{NOTE}

# Command line

Results go to stdout or to `--out`, everything else to stderr. [Exit codes](errors-and-exit-codes.md) tell what
happened. `rewardkit --install-completion` teaches your shell the commands, their options and the names of rewards.
"""


def cli_page() -> str:
    """The command line: every command with its arguments and options."""
    return "\n".join([HEAD, *(_command(info) for info in app.registered_commands)])


def _command(info: CommandInfo) -> str:
    assert info.callback is not None
    name = info.name or info.callback.__name__
    hints = get_type_hints(info.callback, include_extras=True)
    usage, arguments, options = ["rewardkit", name], [], []
    for key, parameter in inspect.signature(info.callback).parameters.items():
        said = hints[key].__metadata__[0]
        if isinstance(said, ArgumentInfo):
            usage.append(f"[{key.upper()}]" if _optional(parameter) else key.upper())
            arguments.append((f"`{key.upper()}`", *_help(said, parameter)))
        elif isinstance(said, OptionInfo):
            usage += [] if _optional(parameter) else [_flags(key, said).split(", ")[0], key.upper()]
            options.append((f"`{_flags(key, said)}`", *_help(said, parameter)))
    usage += ["[OPTIONS]"]
    parts = [f"## {name}\n", f"{inspect.getdoc(info.callback)}\n", f"```console\n{' '.join(usage)}\n```\n"]
    parts += [as_table(("Argument", "Meaning", "Default"), arguments)] if arguments else []
    return "\n".join([*parts, as_table(("Option", "Meaning", "Default"), options)])


def _flags(key: str, option: OptionInfo) -> str:
    first = [option.default] if isinstance(option.default, str) else []  # where typer keeps the first name given
    return ", ".join([*first, *(option.param_decls or ())] or [f"--{key.replace('_', '-')}"])


def _optional(parameter: inspect.Parameter) -> bool:
    return parameter.default is not inspect.Parameter.empty


def _help(said: ArgumentInfo | OptionInfo, parameter: inspect.Parameter) -> tuple[str, str]:
    """What it means, and its default: the one that the help text names, or the parameter's own."""
    meaning, _, named = re.sub(r"\]$", "", said.help or "").partition(" [default: ")
    default = parameter.default if _optional(parameter) else "required"
    own = "" if default is None or default is False else str(default)
    return plain(meaning), plain(named or own)
