"""A recording of a mount: the order of a run, for `load --order`; or a line for each file that was open.

A thread takes it, because a mount whose process is stopped does not answer. Whole lines are written, so what is there
can be read at any moment.
"""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Protocol

from alluxio_jnifuse.load import order
from alluxio_jnifuse.mounts import uses
from alluxio_jnifuse.mounts.trace import Trace
from alluxio_jnifuse.system.threads import start_thread

_TAKE_S = 0.05  # a mount keeps 17,000 paths of 60 bytes meanwhile
_FIRST_SLOTS = 1 << 12


class Seen:
    """Which names there have been: 16 to 32 bytes each, and one chance in 10^7 that one of a million is mistaken."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _FIRST_SLOTS))
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def add(self, name: bytes) -> bool:
        """Whether it is new."""
        key = hash(name) & 0xFFFF_FFFF_FFFF_FFFF or 1  # 0 is a slot that is free
        at = self._slot(key)
        if self._slots[at] == key:
            return False
        self._slots[at] = key
        self._used += 1
        if 2 * self._used > len(self._slots):
            self._grow()
        return True

    def _slot(self, key: int) -> int:
        mask = len(self._slots) - 1
        at = key & mask
        while self._slots[at] not in (0, key):
            at = (at + 1) & mask
        return at

    def _grow(self) -> None:
        keys, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
        for key in keys:
            if key:
                self._slots[self._slot(key)] = key


class Lines(Protocol):
    """Makes lines of what is told."""

    separator: bytes  # the end of each

    def of(self, items: Sequence[bytes]) -> list[bytes]: ...


class OrderLines:
    """An order: paths, of files that are opened. `every`: each time, not only the first. `null`: each ends with a NUL.

    `unnamed`: how many have names that no line can say.
    """

    def __init__(self, *, null: bool, every: bool) -> None:
        self.separator = b"\0" if null else b"\n"
        self.unnamed = 0
        self._null = null
        self._seen = None if every else Seen()

    def of(self, items: Sequence[bytes]) -> list[bytes]:
        lines = []
        for path in items:
            if self._seen is not None and not self._seen.add(path):
                continue
            line = order.line_of(path, null=self._null)
            if line is None:
                self.unnamed += 1
            else:
                lines.append(line)
        return lines


class UseLines:
    """A trace: an object for each use of a file."""

    separator = b"\n"

    def of(self, items: Sequence[bytes]) -> list[bytes]:
        return [uses.line_of(uses.parsed(item)) for item in items]


class Recording:
    """Writes what `trace` tells to `fd`, in a thread of its own, until `end`.

    `written`, `lost`: how many lines were written, and how many items were lost by the mount. `error`: why it ended by
    itself; `unwritable`: because the lines cannot be written. `ended` is called at the end, by that thread, which also
    closes the trace.
    """

    def __init__(self, trace: Trace, fd: int, lines: Lines, *, ended: Callable[[], None]) -> None:
        """Begins."""
        self.written = self.lost = 0
        self.error: OSError | ValueError | None = None
        self.unwritable = False
        self._trace = trace
        self._fd = fd
        self._lines = lines
        self._ended = ended
        self._end = threading.Event()
        self._thread = start_thread("record", self._run)

    def end(self, timeout: float) -> bool:
        """Takes what was told before, and ends. False: the mount does not answer."""
        self._end.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._end.wait(_TAKE_S):
                self._take_all()
            self._take_all()
            while not self._trace.tell_open():
                if not self._take_all():
                    time.sleep(_TAKE_S)
            self._take_all()
        except (OSError, ValueError) as error:  # ValueError: the mount tells something else than this release knows
            self.error = error
        finally:
            self._trace.close()
            self._ended()

    def _take_all(self) -> bool:
        """Whether there was anything."""
        some = False
        while (taken := self._trace.take()).items:
            self._write(self._lines.of(taken.items))
            some = True
        self.lost = taken.lost
        return some

    def _write(self, lines: list[bytes]) -> None:
        data = memoryview(b"".join(lines))
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:])
        except OSError:
            self.unwritable = True
            self._cut(bytes(data[:done]))
            raise
        self.written += len(lines)

    def _cut(self, written: bytes) -> None:
        """Takes back the beginning of a line, if the file is one that can be cut."""
        part = len(written) - written.rfind(self._lines.separator) - 1
        try:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - part)
        except OSError:
            pass
