"""The ROCKS store: pages in a RocksDB; for many small files, which it does not round up to blocks.

The database is a log (log.py): what comes is written once, and the oldest segment goes when the files have
reached their limit. Pages that the evictor keeps are copied into the newest segment before. Once that is filled with
such copies, the rest goes, whatever the evictor says. A sixth of the budget is room for what is gone and not dropped
yet. All that is put lies in memory until its segment is full: a process that is killed loses that.

On disk a page takes its bytes, 240 for each 64 KiB, and 68. Its place is known in memory only (pages.py), in some 600
bytes with what the index has; beside that there is the segment that is being written, a 64th of the budget and 64 MiB
at most, and what the database has (database.py). In which order pages came is kept across restarts, how recently they
were used is not.

Threads: `_lock` guards the log and is held to write, to evict and to flush. Reading takes no lock: what is known of a
page is never changed but replaced, and a run that is not where it should be is a miss.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time

from alluxio_jnifuse._wire import SUM_BYTES
from alluxio_jnifuse.cache.directory import CacheDirectory, unusable
from alluxio_jnifuse.cache.evictors import Evictor, Key
from alluxio_jnifuse.cache.pages import PageIndex, Victim
from alluxio_jnifuse.cache.rocks.catalogue import GONE_BYTES, PAGE_OVERHEAD_BYTES, decode, encode, taken
from alluxio_jnifuse.cache.rocks.database import library
from alluxio_jnifuse.cache.rocks.file import RocksFile
from alluxio_jnifuse.cache.rocks.log import Log, RunId, Value
from alluxio_jnifuse.cache.rocks.pages import Piece, Stored, all_of, count_of, ones
from alluxio_jnifuse.cache.rocks.run import RUN_OVERHEAD_BYTES, granules_in, is_right
from alluxio_jnifuse.cache.store import Store, identity_of
from alluxio_jnifuse.errors import MountError

log = logging.getLogger(__name__)

# Page sizes do not mix: catalogues count in pages.
FORMAT = "alluxio-jnifuse client cache, ROCKS 1, pages of {} bytes\n"
# With less, what is not pages would be more than a tenth.
LEAST_LIMIT_BYTES = 16 << 20
# How much of a segment copies of older ones may fill; so at worst four bytes are written for one that is new.
_COPIED = 0.75
_COPIED_AT_ONCE = 16  # runs, 1 MiB
_EXPIRE_AT_ONCE = 4096  # pages: a moment's work


class RocksStore(Store):
    """Keeps up to `limit` bytes in `parent`, evicting `page_bytes` at a time. Raises MountError."""

    def __init__(self, parent: str, limit: int, page_bytes: int, evictor: Evictor) -> None:
        super().__init__()
        library()
        if limit < LEAST_LIMIT_BYTES:
            raise MountError(
                f"the store ROCKS needs a budget of {LEAST_LIMIT_BYTES >> 20} MB",
                where=parent,
                remedy="set alluxio.user.client.cache.size, or the store to LOCAL",
            )
        self._directory = CacheDirectory(parent, "ROCKS", FORMAT.format(page_bytes))
        try:
            self._log = Log(os.path.join(self._directory.path, "db"), limit)
        except OSError as error:
            self._directory.close()
            raise unusable(parent, error) from error
        self.page_bytes = page_bytes
        self.index = PageIndex(self._log.pages_limit, evictor)
        self.restored = False
        self._lock = threading.Lock()  # guards what follows, but for reading `_pages`
        self._closing = False  # `restore`, which holds the lock for long, ends early
        self._closed = False
        self._pages: dict[Key, Stored] = {}
        self._gone: set[Key] = set()  # since the last catalogue

    def __str__(self) -> str:
        return self._directory.path

    def restore(self) -> None:
        pages: dict[Key, Stored] = {}
        with self._lock:
            for segment, raw in self._log.catalogues():
                if self._closing:
                    return
                self._recall(pages, segment, raw)
            for key, stored in pages.items():
                self.index.found(key, taken(stored, key[1], self.page_bytes), stored.born)
            self._pages = pages
            self._retire()
        self.counts.restored += len(pages)
        self._evict(self.index.excess())
        self.restored = True

    def hold(self, digest: bytes, size: int = -1) -> RocksFile:
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), self._directory.path)
        if size < 0:
            first = self._pages.get((digest, 0))
            size = first.size if first is not None else -1
        return RocksFile(self, digest, size)

    def give_space(self, size: int) -> None:
        """See Store.give_space. After a flush that failed the budget becomes smaller until the next mount."""
        self._evict(self.index.coldest(size))
        with self._lock:
            if self._log.failure is not None:
                self._reopen(size)
                self.index.limit = self._log.pages_limit
        self._evict(self.index.excess())

    def expire(self, age: float) -> bool:
        victims = self.index.older_than(age, _EXPIRE_AT_ONCE)
        self._evict(victims)
        return len(victims) == _EXPIRE_AT_ONCE

    def close(self) -> None:
        self._closing = True
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._seal()
            except OSError as error:
                log.warning("client cache %s: what came last is lost: %s", self, error.strerror)
            self._log.close()
            self._directory.close()

    # --------------------------------------------------------------------------------------- of files (RocksFile)

    def find(self, key: Key, size: int) -> Stored | None:
        """Returns the granules that are stored of a page of a file of `size` bytes."""
        stored = self._pages.get(key)
        return stored if stored is not None and stored.size == size else None

    def read(self, runs: list[RunId]) -> list[Value]:
        """See Log.get."""
        return self._log.get(runs)

    def take_room(self, size: int) -> bool:
        """Takes room of the budget for `size` bytes, evicting what must go; False when too little may."""
        victims = self.index.take_room(size)
        if victims is None:
            return False
        self._evict(victims)
        return True

    def append(self, key: Key, size: int, start: int, value: bytes, generation: int) -> int:
        """Stores a run of a page, from granule `start` of it on; returns how much of the budget it takes.

        Nothing, if any of it is there already, or the file was disowned since `generation`.
        """
        with self._lock:
            self._be_writable()
            if self._closing or generation != self.generation(key[0]) or self.is_disowned(key[0]):
                return 0
            if self._log.is_full:
                self._turn()
            mask = all_of(granules_in(value)) << start
            stored = self._pages.get(key)
            if stored is not None and stored.size != size:
                self._forget(key)
            elif stored is not None and stored.present & mask:
                return 0
            self._put(key, size, start, mask, value)
            return self.index.add(key, len(value) + RUN_OVERHEAD_BYTES, PAGE_OVERHEAD_BYTES)

    def lose(self, key: Key, piece: Piece, start: int) -> None:
        """A run is wrong or missing; it goes, unless it has been copied or evicted meanwhile."""
        with self._lock:
            stored = self._pages.get(key)
            if stored is None or all(other is not piece for other in stored.pieces):
                return
            self.counts.corrupt += count_of(piece.granules_of(start))
            self._replace(key, stored.without_run(piece, start))

    def drop(self, digest: bytes) -> None:
        """See StoredFile.drop; on disk when this returns."""
        with self._lock:
            found = [key for key in self._pages if key[0] == digest]
            for key in found:
                self._forget(key)
            if found:
                self._be_writable()
                self._turn()

    # -------------------------------------------------------------------------------- parts, mostly under the lock

    def _recall(self, pages: dict[Key, Stored], segment: int, raw: Value) -> None:
        """Adds what a catalogue says to what older ones said."""
        if raw is None:
            return
        try:
            gone, found = decode(segment, raw if isinstance(raw, bytes) else b"", self.page_bytes)
        except ValueError:
            # It may have said of anything older that it is gone.
            self.counts.discarded += 1
            pages.clear()
            return
        for key in gone:
            pages.pop(key, None)
        for key, new in found:
            stored = pages.get(key)
            if stored is None or stored.size != new.size:
                stored = new
            pages[key] = stored.with_piece(new.pieces[0])
            self._log.note(key, segment)

    def _evict(self, victims: list[Victim]) -> None:
        """Removes pages that the index has given up."""
        with self._lock:
            for victim in victims:
                self._forget(victim.key)

    def _be_writable(self) -> None:
        """Raises OSError when it is closed, or has failed a moment ago."""
        failure = self._log.failure
        if self._closed or (failure is not None and not self._log.may_retry):
            raise OSError(failure.errno if failure else errno.EBADF, failure.strerror if failure else "it is closed")
        if failure is not None:
            self._reopen(0)

    def _reopen(self, shrink: int) -> None:
        self._log.reopen(shrink)
        for key, stored in list(self._pages.items()):
            if not self._is_held(stored):
                self._forget(key)
        self._retire()

    def _is_held(self, stored: Stored) -> bool:
        return all(self._log.holds(piece.segment) for piece in stored.pieces)

    def _turn(self) -> None:
        """Has on disk what was put, and begins a segment."""
        self._seal()
        self._retire()

    def _seal(self) -> None:
        """Ends the segment, if there is anything in it."""
        pages = []
        for key in self._log.keys:
            stored = self._pages.get(key)
            piece = stored.piece_in(self._log.current) if stored is not None else None
            if stored is not None and piece is not None:
                pages.append((key, stored._replace(pieces=(piece,))))
        if not pages and not self._gone:
            return
        vanished = self._log.seal(encode(self._log.current, self._gone, pages, self.page_bytes))
        self._gone.clear()
        for key in vanished:
            stored = self._pages.get(key)
            if stored is not None and not self._is_held(stored):
                self._forget(key)

    def _retire(self) -> None:
        """Copies what is wanted of segments that go next into the one that begins; what does not fit goes."""
        while retired := self._log.retire():
            segment, keys = retired
            for key in keys:
                stored = self._pages.get(key)
                piece = stored.piece_in(segment) if stored is not None else None
                if stored is None or piece is None:
                    continue
                if not self._copy(key, stored.size, piece):
                    self._forget(key)

    def _copy(self, key: Key, size: int, piece: Piece) -> bool:
        """Copies what is right of a piece, the rest of it is lost; False when there is no room for all."""
        digest, page = key
        first = page * self.page_bytes // SUM_BYTES
        starts = [start for start in ones(piece.starts) if piece.granules_of(start)]
        for at in range(0, len(starts), _COPIED_AT_ONCE):
            batch = starts[at : at + _COPIED_AT_ONCE]
            values = self._log.get([(piece.segment, digest, first + start) for start in batch])
            for start, value in zip(batch, values):
                mask = piece.granules_of(start)
                if not isinstance(value, bytes) or not is_right(value, identity_of(digest), first + start):
                    self.counts.corrupt += count_of(mask)
                    continue
                if self._log.filled + len(value) > _COPIED * self._log.segment_bytes:
                    return False
                self._put(key, size, start, mask, value)
        left = self._pages[key]
        old = left.piece_in(piece.segment)
        if old is not None:
            self._replace(key, left.without_piece(old))
        return True

    def _put(self, key: Key, size: int, start: int, mask: int, value: bytes) -> None:
        digest, page = key
        self._log.put(digest, page * self.page_bytes // SUM_BYTES + start, value)
        stored = self._pages.get(key) or Stored(size, time.time(), ())
        if stored.piece_in(self._log.current) is None:
            self._log.begin_page(key, PAGE_OVERHEAD_BYTES)
        self._pages[key] = stored.with_piece(Piece(self._log.current, mask, 1 << start))

    def _replace(self, key: Key, stored: Stored) -> None:
        if stored.pieces:
            self._pages[key] = stored
        else:
            self._forget(key)

    def _forget(self, key: Key) -> None:
        self.index.remove(key)
        if self._pages.pop(key, None) is not None:
            self._gone.add(key)
            self._log.filled += GONE_BYTES
