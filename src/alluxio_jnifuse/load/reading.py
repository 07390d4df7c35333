"""The threads that read: a pool of readers that take the next file from one walk, and one that counts what is to come.

Readers advance the walk themselves, in turn, so there is no queue whose length would have to be chosen: what is in
memory does not grow with the number of files, and reading begins with the first. The counter walks the same tree on
its own and as fast as it can; it is there for totals, for the warning that the cache is too small, and because
listings that it asked for are still known when the readers come by. It does the same with an order (order.py), unless
that can be read but once. A reader looks at a path of an order by itself: each may be a round trip to the storage.

Reading means read(2) into one buffer for each reader. That warms both kinds of files: those that the kernel reads
itself (passthrough) get into its page cache, for those that come through the daemon it asks the daemon, whose client
cache keeps what it fetched. O_DIRECT would pass by the first cache, readahead(2) does not wait and fails silently.
With a client cache, pages of an earlier read that the kernel still has are dropped first: they would answer without the
client cache being asked, and be gone some time later.

Everything ends at once when a mount does: a failed call asks whether it is still there, and so does the last reader,
because the empty directory that an unmount leaves has no files to fail on.
"""

from __future__ import annotations

import errno
import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from alluxio_jnifuse.config.units import format_size
from alluxio_jnifuse.config.values import ALLUXIO
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.load.journal import Journal, journal_path, remove_stale
from alluxio_jnifuse.load.progress import Progress
from alluxio_jnifuse.load.targets import Target, why_gone
from alluxio_jnifuse.load.walk import Fail, File, Look, file_of
from alluxio_jnifuse.mounts.registry import Record, Registry
from alluxio_jnifuse.system.threads import start_thread

# Half of what a mount asks its storage at once (`fetchers`, 32): the other half is for other readers.
JOBS = 16
MOST_JOBS = 1024  # as `fetchers`

READ_BYTES = 1 << 20  # the largest request of the kernel; a larger buffer would only leave the processor's cache
_DISCONNECTED = (errno.ENOTCONN, errno.ECONNABORTED)


class Options(NamedTuple):
    """How to load. `restart`: read again what an interrupted run has read."""

    jobs: int = JOBS
    dry_run: bool = False
    restart: bool = False


class Wanted(Protocol):
    """A description of what there is to load: Trees (walk.py), or an Order (order.py).

    `find`, called first, tells the directories and files that it lies at or beneath. `looks` yields what is to be
    looked at, in an order, and may be called again if `countable`. `job` names what concerns one mount.
    """

    @property
    def countable(self) -> bool: ...

    def find(self) -> list[Target]: ...

    def looks(self, fail: Fail) -> Iterator[Look]: ...

    def job(self, record: Record) -> list[str]: ...


class Load:
    """One run over what is wanted, in threads of its own, which do not keep the process from ending.

    `notes`: lines for a person, as they come up. `error`: why it ended early, if it did. `complete`: everything was
    read. `ended` is called when nothing more will happen, by another thread; not after `stop`.
    """

    def __init__(self, wanted: Wanted, options: Options, ended: Callable[[], None]) -> None:
        self.progress = Progress()
        self.notes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.error: Exception | None = None
        self.complete = False
        self._wanted = wanted
        self._options = options
        self._ended = ended
        self._stopping = False
        self._targets: list[Target] = []  # this and the next are complete before there is a second thread
        self._journals: dict[Record, Journal] = {}
        self._lock = threading.Lock()  # guards what follows
        self._readers = options.jobs
        self._walking = threading.Lock()  # guards the walk, and is held while a mount is asked
        self._walk: Iterator[Look] = iter(())

    def start(self) -> None:
        """Begins. Raises MountError when there may be no more threads."""
        self._start("load", self._begin)

    def stop(self) -> None:
        """Ends it; what hangs in a mount is not waited for, and what was read stays in the journal."""
        self._stopping = True

    def _start(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:
                self._abort(error)

        start_thread(name, guarded)

    def _abort(self, error: Exception) -> None:
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
            self.error = error
        self._ended()

    # ------------------------------------------------------------------------------------------------ beginning

    def _begin(self) -> None:
        self._targets = self._wanted.find()
        self._open_journals()
        if self._options.dry_run:
            self._count(self._fail, self._journals)
            self._finish()
            return
        for record in {target.record: None for target in self._targets}:
            self._tell_where_it_goes(record)
        self._walk = self._wanted.looks(self._fail)
        if self._wanted.countable:
            self._start("count", lambda: self._count(_ignore, {}))
        for _ in range(self._options.jobs):
            self._start("reader", self._read_files)

    def _open_journals(self) -> None:
        if self._options.dry_run and self._options.restart:
            return
        try:
            directory = Registry().writable_directory()
            remove_stale(directory)
            for record in {target.record for target in self._targets}:
                path = journal_path(directory, record, self._wanted.job(record))
                if os.path.exists(path) or not self._options.dry_run:
                    self._journals[record] = Journal(path, restart=self._options.restart)
        except (MountError, OSError) as error:
            self.notes.put(f"after an interruption this will begin anew: {error}")

    def _tell_where_it_goes(self, record: Record) -> None:
        if not record.cache_bytes:
            workers = " and the workers of the cluster" if record.ufs.startswith(ALLUXIO) else ""
            self.notes.put(
                f"{record.mountpoint} has no client cache (alluxio.user.client.cache.enabled): "
                f"only the kernel's page cache is warmed{workers}"
            )

    # ------------------------------------------------------------------------------------------------- counting

    def _count(self, fail: Fail, journals: dict[Record, Journal]) -> None:
        """Counts what is to be loaded; apart from that, what is in `journals`."""
        sizes: Counter[Record] = Counter()
        for look in self._wanted.looks(fail):
            if self._stopping:
                return
            file = look()
            if file is None:
                continue
            record = file.target.record
            if record in journals and file in journals[record]:
                self.progress.before(file.size)
                continue
            self.progress.found(file.size)
            fitted = sizes[record] <= record.cache_bytes
            sizes[record] += file.size
            if record.cache_bytes and fitted and sizes[record] > record.cache_bytes:
                self.notes.put(
                    f"there is more to load than the {format_size(record.cache_bytes)} that the client cache of "
                    f"{record.mountpoint} keeps: what is read first will make room for the rest"
                )
        self.progress.counted()

    # -------------------------------------------------------------------------------------------------- reading

    def _read_files(self) -> None:
        buffer = bytearray(READ_BYTES)
        while not self._stopping:
            with self._walking:
                look = next(self._walk, None)
            if look is None:
                break
            file = look()
            if file is None:
                continue
            journal = self._journals.get(file.target.record)
            if journal is not None and file in journal:
                self.progress.before(file.size)
                continue
            if not self._wanted.countable:
                self.progress.found(file.size)
            self._read(file, buffer, journal)
        self._reader_ended()

    def _reader_ended(self) -> None:
        with self._lock:
            self._readers -= 1
            last = not self._readers
        if last:
            self._finish()

    def _read(self, file: File, buffer: bytearray, journal: Journal | None) -> None:
        self.progress.begin(file.path)
        received = 0
        try:
            fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                opened = file_of(file.path, os.fstat(fd), file.target)
                if file.target.record.cache_bytes:
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                while count := os.readv(fd, [buffer]):
                    received += count
                    self.progress.received(count)
                    if self._stopping:
                        return
            finally:
                os.close(fd)
        except OSError as error:
            self._fail(file.path, file.target, error, file.size - received)
            return
        self.progress.finished()
        if journal is not None:
            self._note(journal, opened)

    def _note(self, journal: Journal, file: File) -> None:
        try:
            journal.add(file)
        except OSError as error:
            if self._journals:
                self._journals = {}
                self.notes.put(f"after an interruption this will begin anew: {error}")

    def _fail(self, path: str, target: Target, error: OSError, unread: int = 0) -> None:
        """Tells that something cannot be read, or ends everything, when it is for want of its mount."""
        self._check(target, disconnected=error.errno in _DISCONNECTED)
        self.progress.failed(path, error.strerror or str(error), unread)

    # --------------------------------------------------------------------------------------------------- ending

    def _check(self, target: Target, *, disconnected: bool) -> None:
        """Raises MountError when the mount is not there any more."""
        reason = why_gone(target, disconnected)
        if reason:
            raise MountError(reason, where=target.mountpoint, remedy="mount it again, then load again")

    def _finish(self) -> None:
        for target in {target.device: target for target in self._targets}.values():
            self._check(target, disconnected=False)
        if self._stopping:
            return
        if not self._wanted.countable:
            self.progress.counted()
        self.complete = not self.progress.snapshot().failed
        if self.complete and not self._options.dry_run:
            for journal in self._journals.values():
                journal.remove()
        self._ended()


def _ignore(path: str, target: Target, error: OSError) -> None:
    """The readers will come across it, too."""
