"""An order that is read ahead of a program in another process, which reads its files in about that order.

Files are read into the kernel's page cache, of a large file the first part, as load/ahead.py does it for a program in
Python. How much waits for the program is bounded (places.py). A file that the program has opened meanwhile is left to
it.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from alluxio_jnifuse import _core
from alluxio_jnifuse.errors import MountError, in_words
from alluxio_jnifuse.load.places import Places, Room
from alluxio_jnifuse.load.reading import READ_BYTES, Load, Options, Wanted
from alluxio_jnifuse.load.walk import File

JOBS = 32  # as many files as a mount asks its storage for at once
ROOM = Room(1024, 256 << 20)  # more files than the workers of a loader have open or wait for, in an order across them

_MOST_BYTES = 8 << 20  # of one file; the mount reads such a file ahead by itself once the program has begun with it
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LOOK_S = 5.0  # how often it is looked whether there is the mount still
_SILENCE_S = 60.0


class Follow(Load):
    """A Load of an order, which goes on as files are opened. It keeps no journal: the next run is another one."""

    def __init__(self, wanted: Wanted, options: Options, room: Room, ended: Callable[[], None]) -> None:
        """Raises MountError."""
        super().__init__(wanted, options, ended)
        try:
            self._places = Places(room)
        except OSError as error:
            raise MountError(
                f"cannot watch files: {in_words(error)}", remedy="raise fs.inotify.max_user_instances"
            ) from error

    def stop(self) -> None:
        super().stop()
        self._places.close()

    def _abort(self, error: Exception) -> None:
        super()._abort(error)
        self._places.close()

    def _begin(self) -> None:
        self._targets = self._wanted.find()
        self._walk = self._wanted.looks(self._fail)
        self._start("watch", self._watch)
        for _ in range(self._options.jobs):
            self._start("reader", self._read_files)

    def _read_files(self) -> None:
        buffer = memoryview(bytearray(READ_BYTES))
        while not self._stopping:
            with self._walking:
                look = next(self._walk, None)
                number = self._places.reserve() if look is not None else None
            if number is None or look is None:
                break
            file = look()
            if file is None:
                self._places.give_back(number)
                continue
            self.progress.found(file.size)
            self._read_ahead(file, number, buffer)
        self._reader_ended()

    def _read_ahead(self, file: File, number: int, buffer: memoryview) -> None:
        self.progress.begin(file.path)
        try:
            if self._places.take(number, file):
                with self._places.opened(number, file.path) as fd:
                    self._fill(fd, number, min(file.size, _MOST_BYTES), buffer)
        except OSError as error:
            self._places.give_back(number)
            self._fail(file.path, file.target, error, file.size)
            return
        self.progress.finished()

    def _fill(self, fd: int, number: int, size: int, buffer: memoryview) -> None:
        if (_core.cached_pages(fd, size) or 0) * _PAGE_BYTES >= size:
            self._places.give_back(number)  # the program has read it, or need not wait for it
            return
        left = _MOST_BYTES
        while left > 0 and (count := os.readv(fd, [buffer[: min(left, READ_BYTES)]])):
            self.progress.received(count)
            left -= count
            if not self._places.note(number, count):
                return

    def _watch(self) -> None:
        """Hears of what is opened, and that the mount has ended, until this run ends."""
        places, heard, told = self._places, time.monotonic(), False
        while not self._stopping:
            if select.select([places.fd], [], [], _LOOK_S)[0]:
                gone, heard = places.hear(), time.monotonic()
            else:
                gone = True  # a process that was killed tells nobody
            if gone:
                for target in self._targets:
                    self._check(target, disconnected=False)
            if not told and places.full() and time.monotonic() - heard > _SILENCE_S:
                told = True
                self.notes.put(
                    f"none of the {places.full()} files that were read ahead has been opened for {_SILENCE_S:g} s; "
                    "a program that is elsewhere in the order needs an order that begins there"
                )
