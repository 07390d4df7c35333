"""The reads of versions of local files, by which it is found out whether a later version begins with them.

A file that is appended to has another version each time, and a reader that has it open wants to go on in the new one.
That is right if every byte that the reader may have is the same there. So the runs that were read are remembered with
their checksums (CRC-64), for as much as can be read again in a moment. Reads that are not remembered in full prove
nothing: a version that was forgotten is not taken for one of which nothing was read.

Threads: any. The lock is held for microseconds.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse._wire import crc64

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_BYTES = 128 << 20  # of one file: 100 ms to read again
_MOST_VERSIONS = 4096
_MOST_REFUTED = 256


class Runs:
    """The reads of one version, and of those that it began with."""

    __slots__ = ("_bytes", "_complete", "_lock", "_sums")

    def __init__(self, complete: bool) -> None:
        self._lock = threading.Lock()
        self._complete = complete  # all is remembered; lock
        self._sums: dict[tuple[int, int], int] = {}  # by offset and length; lock
        self._bytes = 0  # lock

    def add(self, offset: int, data: memoryview) -> None:
        """`data` will be called final, if it is of that version."""
        if not self._complete or not data:
            return
        run, value = (offset, len(data)), crc64(data)
        with self._lock:
            if run not in self._sums:
                self._sums[run] = value
                self._bytes += len(data)
            if self._sums[run] != value or self._bytes > _MOST_BYTES:
                self._give_up()

    def _give_up(self) -> None:
        """With the lock held."""
        self._complete = False
        self._sums.clear()

    def absorb(self, other: Runs) -> None:
        """Adds the reads of `other`, which are here, too."""
        with other._lock:
            complete, sums = other._complete, dict(other._sums)
        with self._lock:
            for run, value in sums.items():
                if run not in self._sums:
                    self._sums[run] = value
                    self._bytes += run[1]
            if not complete:
                self._give_up()

    def are_in(self, read: Callable[[int, int], memoryview]) -> bool:
        """Whether all of it is what `read(offset, length)` gives."""
        with self._lock:
            complete, sums = self._complete, dict(self._sums)
        return complete and all(crc64(read(*run)) == value for run, value in sums.items())


class Known(NamedTuple):
    """A version that was opened. `followed`: others went on in it, and go on in what comes after it."""

    runs: Runs
    size: int
    number: int  # of its inode
    ctime_ns: int
    followed: bool = False


class Seen:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards what follows
        self._versions: OrderedDict[int, Known] = OrderedDict()
        self._forgotten_ns = -(1 << 63)  # the latest ctime of a version that was forgotten
        self._refuted: OrderedDict[tuple[int, int], None] = OrderedDict()  # what a version is not the beginning of

    def get(self, version: int) -> Known | None:
        with self._lock:
            return self._versions.get(version)

    def opened(self, version: int, size: int, number: int, ctime_ns: int) -> Runs:
        """Returns the record in which the reads of a version are remembered."""
        with self._lock:
            known = self._versions.get(version)
            if known is None:
                known = Known(Runs(ctime_ns > self._forgotten_ns), size, number, ctime_ns)
                self._put(version, known)
            return known.runs

    def go_on(self, before: Known, version: int, size: int, ctime_ns: int) -> None:
        """`version` was found to begin with all that was read of `before`."""
        with self._lock:
            known = self._versions.get(version)
            if known is None:
                self._put(version, before._replace(size=size, ctime_ns=ctime_ns, followed=True))
                return
            self._versions[version] = known._replace(followed=True)
        if known.runs is not before.runs:
            known.runs.absorb(before.runs)

    def refute(self, version: int, other: int) -> None:
        """Notes that bytes that were read of `version` are not in `other`."""
        with self._lock:
            self._refuted[version, other] = None
            if len(self._refuted) > _MOST_REFUTED:
                self._refuted.popitem(last=False)

    def is_refuted(self, version: int, other: int) -> bool:
        with self._lock:
            return (version, other) in self._refuted

    def _put(self, version: int, known: Known) -> None:
        self._versions[version] = known
        while len(self._versions) > _MOST_VERSIONS:
            _, old = self._versions.popitem(last=False)
            self._forgotten_ns = max(self._forgotten_ns, old.ctime_ns)
