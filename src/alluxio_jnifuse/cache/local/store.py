"""The LOCAL store: each cached file is a sparse file of the same size, with a file of sums beside it.

```
 <directory>/ab/ab12…ef        the bytes, each at its own offset: when all are there the kernel may read it itself
 <directory>/ab/ab12…ef.sums   which of them are there, and their sums (sums.py)
```

Bytes are written before their sums, and sums are cleared before bytes are given back, so a process that is killed at
any moment leaves sums of bytes that are there. The sums find the bytes that the machine loses when it stops.

Complete files are lent to the kernel, which checks nothing: when all of it was written or checked by this process, and
nobody has changed the file since (trust.py). At most three quarters of the budget are lent at a time.

Threads: `_evicting` is held while room is made, outside of any file's lock. `_lock` guards the table of files; it is
the innermost lock but for the index's, and nothing is asked of the disk under it.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator

from alluxio_jnifuse._core import punch_hole
from alluxio_jnifuse._wire import SUM_BYTES
from alluxio_jnifuse.cache.directory import CacheDirectory, unusable
from alluxio_jnifuse.cache.evictors import Evictor
from alluxio_jnifuse.cache.local.file import LocalFile
from alluxio_jnifuse.cache.local.layout import SUMS, allocated, name_of
from alluxio_jnifuse.cache.local.sums import read_header, stored_pages
from alluxio_jnifuse.cache.local.trust import Trust
from alluxio_jnifuse.cache.pages import PageIndex, Victim
from alluxio_jnifuse.cache.store import Store
from alluxio_jnifuse.mounts import stacking

FORMAT = "alluxio-jnifuse client cache, LOCAL 1\n"
_BUCKET = re.compile(r"[0-9a-f]{2}")
_NAME = re.compile(r"[0-9a-f]{32}")
_IDLE_FILES = 256  # kept open for the next caller: opening costs as much as reading a small file
_EXPIRE_AT_ONCE = 256  # pages: a moment's work


class LocalStore(Store):
    """Keeps up to `limit` bytes in `parent`, evicting `page_bytes` at a time. Raises MountError."""

    def __init__(self, parent: str, limit: int, page_bytes: int, evictor: Evictor) -> None:
        super().__init__()
        self._directory = CacheDirectory(parent, "LOCAL", FORMAT)
        self.fd = self._directory.fd
        try:
            self.stack_depth = stacking.depth_over(self.fd)
            self.punches = _can_punch(self._directory.path)
        except OSError as error:
            self._directory.close()
            raise unusable(parent, error) from error
        self.page_bytes = page_bytes
        self.index = PageIndex(limit, evictor)
        self.restored = False
        self.trust = Trust()
        self._evicting = threading.Lock()
        self._lock = threading.Lock()
        self._files: dict[bytes, LocalFile] = {}
        self._idle: OrderedDict[bytes, LocalFile] = OrderedDict()  # of these, what nobody holds

    def __str__(self) -> str:
        return self._directory.path

    @property
    def held(self) -> int:
        """How many files somebody holds."""
        with self._lock:
            return len(self._files) - len(self._idle)

    # ------------------------------------------------------------------------------------------------------- files

    def hold(self, digest: bytes, size: int = -1) -> LocalFile:
        with self._lock:
            file = self._files.get(digest)
            if file is None:
                file = self._files[digest] = LocalFile(self, digest)
            self._idle.pop(digest, None)
            file.refs += 1
        try:
            file.load(size)
        except BaseException:
            self.release(file)
            raise
        return file

    def retain(self, file: LocalFile) -> None:
        """See StoredFile.retain."""
        with self._lock:
            file.refs += 1

    def release(self, file: LocalFile) -> None:
        """See StoredFile.release."""
        over: LocalFile | None = file
        with self._lock:
            file.refs -= 1
            if file.refs:
                return
            if self._files.get(file.digest) is file:
                if file.is_empty:
                    del self._files[file.digest]
                else:
                    self._idle[file.digest] = file
                    over = self._idle.popitem(last=False)[1] if len(self._idle) > _IDLE_FILES else None
                    if over is not None:
                        del self._files[over.digest]
        if over is not None:
            over.close()

    def forget(self, file: LocalFile) -> None:
        """It is gone: the next holder of its digest gets another one."""
        with self._lock:
            if self._files.get(file.digest) is file:
                del self._files[file.digest]
                self._idle.pop(file.digest, None)

    # ------------------------------------------------------------------------------------------------------ budget

    def take_room(self, size: int) -> bool:
        """Takes room of the budget for `size` bytes, evicting what must go; False when too little may."""
        with self._evicting:  # or the room would be used by one while another is still clearing it
            victims = self.index.take_room(size)
            if victims is None:
                return False
            try:
                self._evict(victims)
            except BaseException:
                self.index.give_room(size)
                raise
            return True

    def give_space(self, size: int) -> None:
        with self._evicting:
            self._evict(self.index.coldest(size))

    def expire(self, age: float) -> bool:
        with self._evicting:
            victims = self.index.older_than(age, _EXPIRE_AT_ONCE)
            self._evict(victims)
        return len(victims) == _EXPIRE_AT_ONCE

    def close(self) -> None:
        self.fd = -1
        with self._lock:
            idle = list(self._idle.values())
            self._idle.clear()
            for file in idle:
                del self._files[file.digest]
        for file in idle:
            file.close()
        self._directory.close()

    def _evict(self, victims: list[Victim]) -> None:
        """Removes pages that the index has given up; puts back those that cannot be removed."""
        failure: OSError | None = None
        for victim in victims:
            digest, page = victim.key
            try:
                file = self.hold(digest)
                try:
                    file.evict(page, victim.size)
                finally:
                    self.release(file)
            except OSError as error:
                self.index.found(victim.key, victim.size, time.time())
                failure = failure or error
        if failure is not None:
            raise failure

    # -------------------------------------------------------------------------------------------- at the start

    def restore(self) -> None:
        try:
            found = []
            for digest in self._digests():
                try:
                    found.append((os.stat(name_of(digest) + SUMS, dir_fd=self.fd).st_mtime_ns, digest))
                except FileNotFoundError:
                    self._discard(digest)
            for _, digest in sorted(found):
                try:
                    self._restore_one(digest)
                except OSError:
                    continue  # this one is not counted; who opens it is told
            with self._evicting:
                self._evict(self.index.excess())
        finally:
            self.restored = True

    def _digests(self) -> Iterator[bytes]:
        """Those of everything that is there."""
        for bucket in os.listdir(self.fd):
            if not _BUCKET.fullmatch(bucket):
                continue
            try:
                fd = os.open(bucket, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
            except OSError:
                continue  # it is none of ours
            try:
                names = {name.partition(".")[0] for name in os.listdir(fd)}
            finally:
                os.close(fd)
            for name in names:
                if _NAME.fullmatch(name) and name.startswith(bucket):
                    yield bytes.fromhex(name)

    def _restore_one(self, digest: bytes) -> None:
        """Puts the pages of a file into the index; one that is of no use is removed."""
        name = name_of(digest)
        fd = os.open(name + SUMS, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self.fd)
        try:
            header = read_header(fd, digest)
            status = _stat(name, self.fd)
            if header is None or status is None or status.st_size != header.size:
                self._discard(digest)
                return
            pages = dict(stored_pages(fd, header.size, self.page_bytes))
        finally:
            os.close(fd)
        if not any(pages.values()):
            self._discard(digest)
            return
        for page, stored in pages.items():
            if stored:
                self.index.found((digest, page), allocated(stored), status.st_mtime)
                self.counts.restored += 1
        # After that: a file of which the index knows no page would be removed with the first page that is cleared.
        if status.st_blocks * 512 > sum(map(allocated, pages.values())) and not header.lent:
            self._clear_unknown(digest, {page for page, stored in pages.items() if stored})

    def _clear_unknown(self, digest: bytes, known: set[int]) -> None:
        """Gives back what was written, but not summed any more, before a process was killed."""
        file = self.hold(digest)
        try:
            for page in file.pages_on_disk():
                if page not in known:
                    file.evict(page, 0)
        finally:
            self.release(file)

    def _discard(self, digest: bytes) -> None:
        """Removes what nobody can use, unless somebody makes a file of it just now."""
        self.counts.discarded += 1
        file = self.hold(digest)
        try:
            file.drop()
        finally:
            self.release(file)


def _stat(name: str, directory: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _can_punch(directory: str) -> bool:
    """Whether bytes in the middle of a file can be given back there: not in a ramfs.

    A disk that is full, of bytes or of files, is taken for one that can. Room is made on it once something is written.
    """
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.truncate(SUM_BYTES)
            punch_hole(file.fileno(), 0, SUM_BYTES)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
    return True
