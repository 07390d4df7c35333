"""Stores of both kinds for tests: opened again and again in one directory, with contents that are known."""

from __future__ import annotations

import functools
import os
import random
from pathlib import Path

from alluxio_jnifuse._wire import SUM_BYTES
from alluxio_jnifuse.cache.evictors import make_evictor
from alluxio_jnifuse.cache.local.store import LocalStore
from alluxio_jnifuse.cache.rocks.store import RocksStore
from alluxio_jnifuse.cache.store import Store, StoredFile, digest_of

KINDS = {"LOCAL": LocalStore, "ROCKS": RocksStore}
EVICTORS = ("LRUCacheEvictor", "LFUCacheEvictor", "FIFOCacheEvictor", "NondeterministicLRUCacheEvictor")
MIB = 1 << 20
PAGE = 64 << 10
LIMIT = 16 * MIB  # the least that ROCKS takes
SIZES = (1, SUM_BYTES - 1, SUM_BYTES, SUM_BYTES + 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 12345)
_OPENED: list[Store] = []


def digest(name: object) -> bytes:
    """Of the file that `contents` tells the bytes of."""
    return digest_of("tests", str(name).encode(), 1)


@functools.lru_cache(256)
def contents(name: object, size: int) -> bytes:
    return random.Random(f"{name} {size}").randbytes(size)


def open_store(
    kind: str, directory: Path, limit: int = LIMIT, page: int = PAGE, evictor: str = EVICTORS[0], restore: bool = True
) -> Store:
    """Opens a store, which is closed at the end of the test at the latest."""
    store = KINDS[kind](str(directory), limit, page, make_evictor(evictor))
    _OPENED.append(store)
    if restore:
        store.restore()
    return store


def close_all() -> None:
    """Closes what a test has opened."""
    while _OPENED:
        _OPENED.pop().close()


def write(store: Store, name: object, size: int, offset: int = 0, length: int | None = None) -> None:
    """Stores a range, to the end unless `length` is given."""
    data = memoryview(contents(name, size))[offset : None if length is None else offset + length]
    held = store.hold(digest(name), size)
    try:
        held.write(offset, data, store.generation(held.digest))
    finally:
        held.release()


def read(held: StoredFile, offset: int, length: int) -> bytes:
    """What is there from `offset` on, up to the first byte that is not."""
    buffer = bytearray(length)
    found = held.read_into(offset, memoryview(buffer))
    assert 0 <= found <= length
    return bytes(buffer[:found])


def right_bytes(store: Store, name: object, size: int) -> int:
    """How many bytes of a file are there. All of them must be right; what cannot be read is not there."""
    expected = contents(name, size)
    held = store.hold(digest(name), size)
    right = at = 0
    try:
        while at < size:
            try:
                found = read(held, at, min(MIB, size - at))
            except OSError:
                found = b""
            assert found == expected[at : at + len(found)]
            right += len(found)
            at += len(found)
            if at < size:
                at = at // SUM_BYTES * SUM_BYTES + SUM_BYTES
    finally:
        held.release()
    return right


def files_of(directory: Path, kind: str) -> list[Path]:
    """Files that hold bytes of a store, or what it knows of them."""
    endings = {"LOCAL": ("", ".sums"), "ROCKS": (".sst",)}[kind]
    own = directory / "alluxio-jnifuse" / kind
    return sorted(path for path in own.rglob("*") if path.suffix in endings and path.is_file() and path.parent != own)


def used_by(directory: Path) -> int:
    """Bytes of disk, of what is there at the moment."""
    used = 0
    for where, _, names in os.walk(directory):
        for name in names:
            try:
                used += os.lstat(os.path.join(where, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return used
