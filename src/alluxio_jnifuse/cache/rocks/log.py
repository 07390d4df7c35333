"""The ROCKS store on disk: a log of segments, of which the oldest goes when a new one comes.

A segment is what is put between two flushes, and becomes one file of the database. Its number begins its keys, so the
files have ranges of their own, and a value is looked for in one of them. Numbers are big-endian.

```
 segment, digest, granule       a run (run.py)
 segment, 25 bytes of 255       the catalogue (catalogue.py), put last: a segment is there as a whole or not
```

Nothing is deleted. A run that is gone, or lies in a newer segment too, goes with its segment; a run that is still
wanted is copied into the newest segment before (store.py).

Threads: `get` any; the rest is called under the lock of the store.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
import time
from collections.abc import Callable, Iterator

from alluxio_jnifuse.cache.directory import remove
from alluxio_jnifuse.cache.evictors import Key
from alluxio_jnifuse.cache.rocks.database import FILES_BESIDE_BYTES, Database
from alluxio_jnifuse.cache.rocks.run import RUN_BYTES, RUN_OVERHEAD_BYTES

log = logging.getLogger(__name__)

# So many segments are a budget: one of them lies in memory, is lost when the process is killed, and is room that is
# kept free on the disk. Each is a flush, some 10 ms, and an open file; 3,000 take 0.1 ms to look into. So there
# is a least, for small budgets; and a most, for the sake of memory.
_SEGMENTS = 64
_LEAST_BYTES, _MOST_BYTES = 256 << 10, 64 << 20
# After a flush that failed the database has to be opened again, which is not tried with every page.
_RETRY_S = 30.0

_NUMBER = struct.Struct(">Q")
_RUN = struct.Struct(">Q16sQ")

# Numbers above are none of ours: there would be none left to count on.
_NUMBER_MAX = 1 << 63
# The words of RocksDB when it cannot open files that have nothing wrong about them.
_NOT_DAMAGED = tuple(map(os.strerror, (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOLCK, errno.EAGAIN)))

# Behind all runs: the first key would share a block with the first run, and be lost with it.
_LAST = b"\xff" * 25

RunId = tuple[int, bytes, int]  # segment, digest, granule of the file
Value = bytes | OSError | None


class _Segment:
    """One that is on disk. `keys`: pages that have or had a piece in it."""

    def __init__(self, size: int) -> None:
        self.size = size  # bytes
        self.keys: list[Key] = []


class Log:
    """In the directory `path`, of `limit` bytes with everything. Raises OSError; what is damaged is emptied instead."""

    def __init__(self, path: str, limit: int) -> None:
        self.current = 1  # the number of the segment that is written
        self.keys: list[Key] = []  # of pages with a piece in it
        self.filled = 0  # bytes of it
        self._path = path
        self._limit = limit
        self._segments: dict[int, _Segment] = {}  # on disk, the oldest first
        self._retired = 0  # the newest one that is of no interest any more
        self.failure: OSError | None = None  # of the last flush: nothing can be written before `reopen`
        self._failed_at = 0.0  # monotonic, s
        self._database: Database | None = None
        try:
            self._open()
        except OSError as error:
            if not os.path.lexists(path) or any(words in str(error.strerror) for words in _NOT_DAMAGED):
                raise
            log.warning("%s: damaged (%s), emptied", path, error.strerror)
            remove(path)
            self._open()

    @property
    def segment_bytes(self) -> int:
        """Returns the bytes of a full segment."""
        return max(_LEAST_BYTES, min(self._limit // _SEGMENTS, _MOST_BYTES))

    @property
    def pages_limit(self) -> int:
        """Returns the bytes that pages may take: less than files, by as much as Alluxio takes off for this store.

        The rest is what is gone and not dropped yet. The less of that there is, the more must be copied: for pages that
        go in no order some 2.5 bytes for each one written.
        """
        return self._files_limit * 10 // 12

    @property
    def is_full(self) -> bool:
        """Whether it is time to `seal`."""
        return self.filled >= self.segment_bytes

    @property
    def may_retry(self) -> bool:
        """After a failure: whether it is time to `reopen`."""
        return time.monotonic() >= self._failed_at + _RETRY_S

    def get(self, runs: list[RunId]) -> list[Value]:
        """The values of runs; OSError for one that cannot be read, None for one that is not there."""
        keys = [_RUN.pack(*run) for run in runs]
        database = self._opened()
        try:
            return [*database.get(keys)]
        except OSError:
            return [_get_one(database, key) for key in keys]

    def put(self, digest: bytes, granule: int, value: bytes) -> None:
        """A run of the current segment."""
        self._try(lambda database: database.put(_RUN.pack(self.current, digest, granule), value))
        self.filled += len(value) + RUN_OVERHEAD_BYTES

    def seal(self, catalogue: bytes) -> list[Key]:
        """Ends the segment, and has it on disk. Returns pages that the database has dropped, in whole or in part."""
        self._try(lambda database: database.put(_NUMBER.pack(self.current) + _LAST, catalogue))
        self._try(lambda database: database.flush())
        vanished = self._learn(self._opened())
        if self.current in self._segments:
            self._segments[self.current].keys = self.keys
        self._begin()
        return vanished

    def retire(self) -> tuple[int, list[Key]] | None:
        """The oldest segment and its pages, if the database drops it with the next flush."""
        if not self._segments or self._used() + self._largest_file <= self._files_limit:
            return None
        self._retired = next(iter(self._segments))
        return self._retired, self._segments.pop(self._retired).keys

    def holds(self, number: int) -> bool:
        """Whether a segment is there, retired ones left out."""
        return number == self.current or number in self._segments

    def note(self, key: Key, number: int) -> None:
        """A segment that was found at the start has a piece of a page."""
        self._segments[number].keys.append(key)

    def begin_page(self, key: Key, catalogued: int) -> None:
        """The current segment has a piece of a page, and so many bytes more in its catalogue."""
        self.keys.append(key)
        self.filled += catalogued

    def catalogues(self) -> Iterator[tuple[int, Value]]:
        """Of all segments, the oldest first; None for one that was never sealed."""
        database = self._opened()
        for number in self._segments:
            yield number, _get_one(database, _NUMBER.pack(number) + _LAST)

    def reopen(self, shrink: int) -> None:
        """Opens the database after a failure. Runs that were not flushed are lost.

        `shrink`: bytes that must be given back, or 0. Old segments are lost for that, and the limit is lower then.
        """
        number, keys = self.current, self.keys
        self.close()
        self._failed_at = time.monotonic()
        self._begin()
        if shrink:
            self._limit = max(_LEAST_BYTES * 16, self._used() - shrink)
        _wait_for_disk(self._path)
        self._open()
        self.failure = None
        if number in self._segments:  # closing has flushed it after all
            self._segments[number].keys = keys

    def close(self) -> None:
        """Runs that were not sealed are lost."""
        if self._database is not None:
            self._database.close()
            self._database = None

    # ------------------------------------------------------------------------------------------------------ parts

    @property
    def _largest_file(self) -> int:
        """Returns the most bytes of the file of a segment: one run more than enough, and some for the unforeseen."""
        return self.segment_bytes + self.segment_bytes // 8 + RUN_BYTES

    @property
    def _files_limit(self) -> int:
        """Returns the bytes that the database keeps: a new file comes before the oldest one goes."""
        return self._limit - FILES_BESIDE_BYTES - self._largest_file

    def _opened(self) -> Database:
        database = self._database
        if database is None:
            raise OSError(errno.EIO, "the database is closed", self._path)
        return database

    def _used(self) -> int:
        return sum(segment.size for segment in self._segments.values())

    def _try(self, write: Callable[[Database], None]) -> None:
        try:
            write(self._opened())
        except OSError as error:
            self.failure = error
            self._failed_at = time.monotonic()
            raise

    def _open(self) -> None:
        database = Database(self._path, self._files_limit, self._largest_file)
        try:
            self._learn(database)
        except BaseException:
            database.close()
            raise
        self.current = max([self.current, *(number + 1 for number in self._segments)])
        while self._used() > self._files_limit:  # which is lower than it was; the database drops the same
            self._retired = next(iter(self._segments))
            del self._segments[self._retired]
        self._database = database

    def _begin(self) -> None:
        """The next segment."""
        self.current += 1
        self.keys = []
        self.filled = 0

    def _learn(self, database: Database) -> list[Key]:
        """Finds out which segments there are. Returns the pages of those that are gone. Raises OSError for others."""
        sizes: dict[int, int] = {}
        for key, size in database.files():
            number = int.from_bytes(key[: _NUMBER.size], "big")
            if len(key) not in (_RUN.size, _NUMBER.size + len(_LAST)) or number > _NUMBER_MAX:
                raise OSError(errno.EIO, "not the files of a client cache", self._path)
            sizes[number] = sizes.get(number, 0) + size
        vanished = []
        for number in [number for number in self._segments if number not in sizes]:
            vanished += self._segments.pop(number).keys
        for number in sorted(sizes):
            if number > self._retired and number not in self._segments:
                self._segments[number] = _Segment(sizes[number])
        return vanished


def _wait_for_disk(path: str) -> None:
    """Has the disk write a byte: when it hangs, this does, and holds no lock of the interpreter, as opening would."""
    probe = f"{path}.probe"
    try:
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
            os.unlink(probe)
    except OSError:
        pass  # opening finds out, and says more of it


def _get_one(database: Database, key: bytes) -> Value:
    try:
        return database.get([key])[0]
    except OSError as error:
        return error
