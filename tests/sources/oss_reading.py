"""What the tests of the OSS source share: files to read, and ways to read them."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from alluxio_jnifuse.sources.base import ENTRY_DTYPE, Attr, Listing, Source

MIB = 1 << 20
SMALL = os.urandom(300_000)
LARGE = os.urandom(5 * MIB + 4097)


def ignore(filled: int) -> None:
    """Progress that nobody waits for."""


def read_small(source: Source, path: bytes, progress: Callable[[int], None] = ignore) -> bytes:
    """Reads a small file as the core does: what it knows is version and size."""
    attr = source.stat(path)
    return read_version(source, path, attr, progress)


def read_version(source: Source, path: bytes, attr: Attr, progress: Callable[[int], None] = ignore) -> bytes:
    """As `read_small`, of a version that was looked up before."""
    buffer = bytearray(attr.size)
    filled = source.read_small(path, attr.version, attr.size, 0, memoryview(buffer), progress)
    return bytes(buffer[:filled])


def read(source: Source, path: bytes, offset: int = 0, length: int = 1 << 30) -> bytes:
    """Opens a file and reads a range of it."""
    attr = source.stat(path)
    opened = source.open(path, attr.version)
    buffer = bytearray(min(length, attr.size - offset))
    filled = source.read_into(opened.handle, offset, memoryview(buffer), ignore)
    source.close_file(opened.handle)
    return bytes(buffer[:filled])


def entries(listing: Listing) -> dict[bytes, Attr]:
    """What a listing says, by name."""
    found = {}
    for *attr, begin, length in np.frombuffer(listing.entries, dtype=ENTRY_DTYPE).tolist():
        found[listing.names[begin : begin + length]] = Attr(*attr)
    return found
