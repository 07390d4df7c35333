"""What children do with a mounted data set of cluster.dataset."""

from __future__ import annotations

import mmap
import os
import random

from cluster import dataset

PIECE = 256 << 10


def walk(top: str) -> dict[str, tuple[int, int]]:
    """Type and size of everything below a directory, as `ls -lR` asks for it; of a directory 0."""
    found = {}
    for directory, _, _ in os.walk(top, onerror=_fail):
        with os.scandir(directory) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                kind = status.st_mode & 0o170000
                found[os.path.relpath(entry.path, top)] = kind, status.st_size if entry.is_file() else 0
    return found


def _fail(error: OSError) -> None:
    raise error


def check(path: str, name: str, size: int, piece: int = PIECE) -> None:
    """Reads a file of cluster.dataset from its start to its end."""
    with open(path, "rb", buffering=0) as file:
        assert os.fstat(file.fileno()).st_size == size, name
        at = 0
        while data := file.read(piece):
            assert data == dataset.content(name, at, len(data)), f"{name} differs in {at}+{len(data)}"
            at += len(data)
    assert at == size, f"{name} ended after {at} of {size} bytes"


def check_ranges(path: str, name: str, size: int, count: int, longest: int, seed: int = 1) -> None:
    """Reads ranges of a file anywhere, with pread."""
    chance = random.Random(seed)
    with open(path, "rb", buffering=0) as file:
        for _ in range(count):
            at, length = chance.randrange(size + longest), chance.randrange(1, longest + 1)
            expected = dataset.content(name, at, max(0, min(length, size - at)))
            assert os.pread(file.fileno(), length, at) == expected, f"{name} differs in {at}+{length}"


def check_mapped(path: str, name: str, size: int) -> None:
    """Maps a file and compares all of it."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), size, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
        for at in range(0, size, PIECE):
            end = min(size, at + PIECE)
            assert mapped[at:end] == dataset.content(name, at, end - at), f"{name} differs in {at}"
