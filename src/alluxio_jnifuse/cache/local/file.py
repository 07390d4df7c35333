"""One file of the LOCAL store: its bytes and its sums on disk. store.py has the layout and the order of writes.

Threads: `_lock` is held to write, to evict and to look twice; reading takes no lock, because sums tell what a read that
met a writer or an evictor has got. Descriptors are closed when nobody holds the file, and not before. A file that was
removed as a whole is *gone*: who holds it finds nothing any more and stores nothing; the next one to hold that digest
gets another object.

A file that was lent, which its header says, may be mapped by anybody for as long as he likes, also after the last close
and in the next process. No byte of it is taken away; it is evicted as a whole, by unlinking.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import TYPE_CHECKING, Protocol

from alluxio_jnifuse._core import punch_hole
from alluxio_jnifuse._wire import SUM_BYTES, check_sums, make_sums
from alluxio_jnifuse.cache.local.layout import OVERHEAD_BYTES, SUMS, make_directory, name_of
from alluxio_jnifuse.cache.local.sums import (
    NO_SUM,
    SUM,
    Header,
    first_missing,
    is_complete,
    pages_on_disk,
    read_header,
    read_sums,
    sum_at,
    write_all,
)
from alluxio_jnifuse.cache.store import Counts, StoredFile, gap_end, granules, identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alluxio_jnifuse.cache.local.trust import Trust
    from alluxio_jnifuse.cache.pages import PageIndex

# A file of up to this size is checked at once when it is to be lent: some ten milliseconds.
_PROVE_BYTES = 32 << 20
_PROVE_STEP_BYTES = 1 << 20

# How much of the budget may be lent at a time: what is lent cannot be evicted.
_LENT_SHARE = 0.75

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


class Keeper(Protocol):
    """The store, as its files see it."""

    fd: int  # of its directory
    page_bytes: int
    restored: bool
    punches: bool  # bytes in the middle of a file can be given back
    index: PageIndex
    trust: Trust
    counts: Counts

    def retain(self, file: LocalFile) -> None: ...
    def release(self, file: LocalFile) -> None: ...
    def forget(self, file: LocalFile) -> None: ...
    def take_room(self, size: int) -> bool: ...
    def generation(self, digest: bytes) -> int: ...
    def is_disowned(self, digest: bytes) -> bool: ...


class LocalFile(StoredFile):
    """See the module's docstring, and StoredFile. Made, held and released by its store."""

    def __init__(self, store: Keeper, digest: bytes) -> None:
        self.digest = digest
        self.size = -1
        self.page_bytes = store.page_bytes
        self.refs = 0  # the store's
        self._store = store
        self._identity = identity_of(digest)
        self._name = name_of(digest)
        self._lock = threading.Lock()
        self._loaded = False
        self._fds: tuple[int, int] | None = None  # bytes, sums; None: nothing is stored
        self._retired: tuple[int, ...] = ()  # of what is gone: a reader may be using them
        self._gone = False
        self._too_large = False  # for the file system
        self._lent = 0  # descriptors that the kernel may have
        self._ever_lent = False  # as the header says
        self._complete = False
        self._used = False

    def load(self, size: int) -> None:
        """Opens what is there, once. `size` as StoredFile.size."""
        with self._lock:
            if not self._loaded:
                self._open()
                self._loaded = True
            if self.size != size >= 0:
                if self._fds:
                    self._unlink(self._fds)
                self.size = size

    def retain(self) -> None:
        self._store.retain(self)

    def release(self) -> None:
        self._store.release(self)

    def close(self) -> None:
        """Nobody holds it, nor will."""
        fds, self._fds = self._fds, None
        if self._used and fds:
            try:
                os.utime(fds[1])  # how recently it was used, for the next process
            except OSError:
                pass
        for fd in (*(fds or ()), *self._retired):
            try:
                os.close(fd)
            except OSError:
                pass  # it is closed all the same

    # --------------------------------------------------------------------------------------------------- reading

    @property
    def is_empty(self) -> bool:
        return self._fds is None

    def read_into(self, offset: int, buffer: memoryview) -> int:
        fds = self._fds
        if fds is None or self._store.is_disowned(self.digest):
            return 0
        data, sums_fd = fds
        sums = read_sums(sums_fd, offset, len(buffer))
        length = min(first_missing(sums) * SUM_BYTES, len(buffer), self.size - offset)
        if length <= 0:
            return 0
        stamp = self._stamp(data)
        got = os.preadv(data, [buffer[:length]], offset)
        good = check_sums(buffer[:got], self._identity, offset // SUM_BYTES, memoryview(sums).cast("Q"))
        if good < length:
            good = good // SUM_BYTES * SUM_BYTES
            self._look_twice(offset + good)
        if good:
            self._used = True
            self._store.index.touch(self.digest, self._pages(offset, good))
            self._trust(data, stamp, offset, good)
        return good

    def gap_end(self, offset: int, end: int) -> int:
        fds = self._fds
        if fds is None:
            return end
        return gap_end(memoryview(read_sums(fds[1], offset, end - offset)).cast("Q"), offset, end)

    def is_complete(self) -> bool:
        fds = self._fds
        if fds is None or self.size <= 0 or self._store.is_disowned(self.digest):
            return False
        if not self._complete:
            self._complete = is_complete(fds[1], self.size)
        return self._complete

    def lend(self) -> int | None:
        with self._lock:
            if self._fds is None or not self.is_complete() or not self._is_trusted(*self._fds):
                return None
            pages = self._pages(0, self.size)
            if not self._lent and not self._store.index.shelve(self.digest, pages, _LENT_SHARE):
                return None
            fd = -1
            try:
                fd = os.open(self._name, os.O_RDONLY | _FLAGS, dir_fd=self._store.fd)
                if not self._ever_lent:  # before anybody maps it, whatever becomes of this process
                    Header(self.digest, self.size, lent=True).write(self._fds[1])
                    self._ever_lent = True
            except BaseException:
                if not self._lent:
                    self._store.index.unshelve(self.digest, pages)
                if fd >= 0:
                    os.close(fd)
                raise
            self._lent += 1
            self._used = True
        return fd

    def take_back(self) -> None:
        with self._lock:
            self._lent -= 1
            if not self._lent:
                self._store.index.unshelve(self.digest, self._pages(0, self.size))

    def _look_twice(self, offset: int) -> None:
        """A granule did not agree with its sum: it was being written or evicted, or it goes now."""
        length = min(SUM_BYTES, self.size - offset)
        with self._lock:
            if self._fds is None:
                return
            data, sums_fd = self._fds
            sums = read_sums(sums_fd, offset, length)
            if sums != NO_SUM and not self._agrees(os.pread(data, length, offset), offset, length, sums):
                self._complete = False
                self._store.trust.remove(self.digest, offset, length)
                self._store.counts.corrupt += 1
                os.pwrite(sums_fd, NO_SUM, sum_at(offset))

    def _agrees(self, data: bytes | memoryview, offset: int, length: int, sums: bytes) -> bool:
        first = offset // SUM_BYTES
        return len(data) == length == check_sums(data, self._identity, first, memoryview(sums).cast("Q"))

    # ----------------------------------------------------------------------------------------------------- trust

    @staticmethod
    def _stamp(data: int) -> int:
        return os.fstat(data).st_ctime_ns

    def _trust(self, data: int, stamp: int, offset: int, length: int) -> None:
        """A range was found right in a file that was last changed at `stamp`. Small files are checked when lent."""
        if self.size > _PROVE_BYTES and self._stamp(data) == stamp:
            self._store.trust.add(self.digest, stamp, self.size, offset, length)

    def _is_trusted(self, data: int, sums_fd: int) -> bool:
        """Whether the kernel may read it unchecked; checks a small file for that. Under the lock."""
        stamp, trust = self._stamp(data), self._store.trust
        if trust.has_all(self.digest, stamp):
            return True
        if self.size > _PROVE_BYTES:
            return False
        scratch = memoryview(bytearray(min(self.size, _PROVE_STEP_BYTES)))
        for at in range(0, self.size, len(scratch)):
            piece = scratch[: self.size - at]
            got = os.preadv(data, [piece], at)
            if not self._agrees(piece[:got], at, len(piece), read_sums(sums_fd, at, len(piece))):
                return False  # it is read the slow way, which finds and mends it
        trust.add(self.digest, stamp, self.size, 0, self.size)
        return True

    # --------------------------------------------------------------------------------------------------- writing

    def write(self, offset: int, data: memoryview, generation: int) -> None:
        for at, piece in self._by_page(offset, data):
            if not self._store.restored or self._gone or self._too_large:
                return
            if not self._write_page(at, piece, generation):
                return

    def _write_page(self, offset: int, data: memoryview, generation: int) -> bool:
        """Stores bytes of one page; False when there is no room, or they are not wanted."""
        store = self._store
        room = granules(len(data)) * SUM_BYTES + OVERHEAD_BYTES
        if not store.take_room(room):
            return False
        added = 0
        try:
            with self._lock:
                wanted = not self._gone and generation == store.generation(self.digest)
                if wanted and not store.is_disowned(self.digest):
                    added = self._put(offset, data)
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            self._too_large = True  # this one is not stored; the disk works
            return False
        finally:
            store.index.give_room(room - added)
        return wanted

    def evict(self, page: int, size: int) -> None:
        """Removes a page that the index has given up; `size`: what it takes."""
        store, start = self._store, page * self.page_bytes
        key = (self.digest, page)
        with self._lock:
            if self._fds and start < self.size:
                length = min(self.page_bytes, self.size - start)
                if self._lent:  # since the index chose
                    store.index.found(key, size, time.time())
                    store.index.shelve(self.digest, (page,))
                    return
                if store.punches and length < self.size and not self._ever_lent:
                    self._clear(self._fds, start, length)
                    store.index.remove(key)  # what was written since the index gave it up
                    if not store.index.has_any(self.digest):
                        self._unlink(self._fds)
                else:
                    self._unlink(self._fds)
            store.index.remove(key)

    def drop(self) -> None:
        with self._lock:
            if self._fds:
                self._unlink(self._fds)
            elif not self._gone:
                self._remove_names()  # one of the two may be left of a removal that was cut short

    def pages_on_disk(self) -> Iterator[int]:
        """Those in which the disk has anything, be it known or not."""
        fds = self._fds
        return pages_on_disk(fds[0], self.size, self.page_bytes) if fds else iter(())

    def _put(self, offset: int, data: memoryview) -> int:
        """Writes bytes of one page, then their sums; returns how many bytes of the budget were added."""
        fd, sums_fd = self._fds = self._fds or self._create()
        stamp = self._stamp(fd)
        before = read_sums(sums_fd, offset, len(data))
        try:
            write_all(fd, data, offset)
            write_all(sums_fd, memoryview(make_sums(data, self._identity, offset // SUM_BYTES)), sum_at(offset))
        except OSError:
            if not before.strip(b"\0"):  # what did get there, of a full disk, is counted by nobody
                _punch(sums_fd, sum_at(offset), len(before))
                _punch(fd, offset, len(data))
            raise
        after = self._stamp(fd)
        if self.size > _PROVE_BYTES:
            self._store.trust.changed(self.digest, stamp, after)
            self._store.trust.add(self.digest, after, self.size, offset, len(data))
        new = sum(1 for known in memoryview(before).cast("Q") if not known) * SUM_BYTES
        return self._store.index.add((self.digest, offset // self.page_bytes), new, OVERHEAD_BYTES)

    def _open(self) -> None:
        """Opens a stored file; one that is of no use is removed."""
        directory, fds = self._store.fd, []
        try:
            fds.append(os.open(self._name + SUMS, os.O_RDWR | _FLAGS, dir_fd=directory))
            fds.append(os.open(self._name, os.O_RDWR | _FLAGS, dir_fd=directory))
            header = read_header(fds[0], self.digest)
            if header is None or os.fstat(fds[1]).st_size != header.size:
                raise FileNotFoundError
        except OSError as error:
            for fd in fds:
                os.close(fd)
            if not isinstance(error, FileNotFoundError):
                raise
            if fds:
                self._store.counts.discarded += 1
                self._remove_names()
            return
        self.size, self._ever_lent = header.size, header.lent
        self._fds = (fds[1], fds[0])

    def _create(self) -> tuple[int, int]:
        directory, flags = self._store.fd, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS
        fds = []
        try:
            self._remove_names()  # what is left of a start that failed
            try:
                fds.append(os.open(self._name, flags, 0o600, dir_fd=directory))
            except FileNotFoundError:
                make_directory(self._name[:2], directory)
                fds.append(os.open(self._name, flags, 0o600, dir_fd=directory))
            os.ftruncate(fds[0], self.size)
            fds.append(os.open(self._name + SUMS, flags, 0o600, dir_fd=directory))
            Header(self.digest, self.size, lent=False).write(fds[1])
        except BaseException:
            for fd in fds:
                os.close(fd)
            if fds:
                self._remove_names()
            raise
        return fds[0], fds[1]

    def _clear(self, fds: tuple[int, int], offset: int, length: int) -> None:
        """Takes away a page of several."""
        data, sums_fd = fds
        self._complete = False
        stamp = self._stamp(data)
        write_all(sums_fd, memoryview(bytes(granules(length) * SUM)), sum_at(offset))
        punch_hole(data, offset, length)
        self._store.trust.changed(self.digest, stamp, self._stamp(data))
        self._store.trust.remove(self.digest, offset, length)

    def _unlink(self, fds: tuple[int, int]) -> None:
        """The whole file goes; who reads it now finds no sums."""
        self._remove_names()
        self._fds, self._retired, self._gone = None, fds, True
        self._complete = False
        self._store.forget(self)
        self._store.trust.forget(self.digest)
        self._store.index.forget(self.digest, self._pages(0, self.size))
        if not self._ever_lent:
            for fd in reversed(fds):
                os.ftruncate(fd, 0)

    def _remove_names(self) -> None:
        for name in (self._name + SUMS, self._name):
            try:
                os.unlink(name, dir_fd=self._store.fd)
            except FileNotFoundError:
                pass


def _punch(fd: int, offset: int, length: int) -> None:
    try:
        punch_hole(fd, offset, length)
    except OSError:
        pass
