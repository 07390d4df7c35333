"""The files that are read. Contents are random; sizes and names are the same every time."""

from __future__ import annotations

import os
import random
from pathlib import Path

LARGE_FILES = 4
_PIECE = 16 << 20
_PER_DIRECTORY = 100
_SMALL_BYTES = (10_000, 110_000)  # images of a training set


def make_large(directory: Path, size: int) -> None:
    """large-0 to large-3 of `size` bytes each."""
    for number in range(LARGE_FILES):
        with open(directory / f"large-{number}", "wb") as file:
            for start in range(0, size, _PIECE):
                file.write(os.urandom(min(_PIECE, size - start)))


def make_small(directory: Path, count: int) -> None:
    sizes = random.Random(1)
    for number in range(count):
        parent = directory / f"{number // _PER_DIRECTORY:03}"
        if number % _PER_DIRECTORY == 0:
            parent.mkdir()
        (parent / f"{number:05}.jpg").write_bytes(os.urandom(sizes.randint(*_SMALL_BYTES)))


def make_entries(directory: Path, count: int) -> None:
    (directory / "d").mkdir()
    for number in range(count):
        os.close(os.open(directory / "d" / f"entry-{number:06}", os.O_CREAT | os.O_WRONLY, 0o644))


def make_many(directory: Path, count: int) -> None:
    """Files of 1 KB, in directories of 1,000."""
    contents = os.urandom(1000)
    for number in range(count):
        parent = f"{directory}/{number // 1000:04}"
        if number % 1000 == 0:
            os.mkdir(parent)
        file = os.open(f"{parent}/{number:07}", os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(file, contents)
        os.close(file)


def make_huge(directory: Path, size: int) -> None:
    with open(directory / "huge", "wb") as file:
        file.truncate(size)


def shuffled(directory: Path) -> list[str]:
    """The files below `directory`, relative to it, in an order that is random and always the same."""
    found = [
        os.path.relpath(os.path.join(parent, name), directory)
        for parent, _, names in os.walk(directory)
        for name in names
    ]
    random.Random(2).shuffle(found := sorted(found))
    return found
