"""Ways of spoiling a good file: any bytes, or those inside a format whose checksums and lengths then fit again."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

INTERESTING = (0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 64, 100, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535, 65536)
EDGES = tuple(2**power + step for power in (24, 31, 32, 60, 63, 64) for step in (-1, 0))
HOSTILE = (
    "",
    "\0",
    "\x1b[2J",
    "\r\n",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\ud800",
    "nan",
    "-inf",
    "1e999",
    "-1",
    "9" * 5000,
    "0x" + "f" * 5000,
    "../../../etc/passwd",
    "/dev/zero",
    "x" * 300,
    "{" * 3000,
    "[" * 3000,
    "null",
    "true",
    "e\u0301\U0001f600",
    "%n%s",
    "file://",
    "*a",
    "&a",
    "<<: ",
    "!!timestamp ",
    "!!python/object/apply:os.system ",
)
"""Text that readers stumble over, for formats made of text."""

TEXT = frozenset({".csv", ".tsv", ".json", ".jsonl", ".toml", ".yaml", ".txt"})

Change = Callable[[bytes, Sequence[bytes], Random], bytes]


def spoiled(content: bytes, others: Sequence[bytes], suffix: str, draw: Random) -> bytes:
    """The file with one to eight changes; `others` are files of its kind, of which pieces may be put in."""
    inside = INSIDE.get(suffix)
    if inside is not None and draw.random() < 0.5:
        with suppress(Exception):  # changes before may have left no file of the format: change any bytes
            return inside(content, others, draw)
    for _ in range(1 << draw.randrange(4)):
        content = draw.choice(TEXT_CHANGES if suffix in TEXT else CHANGES)(content, others, draw)
    return content


def _flip(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    if not content:
        return content
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def _truncate(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    return content[: draw.randint(0, len(content))]


def _splice(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    other = draw.choice(others)
    return content[: draw.randint(0, len(content))] + other[draw.randint(0, len(other)) :]


def _piece(content: bytes, draw: Random) -> tuple[int, int]:
    start = draw.randint(0, len(content))
    return start, min(len(content), start + draw.randint(0, 1 << draw.randrange(11)))


def _double(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    start, end = _piece(content, draw)
    return content[:end] + content[start:end] * draw.choice((1, 1, 2, 50)) + content[end:]


def _remove(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    start, end = _piece(content, draw)
    return content[:start] + content[end:]


def _swap(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    a, b, c, d = sorted(draw.randint(0, len(content)) for _ in range(4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _number(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    """Over what is there: 1, 2, 4 or 8 bytes, of either order."""
    size = draw.choice((1, 2, 4, 8))
    value = draw.choice(INTERESTING + EDGES) * draw.choice((1, 1, 1, -1)) % (1 << 8 * size)
    place = draw.randint(0, len(content))
    return content[:place] + value.to_bytes(size, draw.choice(("little", "big"))) + content[place + size :]


def _words(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    start, end = _piece(content, draw)
    word = draw.choice(HOSTILE).encode(errors="surrogatepass")
    return content[:start] + word + content[draw.choice((start, end)) :]


CHANGES: tuple[Change, ...] = (_flip, _truncate, _splice, _double, _remove, _swap, _number, _number)
TEXT_CHANGES: tuple[Change, ...] = (_flip, _truncate, _splice, _double, _remove, _swap, _words, _words)


def _in_png(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    """Changed bytes under checksums that fit."""
    chunks, place = [], 8
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4])
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    which = draw.randrange(len(chunks))
    kind, data = chunks[which]
    if kind == b"IDAT" and draw.random() < 0.5:
        chunks[which] = kind, zlib.compress(_flip(zlib.decompress(data), others, draw))
    else:
        chunks[which] = kind, draw.choice(CHANGES)(data, [content], draw)
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _in_zip(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    """One member changed, squeezed or put in twice, under checksums that fit."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    which = draw.randrange(len(members))
    name, data = members[which]
    members[which] = draw.choice(
        (
            (name, draw.choice(CHANGES)(data, [data for _, data in members], draw)),
            (name, bytes(1 << draw.randrange(24))),
            (_words(name.encode(), others, draw).decode(errors="replace"), data),
        )
    )
    spoiled = io.BytesIO()
    with zipfile.ZipFile(spoiled, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for member, inside in members:
            archive.writestr(zipfile.ZipInfo(member), inside, archive.compression)
    return spoiled.getvalue()


def _in_safetensors(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    """A changed header whose announced length fits."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(_in_tree(json.loads(content[8 : 8 + size]), draw)).encode()
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def _in_npy(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    """A changed header whose announced length fits."""
    size = int.from_bytes(content[8:10], "little")
    header = draw.choice(TEXT_CHANGES)(content[10 : 10 + size], others, draw)[:60000]
    return content[:8] + len(header).to_bytes(2, "little") + header + content[10 + size :]


def _in_json(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    return json.dumps(_in_tree(json.loads(content), draw)).encode()


def _in_jsonl(content: bytes, others: Sequence[bytes], draw: Random) -> bytes:
    lines = content.splitlines(keepends=True)
    which = draw.randrange(len(lines))
    return b"".join([*lines[:which], _in_json(lines[which], others, draw), b"\n", *lines[which + 1 :]])


def _in_tree(tree: object, draw: Random) -> object:
    """One value or name inside is another one."""
    strange: tuple[object, ...] = (
        *HOSTILE,
        *INTERESTING,
        *EDGES,
        -1,
        0.5,
        1e308,
        float("nan"),
        None,
        True,
        [],
        {},
        [[]],
    )
    if not tree or not isinstance(tree, dict | list) or draw.random() < 0.1:
        return draw.choice(strange)
    if isinstance(tree, list):
        which = draw.randrange(len(tree))
        return [*tree[:which], _in_tree(tree[which], draw), *tree[which + draw.choice((1, 1, 1, 0)) :]]
    name = draw.choice(list(tree))
    rest = {other: value for other, value in tree.items() if other != name}
    if draw.random() < 0.2:
        return rest | {draw.choice(HOSTILE + tuple(rest)): tree[name]}
    return rest | {name: _in_tree(tree[name], draw)}


INSIDE: dict[str, Change] = {
    ".png": _in_png,
    ".pt": _in_zip,
    ".pth": _in_zip,
    ".safetensors": _in_safetensors,
    ".npy": _in_npy,
    ".json": _in_json,
    ".jsonl": _in_jsonl,
}
