"""The LOCAL store: each cached file is a sparse file of the same size, with a file of sums beside it.

```
 <directory>/ab/ab12…ef        the bytes, each at its own offset: when all are there the kernel may read it itself
 <directory>/ab/ab12…ef.sums   a header of 64 bytes, then 8 bytes for each 4 KiB; 0: not there
```

Bytes are written before their sums, and sums are cleared before bytes are given back, so a process that is killed at
any moment leaves sums of bytes that are there. What the machine loses when it stops is found by the sums.

Complete files are lent to the kernel, which checks nothing: when every page was written or checked by this process, and
nobody has changed the file since (trust.py).

Threads: `_evicting` is held while room is made, outside of any file's lock. `_lock` guards the table of held files; it
is the innermost lock but for the index's.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
import threading
from collections.abc import Iterator

from alluxio_jnifuse._core import SUM_BYTES, punch_hole
from alluxio_jnifuse.cache.directory import CacheDirectory
from alluxio_jnifuse.cache.evictors import Evictor, Key
from alluxio_jnifuse.cache.local_file import SUMS, LocalFile, allocated, name_of, read_header, stored_pages
from alluxio_jnifuse.cache.pages import PageIndex
from alluxio_jnifuse.cache.store import Figures, Store
from alluxio_jnifuse.cache.trust import Trust

FORMAT = "alluxio-jnifuse client cache, LOCAL 1\n"
_BUCKET = re.compile(r"[0-9a-f]{2}")
_NAME = re.compile(r"[0-9a-f]{32}")


class LocalStore(Store):
    """Keeps up to `limit` bytes in `parent`, evicting `page_bytes` at a time. Raises MountError."""

    def __init__(self, parent: str, limit: int, page_bytes: int, evictor: Evictor) -> None:
        super().__init__()
        self._directory = CacheDirectory(parent, "LOCAL", FORMAT)
        self.fd = self._directory.fd
        self.page_bytes = page_bytes
        self.index = PageIndex(limit, evictor)
        self.restored = False
        self.punches = _can_punch(self._directory.path)
        self.trust = Trust()
        self._evicting = threading.Lock()
        self._lock = threading.Lock()
        self._held: dict[bytes, LocalFile] = {}

    def __str__(self) -> str:
        return self._directory.path

    def restore(self) -> None:
        found = []
        for digest in self._names():
            try:
                found.append((self._age_of(digest), digest))
            except OSError:
                self._discard(digest)
        for _, digest in sorted(found):
            try:
                self._restore_one(digest)
            except OSError:
                self._discard(digest)
        self.evict(self.index.excess(self.may_go))
        self.restored = True

    def hold(self, digest: bytes, size: int = -1) -> LocalFile:
        with self._lock:
            file = self._held.get(digest)
            if file is None:
                file = self._held[digest] = LocalFile(self, digest)
            file.refs += 1
        try:
            file.load(size)
        except BaseException:
            self.release(file)
            raise
        return file

    def release(self, file: LocalFile) -> None:
        """As StoredFile.release."""
        with self._lock:
            file.refs -= 1
            if file.refs:
                return
            del self._held[file.digest]
            # Under the lock: whoever holds the same file next must find what this one leaves.
            file.close()

    def may_go(self, key: Key) -> bool:
        """Whether evicting a page gives anything back: not of a file that the kernel has open."""
        file = self._held.get(key[0])
        return file is None or not file.lent

    def take_room(self, size: int) -> bool:
        """Takes room of the budget for `size` bytes, evicting what must go; False when too little may."""
        with self._evicting:  # or the room would be used by one while another is still clearing it
            victims = self.index.take_room(size, self.may_go)
            if victims is None:
                return False
            try:
                self.evict(victims)
            except BaseException:
                self.index.give_room(size)
                raise
            return True

    def evict(self, victims: list[Key]) -> None:
        """Removes pages that the index has given up. Holds the lock of one file after the other."""
        for digest, page in victims:
            file = self.hold(digest)
            try:
                file.evict(page)
            finally:
                file.release()

    def give_space(self, size: int) -> None:
        self.evict(self.index.coldest(size, self.may_go))

    def keep_births(self) -> None:
        self.index.keep_births()

    def expire(self, age: float) -> None:
        self.evict([key for key in self.index.older_than(age) if self.may_go(key)])

    def figures(self) -> Figures:
        return Figures(len(self.index), self.index.used, self.index.limit, self.index.evicted)

    def close(self) -> None:
        self.fd = -1
        self._directory.close()

    # -------------------------------------------------------------------------------------------- at the start

    def _names(self) -> Iterator[bytes]:
        """Digests of everything that is there."""
        for bucket in os.listdir(self.fd):
            if not _BUCKET.fullmatch(bucket):
                continue
            for name in {name.partition(".")[0] for name in os.listdir(os.path.join(self._directory.path, bucket))}:
                if _NAME.fullmatch(name) and name.startswith(bucket):
                    yield bytes.fromhex(name)

    def _age_of(self, digest: bytes) -> int:
        return os.stat(name_of(digest) + SUMS, dir_fd=self.fd).st_mtime_ns

    def _restore_one(self, digest: bytes) -> None:
        """Puts the pages of a file into the index. Raises OSError when the file is of no use."""
        name = name_of(digest)
        size = os.stat(name, dir_fd=self.fd).st_size
        fd = os.open(name + SUMS, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            if read_header(fd, digest) != size:
                raise OSError(errno.EINVAL, "not a header", name)
            pages = dict(stored_pages(fd, size, self.page_bytes))
        finally:
            os.close(fd)
        if not pages:
            raise OSError(errno.ENODATA, "nothing stored", name)
        for page, stored in pages.items():
            self.index.found((digest, page), allocated(stored))
        self.counts.restored += len(pages)

    def _discard(self, digest: bytes) -> None:
        self.counts.discarded += 1
        for name in (name_of(digest), name_of(digest) + SUMS):
            try:
                os.unlink(name, dir_fd=self.fd)
            except OSError:
                pass


def _can_punch(directory: str) -> bool:
    """Whether bytes in the middle of a file can be given back there: not in a ramfs."""
    with tempfile.TemporaryFile(dir=directory) as file:
        file.truncate(SUM_BYTES)
        try:
            punch_hole(file.fileno(), 0, SUM_BYTES)
        except OSError:
            return False
        return True
