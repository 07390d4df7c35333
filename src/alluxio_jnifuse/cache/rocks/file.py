"""One file of the ROCKS store, as those see it who hold it.

It has nothing of its own: all who hold a file look into the same table of pages (store.py). A page that was stored for
a file of another size is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from alluxio_jnifuse._wire import SUM_BYTES, make_sums
from alluxio_jnifuse.cache.evictors import Key
from alluxio_jnifuse.cache.rocks.catalogue import PAGE_OVERHEAD_BYTES
from alluxio_jnifuse.cache.rocks.pages import Piece, all_of, missing_runs
from alluxio_jnifuse.cache.rocks.run import RUN_OVERHEAD_BYTES, SUM, right_part
from alluxio_jnifuse.cache.store import StoredFile, gap_end, granules, identity_of

if TYPE_CHECKING:
    from alluxio_jnifuse.cache.pages import PageIndex
    from alluxio_jnifuse.cache.rocks.log import RunId, Value
    from alluxio_jnifuse.cache.rocks.pages import Stored


class _Part(NamedTuple):
    """Of a run, those granules that are asked for. Granules of the run are numbers within the page."""

    key: Key
    piece: Piece
    start: int  # the first granule of the run
    skip: int  # granules of it
    length: int


class Keeper(Protocol):
    """The store, as its files see it."""

    page_bytes: int
    restored: bool
    index: PageIndex

    def find(self, key: Key, size: int) -> Stored | None: ...
    def read(self, runs: list[RunId]) -> list[Value]: ...
    def append(self, key: Key, size: int, start: int, value: bytes, generation: int) -> int: ...
    def lose(self, key: Key, piece: Piece, start: int) -> None: ...
    def drop(self, digest: bytes) -> None: ...
    def take_room(self, size: int) -> bool: ...
    def generation(self, digest: bytes) -> int: ...
    def is_disowned(self, digest: bytes) -> bool: ...


class RocksFile(StoredFile):
    """See the module's docstring, and StoredFile. Made by its store."""

    def __init__(self, store: Keeper, digest: bytes, size: int) -> None:
        self.digest = digest
        self.size = size
        self._store = store
        self._identity = identity_of(digest)
        self.page_bytes = store.page_bytes
        self._page_granules = store.page_bytes // SUM_BYTES

    @property
    def is_empty(self) -> bool:
        return not self._store.index.has_any(self.digest)

    def read_into(self, offset: int, buffer: memoryview) -> int:
        if self._store.is_disowned(self.digest):
            return 0
        length = max(0, min(len(buffer), self.size - offset))
        parts = list(self._parts(offset, length))
        values = self._store.read([self._run_of(part) for part in parts]) if parts else []
        done = 0
        for part, value in zip(parts, values):
            wanted = min(part.length * SUM_BYTES, length - done)
            if isinstance(value, bytes):
                first = part.key[1] * self._page_granules + part.start
                found = right_part(value, self._identity, first, part.skip, part.length)[:wanted]
                buffer[done : done + len(found)] = found
                done += len(found)
                if len(found) == wanted:
                    continue
            self._store.lose(part.key, part.piece, part.start)
            if isinstance(value, OSError) and not done:
                raise value
            break
        if done:
            self._store.index.touch(self.digest, self._pages(offset, done))
        return done

    def gap_end(self, offset: int, end: int) -> int:
        known: list[int] = []
        for page in self._pages(offset, end - offset):
            stored = self._store.find((self.digest, page), self.size)
            present = stored.present if stored is not None else 0
            first = page * self._page_granules
            last = min(self._page_granules, granules(end) - first)
            known += (present >> granule & 1 for granule in range(max(0, offset // SUM_BYTES - first), last))
        return gap_end(known, offset, end)

    def write(self, offset: int, data: memoryview, generation: int) -> None:
        """See StoredFile.write: what is not there yet."""
        for at, piece in self._by_page(offset, data):
            if not self._store.restored or not self._write_page(at, piece, generation):
                return

    def is_complete(self) -> bool:
        if self.size <= 0 or self._store.is_disowned(self.digest):
            return False
        for page in self._pages(0, self.size):
            stored = self._store.find((self.digest, page), self.size)
            first = page * self._page_granules
            count = min(self._page_granules, granules(self.size) - first)
            if stored is None or stored.present != all_of(count):
                return False
        return True

    def lend(self) -> int | None:
        """None: the bytes lie between others."""
        return None

    def take_back(self) -> None:
        raise AssertionError("nothing is lent")

    def drop(self) -> None:
        self._store.drop(self.digest)

    def retain(self) -> None:
        """See `release`: there is nothing to be closed."""

    def release(self) -> None:
        pass

    # ----------------------------------------------------------------------------------------------------- parts

    def _parts(self, offset: int, length: int) -> Iterator[_Part]:
        """Parts of runs that hold a range, up to the first granule that is missing."""
        at, end = offset // SUM_BYTES, granules(offset + length)
        while at < end:
            page, granule = divmod(at, self._page_granules)
            key = (self.digest, page)
            stored = self._store.find(key, self.size)
            piece = stored.piece_of(granule) if stored is not None else None
            if piece is None:
                return
            start = piece.run_of(granule)
            there = piece.granules_of(start) >> granule - start >> start
            count = min((~there & there + 1).bit_length() - 1, end - at)
            if not count:
                return
            yield _Part(key, piece, start, granule - start, count)
            at += count

    def _run_of(self, part: _Part) -> RunId:
        return part.piece.segment, self.digest, part.key[1] * self._page_granules + part.start

    def _write_page(self, offset: int, data: memoryview, generation: int) -> bool:
        """Stores bytes of one page; False when there is no room."""
        store, page, first = self._store, offset // self.page_bytes, offset // SUM_BYTES
        key = (self.digest, page)
        stored = store.find(key, self.size)
        origin = first - page * self._page_granules  # the granule where `data` begins
        present = stored.present if stored is not None else 0
        runs = list(missing_runs(present, origin, origin + granules(len(data))))
        if not runs:
            return True
        room = len(data) + granules(len(data)) * SUM + len(runs) * RUN_OVERHEAD_BYTES + PAGE_OVERHEAD_BYTES
        if not store.take_room(room):
            return False
        added = 0
        try:
            sums = memoryview(make_sums(data, self._identity, first))
            for start, count in runs:
                at = start - origin
                run = b"".join((sums[at * SUM : (at + count) * SUM], data[at * SUM_BYTES : (at + count) * SUM_BYTES]))
                added += store.append(key, self.size, start, run, generation)
        finally:
            store.index.give_room(room - added)
        return True
