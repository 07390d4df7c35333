"""One file of the LOCAL store: its bytes and its sums on disk. local.py has the layout and the order of writes.

Threads: `lock` is held to write, to evict and to look twice; reading takes no lock, because sums tell what a read that
met a writer or an evictor has got. Descriptors are closed when nobody holds the file, and not before.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from alluxio_jnifuse._core import SUM_BYTES, check_sums, crc64, make_sums, punch_hole
from alluxio_jnifuse.cache.store import StoredFile, granules, identity_of

if TYPE_CHECKING:
    from alluxio_jnifuse.cache.local import LocalStore

SUMS = ".sums"

# Magic and format; digest; bytes of the file; CRC-64 of what stands before. Padded to a multiple of the sums' 8 bytes.
_HEADER = struct.Struct("=8s16sQQ")
_HEADER_BYTES = 64
_MAGIC = b"AJFsums\1"
_SUM = 8

_NO_SUM = bytes(_SUM)
# What a page takes beside its bytes: its sums, and what a file system needs for one more run of blocks.
OVERHEAD_BYTES = 4096
# A file of up to this size is checked at once when it is to be lent: some ten milliseconds.
_PROVE_BYTES = 32 << 20
_PROVE_STEP_BYTES = 1 << 20


def name_of(digest: bytes) -> str:
    """Where the bytes of a file lie, beneath the directory of the store."""
    name = digest.hex()
    return f"{name[:2]}/{name}"


def allocated(stored: int) -> int:
    """What a page with so many bytes takes of the budget."""
    return granules(stored) * SUM_BYTES + OVERHEAD_BYTES if stored else 0


def read_header(fd: int, digest: bytes) -> int:
    """The size of the file that a file of sums belongs to; -1 when that is not the one of `digest`."""
    raw = os.pread(fd, _HEADER.size, 0)
    if len(raw) < _HEADER.size:
        return -1
    magic, named, size, crc = _HEADER.unpack(raw)
    good = magic == _MAGIC and named == digest and crc == crc64(raw[:-_SUM])
    return int(size) if good else -1


def stored_pages(fd: int, size: int, page_bytes: int) -> Iterator[tuple[int, int]]:
    """(number, bytes) of each page that a file of sums knows anything of."""
    for page in range((size + page_bytes - 1) // page_bytes):
        length = min(page_bytes, size - page * page_bytes)
        raw = os.pread(fd, granules(length) * _SUM, _sum_at(page * page_bytes))
        stored = sum(map(bool, memoryview(raw[: len(raw) // _SUM * _SUM]).cast("Q")))
        if stored:
            yield page, min(length, stored * SUM_BYTES)


def header_of(digest: bytes, size: int) -> bytes:
    """What a file of sums begins with."""
    head = _HEADER.pack(_MAGIC, digest, size, 0)[:-_SUM]
    return _HEADER.pack(_MAGIC, digest, size, crc64(head)).ljust(_HEADER_BYTES, b"\0")


def _sum_at(offset: int) -> int:
    """Where the sum of the granule at `offset` lies in a file of sums."""
    return _HEADER_BYTES + offset // SUM_BYTES * _SUM


def _read_sums(fd: int, offset: int, length: int) -> bytes:
    """The sums of `length` bytes; what the file of sums lacks is 0."""
    wanted = granules(length) * _SUM
    return os.pread(fd, wanted, _sum_at(offset)).ljust(wanted, b"\0")


def _first_missing(sums: bytes) -> int:
    """The number of the first sum that is 0; as many as there are when none is."""
    at = sums.find(_NO_SUM)
    while at >= 0 and at % _SUM:  # zeros of two neighbours
        at = sums.find(_NO_SUM, at + 1)
    return (len(sums) if at < 0 else at) // _SUM


class LocalFile(StoredFile):
    """See the module's docstring, and StoredFile. Made, held and released by its store."""

    def __init__(self, store: LocalStore, digest: bytes) -> None:
        self.digest = digest
        self.size = -1
        self.refs = 0  # the store's
        self.lent = 0  # descriptors that the kernel may have
        self._store = store
        self._identity = identity_of(digest)
        self._name = name_of(digest)
        self._lock = threading.Lock()
        self._loaded = False
        self._fds: tuple[int, int] | None = None  # bytes, sums; None: nothing is stored
        self._retired: list[int] = []  # of what was unlinked: a reader may be using them
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

    def release(self) -> None:
        self._store.release(self)

    def close(self) -> None:
        """Nobody holds it."""
        fds, self._fds = self._fds, None
        if self._used and fds:
            try:
                os.utime(fds[1])  # how recently it was used, for the next process
            except OSError:
                pass
        for fd in (*(fds or ()), *self._retired):
            os.close(fd)

    # --------------------------------------------------------------------------------------------------- reading

    def read_into(self, offset: int, buffer: memoryview) -> int:
        fds = self._fds
        if fds is None:
            return 0
        data, sums_fd = fds
        sums = _read_sums(sums_fd, offset, len(buffer))
        length = min(_first_missing(sums) * SUM_BYTES, len(buffer))
        if not length:
            return 0
        stamp = os.fstat(data).st_ctime_ns
        got = os.preadv(data, [buffer[:length]], offset)
        good = check_sums(buffer[:got], self._identity, offset // SUM_BYTES, memoryview(sums).cast("Q"))
        if good < length:
            good = good // SUM_BYTES * SUM_BYTES
            self._look_twice(offset + good)
        if good:
            self._used = True
            self._store.index.touch(self.digest, self._pages(offset, good))
            self._store.trust.add(self.digest, stamp, self._whole_pages(offset, good))
        return good

    def next_stored(self, offset: int, end: int) -> int:
        fds = self._fds
        if fds is None:
            return end
        sums = _read_sums(fds[1], offset, end - offset)
        missing = (len(sums) - len(sums.lstrip(b"\0"))) // _SUM
        return min(end, offset + missing * SUM_BYTES)

    def is_complete(self) -> bool:
        fds = self._fds
        if fds is None or self.size <= 0:
            return False
        return _first_missing(_read_sums(fds[1], 0, self.size)) == granules(self.size)

    def lend(self) -> int | None:
        with self._lock:
            if self._fds is None or not self.is_complete() or not self._is_trusted(*self._fds):
                return None
            fd = os.open(self._name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._store.fd)
            self.lent += 1
            self._used = True
        self._store.index.touch(self.digest, self._pages(0, self.size))
        return fd

    def take_back(self) -> None:
        with self._lock:
            self.lent -= 1

    def _look_twice(self, offset: int) -> None:
        """A granule did not agree with its sum: it was being written or evicted, or it goes now."""
        length = min(SUM_BYTES, self.size - offset)
        with self._lock:
            if self._fds is None:
                return
            data, sums_fd = self._fds
            sums = _read_sums(sums_fd, offset, length)
            if sums != _NO_SUM and not self._agrees(os.pread(data, length, offset), offset, length, sums):
                os.pwrite(sums_fd, _NO_SUM, _sum_at(offset))
                self._store.trust.remove(self.digest, offset // self._store.page_bytes)
                self._store.counts.corrupt += 1

    def _agrees(self, data: bytes | memoryview, offset: int, length: int, sums: bytes) -> bool:
        first = offset // SUM_BYTES
        return len(data) == length == check_sums(data, self._identity, first, memoryview(sums).cast("Q"))

    def _is_trusted(self, data: int, sums_fd: int) -> bool:
        """Whether the kernel may read it unchecked; checks a small file for that. Under the lock."""
        stamp, trust, n_pages = os.fstat(data).st_ctime_ns, self._store.trust, len(self._pages(0, self.size))
        if trust.count(self.digest, stamp) < n_pages and self.size <= _PROVE_BYTES:
            scratch = memoryview(bytearray(min(self.size, _PROVE_STEP_BYTES)))
            for at in range(0, self.size, len(scratch)):
                piece = scratch[: self.size - at]
                got = os.preadv(data, [piece], at)
                if not self._agrees(piece[:got], at, len(piece), _read_sums(sums_fd, at, len(piece))):
                    return False  # it is read the slow way, which finds and mends it
            trust.add(self.digest, stamp, range(n_pages))
        return trust.count(self.digest, stamp) == n_pages

    # --------------------------------------------------------------------------------------------------- writing

    def write(self, offset: int, data: memoryview) -> None:
        while data and self._store.restored:
            page_end = (offset // self._store.page_bytes + 1) * self._store.page_bytes
            piece = data[: page_end - offset]
            if not self._write_page(offset, piece):
                return
            offset, data = page_end, data[len(piece) :]

    def _write_page(self, offset: int, data: memoryview) -> bool:
        """Stores bytes of one page; False when there is no room."""
        store = self._store
        room = granules(len(data)) * SUM_BYTES + OVERHEAD_BYTES
        if not store.take_room(room):
            return False
        added = 0
        try:
            with self._lock:
                added = self._put(offset, data)
        finally:
            store.index.give_room(room - added)
        return True

    def evict(self, page: int) -> None:
        """Removes a page that the index has given up."""
        store, start = self._store, page * self._store.page_bytes
        with self._lock:
            if self._fds and start < self.size:
                length = min(store.page_bytes, self.size - start)
                if self.lent:  # since the index looked
                    store.index.found((self.digest, page), allocated(length))
                    return
                if store.punches and length < self.size:
                    self._clear(self._fds, page, start, length)
                else:
                    self._unlink(self._fds)
            store.index.remove((self.digest, page))  # what was written since the index gave it up

    def drop(self) -> None:
        with self._lock:
            if self._fds:
                self._unlink(self._fds)

    def _put(self, offset: int, data: memoryview) -> int:
        """Writes bytes of one page, then their sums; returns how many bytes of the budget were added."""
        fd, sums_fd = self._fds = self._fds or self._create()
        stamp, trust = os.fstat(fd).st_ctime_ns, self._store.trust
        before = _read_sums(sums_fd, offset, len(data))
        try:
            _write_all(fd, data, offset)
        except OSError:
            if not before.strip(b"\0"):
                punch_hole(fd, offset, len(data))  # what did get there, of a full disk
            raise
        _write_all(sums_fd, memoryview(make_sums(data, self._identity, offset // SUM_BYTES)), _sum_at(offset))
        after = os.fstat(fd).st_ctime_ns
        trust.changed(self.digest, stamp, after)
        trust.add(self.digest, after, self._whole_pages(offset, len(data)))
        new = sum(1 for known in memoryview(before).cast("Q") if not known) * SUM_BYTES
        return self._store.index.add((self.digest, offset // self._store.page_bytes), new, OVERHEAD_BYTES)

    def _open(self) -> None:
        """Opens a stored file; one that is of no use is removed."""
        directory, fds = self._store.fd, []
        try:
            fds.append(os.open(self._name + SUMS, os.O_RDWR | os.O_CLOEXEC, dir_fd=directory))
            fds.append(os.open(self._name, os.O_RDWR | os.O_CLOEXEC, dir_fd=directory))
            size = read_header(fds[0], self.digest)
            if size < 0 or os.fstat(fds[1]).st_size != size:
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
        self.size = size
        self._fds = (fds[1], fds[0])

    def _create(self) -> tuple[int, int]:
        directory, flags = self._store.fd, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fds = []
        try:
            try:
                fds.append(os.open(self._name, flags, 0o600, dir_fd=directory))
            except FileNotFoundError:
                _make_directory(self._name[:2], directory)
                fds.append(os.open(self._name, flags, 0o600, dir_fd=directory))
            os.ftruncate(fds[0], self.size)
            fds.append(os.open(self._name + SUMS, flags, 0o600, dir_fd=directory))
            _write_all(fds[1], memoryview(header_of(self.digest, self.size)), 0)
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
        self._store.trust.add(self.digest, os.fstat(fds[0]).st_ctime_ns, ())
        return fds[0], fds[1]

    def _clear(self, fds: tuple[int, int], page: int, offset: int, length: int) -> None:
        """Takes away a page of several."""
        data, sums_fd = fds
        stamp = os.fstat(data).st_ctime_ns
        _write_all(sums_fd, memoryview(bytes(granules(length) * _SUM)), _sum_at(offset))
        punch_hole(data, offset, length)
        status = os.fstat(data)
        self._store.trust.changed(self.digest, stamp, status.st_ctime_ns)
        self._store.trust.remove(self.digest, page)
        if status.st_blocks == 0:
            self._unlink(fds)

    def _unlink(self, fds: tuple[int, int]) -> None:
        """The whole file goes; who reads it now finds no sums."""
        self._fds = None
        self._retired += fds
        self._remove_names()
        os.ftruncate(fds[1], 0)
        if not self.lent:
            os.ftruncate(fds[0], 0)
        self._store.trust.forget(self.digest)
        for page in self._pages(0, self.size):
            self._store.index.remove((self.digest, page))

    def _remove_names(self) -> None:
        for name in (self._name + SUMS, self._name):
            try:
                os.unlink(name, dir_fd=self._store.fd)
            except FileNotFoundError:
                pass

    # ----------------------------------------------------------------------------------------------------- pages

    def _pages(self, offset: int, length: int) -> range:
        """Those that a range touches."""
        page_bytes = self._store.page_bytes
        return range(offset // page_bytes, (offset + length + page_bytes - 1) // page_bytes)

    def _whole_pages(self, offset: int, length: int) -> range:
        """Those that a range covers; the last one of the file is as long as the file goes."""
        page_bytes, end = self._store.page_bytes, offset + length
        first = (offset + page_bytes - 1) // page_bytes
        return range(first, (end + page_bytes - 1 if end == self.size else end) // page_bytes)


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        n = os.pwrite(fd, data[done:], offset + done)
        if n == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        done += n


def _make_directory(name: str, parent: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        pass
