"""Small files read before they are asked for, when a directory is read in the order of its listing.

A small file is one call to a worker, most of which is waiting. Who reads one file after the other as they were listed
(a copy, a checksum, an unshuffled epoch) need not wait for each: some threads read the next ones into memory. Nothing
is read ahead in any other order, nor what was asked for before, and no more than `_WINDOW_FILES` and `_WINDOW_BYTES`;
what nobody comes for makes room for what follows.

Threads: `take` and `note` from any. The lock guards everything; nothing is read or waited for under it. The readers
are daemon threads, started when there is something to read.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.sources.alluxio.status import version_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.sources.alluxio.metadata import MetadataCache
    from alluxio_jnifuse.sources.alluxio.status import FileStatus

    Read = Callable[[bytes, FileStatus], bytes]

log = logging.getLogger(__name__)

_RUN_FILES = 3  # read in order before the next ones are read ahead
_NEAR_FILES = 16  # several readers, or several threads of one, do not come in order
_DENSE = 0.75  # how many files of a stretch must have been asked for; who takes every other one wants no more
_MOST_ASKED = 8192  # that are remembered of a directory
_WINDOW_FILES = 16
_WINDOW_BYTES = 8 << 20
_FORGOTTEN_S = 5.0
_MOST_DIRECTORIES = 64  # followed at once
_THREADS = 4
_IDLE_S = 10.0


class _Run:
    """What was asked for of a directory, by index: lately, and of the stretch [first, front]."""

    __slots__ = ("asked", "begun", "first", "front", "length")

    def __init__(self, index: int) -> None:
        self.asked = {index}
        self.begun = index  # the last one that was read ahead, or passed over
        self.first = self.front = index
        self.length = 1

    def advance(self, index: int) -> bool:
        """Notes that a file is asked for; returns whether that goes in order."""
        if index in self.asked:  # once more from here on
            self.asked = {other for other in self.asked if other < index}
            self.front = self.begun = index
            self.first = min(self.first, index)
            self.length = min(self.length, index - self.first + 1)
        elif self.first - _NEAR_FILES <= index <= self.front + _NEAR_FILES:
            self.first = min(self.first, index)
            self.front = max(self.front, index)
            self.length += 1
        else:
            self.first = self.front = self.begun = index
            self.length = 1
        self.asked.add(index)
        if len(self.asked) > _MOST_ASKED:
            self.asked = {other for other in self.asked if other > self.front - _MOST_ASKED // 2}
        return self.length >= max(_RUN_FILES, _DENSE * (self.front - self.first + 1))


class _Piece:
    """A file that is being read, or was."""

    __slots__ = ("asked", "content", "done", "size", "version")

    def __init__(self, version: int, size: int, asked: float) -> None:
        self.version = version
        self.size = size
        self.asked = asked  # monotonic
        self.content: bytes | None = None  # None when done: it could not be read
        self.done = threading.Event()


class _Job(NamedTuple):
    path: bytes
    status: FileStatus
    piece: _Piece


class ReadAhead:
    """See the module's docstring. `read` gives the contents of a file, or raises; `small_bytes` is the largest."""

    def __init__(self, metadata: MetadataCache, read: Read, small_bytes: int) -> None:
        self._metadata = metadata
        self._read = read
        self._small_bytes = small_bytes
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._runs: OrderedDict[bytes, _Run] = OrderedDict()  # by directory, the one used last at the end
        self._pieces: OrderedDict[bytes, _Piece] = OrderedDict()  # by path, oldest first
        self._bytes = 0  # of all pieces
        self._jobs: deque[_Job] = deque()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def take(self, path: bytes, version: int, patience_s: float) -> bytes | None:
        """The contents of a file if they were read ahead, waiting for them when they are on their way."""
        with self._lock:
            piece = self._pieces.pop(path, None)
            if piece is None:
                return None
            self._bytes -= piece.size
        if piece.version != version or not piece.done.wait(patience_s):
            return None
        return piece.content

    def note(self, path: bytes, now: float) -> None:
        """Tells that `path` is asked for; begins to read what is likely to be asked for next."""
        directory = path[: path.rindex(b"/")]
        place = self._metadata.place(path, now)
        if place is None:
            return
        with self._lock:
            run = self._advance_locked(directory, place)
            if run is None or (self._bytes >= _WINDOW_BYTES and not self._forget_locked(now - _FORGOTTEN_S)):
                return
            first, end = max(place, run.begun) + 1, place + 1 + _WINDOW_FILES
        if end - first < _WINDOW_FILES // 4:
            return  # some at a time: each costs a little
        following = self._metadata.following(path, now, first, end)
        with self._lock:
            self._forget_locked(now - _FORGOTTEN_S)
            for index, other, status in following:
                if self._closed or self._bytes >= _WINDOW_BYTES:
                    break
                run.begun = max(run.begun, index)
                wanted = index not in run.asked and other not in self._pieces
                if wanted and 0 < status.length <= self._small_bytes:
                    self._begin_locked(other, status, now)

    def _forget_locked(self, until: float) -> bool:
        """Drops what was read ahead at `until` or before, nobody came for it; returns whether there was any."""
        before = len(self._pieces)
        while self._pieces:
            path, piece = next(iter(self._pieces.items()))
            if piece.asked > until:
                break
            del self._pieces[path]
            self._bytes -= piece.size
        return len(self._pieces) < before

    def _advance_locked(self, directory: bytes, index: int) -> _Run | None:
        """How far the directory has been read, if it is being read in order."""
        run = self._runs.get(directory)
        if run is None:
            self._runs[directory] = _Run(index)
            if len(self._runs) > _MOST_DIRECTORIES:
                self._runs.popitem(last=False)
            return None
        self._runs.move_to_end(directory)
        return run if run.advance(index) else None

    def _begin_locked(self, path: bytes, status: FileStatus, now: float) -> None:
        piece = _Piece(version_of(status), status.length, now)
        self._pieces[path] = piece
        self._bytes += piece.size
        self._jobs.append(_Job(path, status, piece))
        if self._idle:
            self._wake.notify()
        elif self._threads < _THREADS:
            self._threads += 1
            try:
                threading.Thread(target=self._run, name=f"ahead-{self._threads}", daemon=True).start()
            except (RuntimeError, MemoryError):
                self._threads -= 1

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._jobs:
                    self._idle += 1
                    told = self._wake.wait(_IDLE_S)
                    self._idle -= 1
                    if self._closed or (not told and not self._jobs):
                        self._threads -= 1
                        return
                job = self._jobs.popleft()
            try:
                job.piece.content = self._read(job.path, job.status)
            except Exception as error:  # whoever wants the file learns it from his own read
                log.debug("%r was not read ahead: %s", job.path, error)
            finally:
                job.piece.done.set()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for job in self._jobs:
                job.piece.done.set()
            self._jobs.clear()
            self._pieces.clear()
            self._bytes = 0
            self._wake.notify_all()
