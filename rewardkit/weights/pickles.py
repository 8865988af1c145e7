"""Pickles of strangers: what not even an unpickler that runs no code should be given."""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST_IN_A_TUPLE = 1_000_000
PICKLES_OF_OLD = 5
"""With which a file of the old kind begins: two numbers, the machine, what was saved, and the names of its storages."""
GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
ZIP = b"PK\x03\x04"
"""How an archive begins. Python's zipfile looks at the end, where a pickle may have an archive behind it."""
HASHED = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
"""What makes values that may be keys of a dictionary, of the values that they hold."""


def check_pickles(path: Path) -> None:
    """Refuses a file of `torch.save` or TorchScript with a tuple of tuples that stands for more than can be counted.

    Two hundred bytes can say: forty tuples, each twice the one before. To make the last the key of a dictionary, Python
    goes through 2^40 of them, and hears of nothing meanwhile, not even of Ctrl-C. What else is wrong with the file is
    for its reader to say.

    Raises:
        pickle.UnpicklingError: it holds such a tuple.
    """
    with path.open("rb") as file:
        is_archive = file.read(len(ZIP)) == ZIP  # as torch.load decides
    if is_archive:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.filename.lower().endswith(".pkl"):
                    with suppress(ValueError, LookupError), archive.open(entry) as file:
                        check_pickle(file)
    else:
        with suppress(ValueError, LookupError), path.open("rb") as file:
            for _ in range(PICKLES_OF_OLD):
                check_pickle(file)


def check_pickle(file: Any) -> None:
    """Goes through one pickle of an open file, up to its end; as `check_pickles`.

    Raises:
        pickle.UnpicklingError: it holds such a tuple, or a name that is not ASCII.
        ValueError, LookupError: it is no pickle, or cut short.
    """
    try:
        _check_sizes(file)
    except UnicodeDecodeError:  # pickletools stops at it, an unpickler goes on
        raise pickle.UnpicklingError("Unsupported name, not in ASCII") from None


def _check_sizes(file: Any) -> None:
    stack: list[int] = []  # how many values each value has in it, as far as hashing it goes through them
    marks: list[int] = []
    memo: dict[object, int] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "MARK":
            marks.append(len(stack))
        elif opcode.name in PUTS or opcode.name == "MEMOIZE":
            memo[argument if opcode.name in PUTS else len(memo)] = stack[-1]
        elif opcode.name in GETS:
            stack.append(memo[argument])
        elif opcode.name == "POP" and marks and marks[-1] == len(stack):
            marks.pop()
        elif opcode.name == "DUP":
            stack.append(stack[-1])
        else:
            taken = _take(opcode, stack, marks)
            size = 1 + sum(taken) if opcode.name in HASHED else 1
            if size > MOST_IN_A_TUPLE:
                raise pickle.UnpicklingError(f"Unsupported tuple of more than {MOST_IN_A_TUPLE} values")
            stack += [size] * len(opcode.stack_after)


def _take(opcode: pickletools.OpcodeInfo, stack: list[int], marks: list[int]) -> Iterable[int]:
    """What an opcode takes from the stack."""
    before = opcode.stack_before
    taken = []
    if pickletools.markobject in before:
        place = marks.pop()
        taken, before = stack[place:], before[: before.index(pickletools.markobject)]
        del stack[place:]
    if before:
        taken += stack[-len(before) :]
        del stack[-len(before) :]
    return taken
