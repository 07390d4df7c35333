"""How far a load has got: counted by the threads that read, looked at by the one that shows it."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

MOST_FAILURES = 20  # kept with path and reason; a user who has more needs the first ones, and their number


class Failure(NamedTuple):
    """A file that could not be loaded, and the reason."""

    path: str
    reason: str


class Snapshot(NamedTuple):
    """The figures at one moment; sizes in bytes.

    `found_*`: what there is to load, as far as it has been counted, which has come to its end when `counted`.
    `files`: read to the end; `received`: by read(2), of other files too.
    `before_*`: read by an earlier run. `lost`: of files that failed, what was not read of them.
    `current`: what has been read for the longest time now, or "".
    """

    seconds: float
    found_files: int
    found_bytes: int
    counted: bool
    files: int
    received: int
    before_files: int
    before_bytes: int
    failed: int
    lost: int
    failures: tuple[Failure, ...]
    current: str

    @property
    def done_files(self) -> int:
        """Files that nothing is left to do for."""
        return self.files + self.before_files + self.failed

    @property
    def done_bytes(self) -> int:
        """Their bytes, and those of the files that are being read."""
        return self.received + self.before_bytes + self.lost


class Progress:
    """The counters; every method may be called from any thread."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()  # guards what follows
        self._counted = False
        self._found_files = self._found_bytes = 0
        self._files = self._received = 0
        self._before_files = self._before_bytes = 0
        self._failed = self._lost = 0
        self._failures: list[Failure] = []
        self._current: dict[int, str] = {}  # by thread, the one that began first in front

    def found(self, size: int) -> None:
        """There is a file of `size` bytes."""
        with self._lock:
            self._found_files += 1
            self._found_bytes += size

    def counted(self) -> None:
        """There are no others."""
        with self._lock:
            self._counted = True

    def before(self, size: int) -> None:
        """A file was read by an earlier run."""
        with self._lock:
            self._before_files += 1
            self._before_bytes += size

    def begin(self, path: str) -> None:
        """This thread begins to read a file, which it tells the end of."""
        with self._lock:
            self._current[threading.get_ident()] = path

    def received(self, count: int) -> None:
        """So many bytes more were read."""
        with self._lock:
            self._received += count

    def finished(self) -> None:
        """This thread has read its file to the end."""
        with self._lock:
            self._files += 1
            self._current.pop(threading.get_ident(), None)

    def failed(self, path: str, reason: str, unread: int = 0) -> None:
        """The file that this thread was reading has failed, with `unread` bytes left."""
        with self._lock:
            self._failed += 1
            self._lost += max(0, unread)
            self._current.pop(threading.get_ident(), None)
            if len(self._failures) < MOST_FAILURES:
                self._failures.append(Failure(path, reason))

    def snapshot(self) -> Snapshot:
        """The figures now."""
        with self._lock:
            return Snapshot(
                time.monotonic() - self._began,
                self._found_files,
                self._found_bytes,
                self._counted,
                self._files,
                self._received,
                self._before_files,
                self._before_bytes,
                self._failed,
                self._lost,
                tuple(self._failures),
                next(iter(self._current.values()), ""),
            )
