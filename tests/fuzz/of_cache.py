"""What lies on the disk of the client cache: files of sums of the LOCAL store, catalogues and runs of ROCKS.

The first byte of an input says whether its checksum is made right, which otherwise no change would get past.
"""

from __future__ import annotations

import os
import random
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alluxio_jnifuse._wire import crc64
from alluxio_jnifuse.cache.evictors import make_evictor
from alluxio_jnifuse.cache.local.layout import SUMS, name_of
from alluxio_jnifuse.cache.local.store import LocalStore
from alluxio_jnifuse.cache.rocks import store as rocks
from alluxio_jnifuse.cache.rocks.catalogue import _crc_of as crc_of
from alluxio_jnifuse.cache.store import Store
from fuzz.parser import Parser

SEALED, STRETCHED = 1, 2
DIGEST = bytes(range(16))
SIZE = 20_000
PAGE = 8192
SEGMENT = 1
CONTENTS = random.Random("contents").randbytes(SIZE)
LENGTH = struct.Struct("<H")  # of the catalogue in an input of `rocks`
_LIMIT = 16 << 20
_SUMMED = 40  # bytes of a header that its checksum is of


def _check_reads(store: Store) -> None:
    """What is read is right, or not there."""
    held = store.hold(DIGEST)
    try:
        for offset in range(0, SIZE, 4096):
            buffer = memoryview(bytearray(6000))
            found = held.read_into(offset, buffer)
            assert buffer[:found] == CONTENTS[offset : offset + found]
            assert offset < held.gap_end(offset, max(SIZE, offset + 1))
        held.is_complete()
        fd = held.lend()
        if fd is not None:
            assert os.pread(fd, SIZE, 0) == CONTENTS
            os.close(fd)
            held.take_back()
    finally:
        held.release()


def _check_writes(store: Store) -> None:
    """Whatever there was: what is stored can be read."""
    held = store.hold(DIGEST, SIZE)
    try:
        held.write(0, memoryview(CONTENTS), store.generation(DIGEST))
    finally:
        held.release()
    _check_reads(store)
    store.give_space(PAGE)
    _check_reads(store)
    held = store.hold(DIGEST)
    held.drop()
    held.release()
    assert store.figures().used == 0, store.figures()


def _local() -> Callable[[bytes], object]:
    top = tempfile.mkdtemp()
    LocalStore(top, _LIMIT, PAGE, make_evictor("LRUCacheEvictor")).close()
    data_path = Path(top, "alluxio-jnifuse", "LOCAL", name_of(DIGEST))
    data_path.parent.mkdir()
    sums_path = data_path.with_name(data_path.name + SUMS)

    def take(data: bytes) -> None:
        how, sums = data[0] if data else 0, bytearray(data[1:])
        if how & SEALED and len(sums) >= _SUMMED + 8:
            struct.pack_into("=Q", sums, _SUMMED, crc64(sums[:_SUMMED]))
        sums_path.write_bytes(sums)
        data_path.write_bytes(CONTENTS)
        if how & STRETCHED and len(sums) >= _SUMMED:
            (size,) = struct.unpack_from("=Q", sums, 24)
            try:
                os.truncate(data_path, size)
            except (OSError, OverflowError):
                pass
        store = LocalStore(top, _LIMIT, PAGE, make_evictor("LRUCacheEvictor"))
        try:
            store.restore()
            _check_reads(store)
            _check_writes(store)
        finally:
            store.close()

    return take


class _Log:
    """Instead of the database: one segment, all of whose runs are what an input has."""

    catalogue = run = b""

    def __init__(self, path: str, limit: int) -> None:
        self.pages_limit = self.segment_bytes = limit
        self.current = SEGMENT + 1
        self.keys: list[Any] = []
        self.filled = 0
        self.failure = None
        self.is_full = False
        self._put: dict[Any, bytes] = {}

    def catalogues(self) -> Iterator[tuple[int, bytes]]:
        yield SEGMENT, self.catalogue

    def note(self, key: Any, number: int) -> None:
        pass

    def retire(self) -> None:
        return None

    def holds(self, number: int) -> bool:
        return True

    def get(self, runs: list[Any]) -> list[bytes | None]:
        return [self.run if segment == SEGMENT else self._put.get((digest, at)) for segment, digest, at in runs]

    def put(self, digest: bytes, granule: int, value: bytes) -> None:
        self._put[digest, granule] = value

    def begin_page(self, key: Any, catalogued: int) -> None:
        self.keys.append(key)

    def seal(self, catalogue: bytes) -> list[Any]:
        return []

    def close(self) -> None:
        pass


def _rocks() -> Callable[[bytes], object]:
    top = tempfile.mkdtemp()
    rocks.Log = _Log  # type: ignore[misc,assignment]

    def take(data: bytes) -> None:
        head = data[: 1 + LENGTH.size].ljust(1 + LENGTH.size, b"\0")
        rest = data[1 + LENGTH.size :]
        (length,) = LENGTH.unpack_from(head, 1)
        _Log.catalogue, _Log.run = rest[:length], rest[length:]
        if head[0] & SEALED:
            body = _Log.catalogue[8:]
            _Log.catalogue = struct.pack("=Q", crc_of(SEGMENT, body)) + body
        store = rocks.RocksStore(top, _LIMIT, PAGE, make_evictor("LRUCacheEvictor"))
        try:
            store.restore()
            _check_reads(store)
            store.drop(DIGEST)
            _check_reads(store)
        finally:
            store.close()

    return take


PARSERS = {
    "local": Parser(_local, (), (b"AJFsums\1", bytes(8), DIGEST, b"\xff" * 8), most=4096),
    "rocks": Parser(_rocks, (), (bytes(8), DIGEST, b"\xff" * 8, b"\1", b"\0\0\0\0\0\0\xf0\x7f"), most=32 << 10),
}
