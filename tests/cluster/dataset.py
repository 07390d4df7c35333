"""A data set for tests: thousands of small files in nested directories, and some large ones of many blocks.

What a file holds follows from its path (alluxio_jnifuse.testing.pattern), so any range of it can be checked without
a copy. Names and sizes follow from a seed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from alluxio_jnifuse.testing import pattern

MIB = 1 << 20
BLOCK = 64 * MIB  # Alluxio's default
SMALL_FILES, SMALL_BYTES = 10_000, 200_000
_PER_DIRECTORY = 40
_PIECE = MIB

# Names that a path of Alluxio can hold and others find hard. It does not show those with a ? or a backslash.
_WORDS = (
    "train",
    "été",
    "图片",
    "картинка",
    "🙂",
    "a b",
    "100%",
    "1+1",
    "#tag",
    "-dash",
    "it's",
    'a"b',
    "a:b",
    "a;b=c",
)
_LONGEST = "长" * 85

Files = Mapping[str, int]  # the size of each, by its path below the root


class Place(NamedTuple):
    """A directory of a cluster: its path in Alluxio, and where the under-store has it."""

    path: str
    ufs: Path


class DataSet(NamedTuple):
    """Files below a directory of a cluster."""

    path: str
    ufs: Path
    files: Files


def small(count: int = SMALL_FILES, seed: int = 1) -> dict[str, int]:
    """Files of 0 bytes to 200 KB, most of them small, up to four directories deep."""
    chance = random.Random(seed)
    found: dict[str, int] = {}
    directory = ""
    for number in range(count):
        if number % _PER_DIRECTORY == 0:
            depth = chance.randint(0, 3)
            directory = "".join(f"{chance.choice(_WORDS)}{chance.randint(0, 3)}/" for _ in range(depth))
        size = int(SMALL_BYTES ** chance.random()) - 1  # as many of 10 to 100 bytes as of 10 to 100 KB
        found[f"small/{directory}{chance.choice(_WORDS)} {number}"] = size
    found[f"small/{_LONGEST}"] = SMALL_BYTES
    found["small/empty"] = 0
    return found


def large() -> dict[str, int]:
    """Files around the size of a block, of several blocks, and of a GiB."""
    return {
        "large/block less 1": BLOCK - 1,
        "large/block": BLOCK,
        "large/block and 1": BLOCK + 1,
        "large/blocks": 3 * BLOCK,
        "large/odd": 200_000_007,
        "large/GiB": 1024 * MIB,
    }


def make(root: Path, files: Files) -> None:
    """Writes files below `root`."""
    made: set[Path] = set()
    for name, size in files.items():
        path = root / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        with open(path, "wb", buffering=0) as file:
            for piece in _pieces(name, size):
                file.write(piece)


def content(name: str, offset: int, length: int) -> bytes:
    """What the file has there, if it is long enough."""
    return pattern(name.encode(), 1, offset, length)


def digest(name: str, size: int) -> bytes:
    """The SHA-256 of a file."""
    found = hashlib.sha256()
    for piece in _pieces(name, size):
        found.update(piece)
    return found.digest()


def directories(files: Files) -> set[str]:
    """All directories below the root."""
    return {str(parent) for name in files for parent in Path(name).parents if str(parent) != "."}


def _pieces(name: str, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _PIECE):
        yield content(name, offset, min(_PIECE, size - offset))
