"""Which files of an order are read ahead and still wait for the program, and so how much more may be read.

A file takes a *place* until the program opens it. The kernel tells of that: each file is watched (inotify(7)). It costs
the mount nothing, and it holds for files that the kernel reads or opens without asking the mount, and for a program in
another container. The events that are asked for change, so that none is of what is done here:

    found, not opened yet     closed              the program may have it open already, or open it meanwhile
    opened here, being read   opened, closed
    about to be closed here   opened
    closed here               opened, closed

Several workers open their files beside each other, not one after the other: places end one by one, wherever they are in
the order. A place that is further behind the furthest such file than may be read ahead ends too: the program has passed
that file by, or was too fast to be seen.

Threads: any. The lock guards all; no file of a mount is touched under it.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from alluxio_jnifuse import _core
from alluxio_jnifuse.load.walk import File

_EVENTS_BYTES = 1 << 14
_EVENT = struct.Struct("iIII")  # struct inotify_event, without the name, which no file has that is watched itself


_NO_WATCH = "no more files can be watched: raise fs.inotify.max_user_watches, or give a smaller --ahead"
_OPENED, _CLOSED = _core.WATCH_OPENED, _core.WATCH_CLOSED


class Room(NamedTuple):
    """How far may be read ahead, at most."""

    files: int
    size: int


class _Place:
    """A file; `numbers`: of it in the order, several if it comes again soon."""

    def __init__(self, path: str, number: int) -> None:
        self.path = path
        self.numbers = deque([number])
        self.size = 0  # bytes that were read of it
        self.watch = -1
        self.opens = 0  # that were heard of, and will be followed by a close


class Places:
    """The places; `opened_files`: how many the program has opened."""

    def __init__(self, room: Room) -> None:
        """Raises OSError."""
        self.fd = _core.watch_begin()
        self.opened_files = 0
        self._room = room
        self._changed = threading.Condition()
        self._closed = False
        self._next = 0  # number of the next file
        self._drawn = 0  # files that have a place, and those of `_reserved`
        self._reserved: set[int] = set()  # files that get a place, or none
        self._size = 0
        self._furthest = 0
        self._by_path: dict[str, _Place] = {}
        self._by_watch: dict[int, _Place] = {}
        self._by_number: dict[int, _Place] = {}
        self._early: set[int] = set()  # watches that are not known yet, or no longer, and had an event

    def reserve(self) -> int | None:
        """Waits for room, and returns the number of the next file; None when there will be none."""
        with self._changed:
            while not self._closed and (self._drawn >= self._room.files or self._size >= self._room.size):
                self._changed.wait()
            if self._closed:
                return None
            self._drawn += 1
            self._next += 1
            self._reserved.add(self._next - 1)
            return self._next - 1

    def give_back(self, number: int) -> None:
        """The file needs no place: it is not there, cannot be read, or need not be."""
        with self._changed:
            place = self._by_number.get(number)
            if number in self._reserved:
                self._reserved.remove(number)
                self._drawn -= 1
            elif place is not None:
                self._leave(place, number)
            self._changed.notify_all()

    def take(self, number: int, file: File) -> bool:
        """The file gets a place; False: it has one, and need not be read."""
        with self._changed:
            self._reserved.remove(number)
            place = self._by_path.get(file.path)
            if place is not None:
                place.numbers.append(number)
                self._by_number[number] = place
                return False
            self._by_path[file.path] = self._by_number[number] = _Place(file.path, number)
            return True

    @contextmanager
    def opened(self, number: int, path: str) -> Iterator[int]:
        """Opens a file that has a place, to be read. Raises OSError."""
        found = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._watch(number, found, _CLOSED)
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                self._watch(number, found, _OPENED | _CLOSED)
                yield fd
                self._watch(number, found, _OPENED)
            finally:
                os.close(fd)
            self._watch(number, found, _OPENED | _CLOSED)
        finally:
            os.close(found)

    def _watch(self, number: int, fd: int, events: int) -> None:
        with self._changed:
            if number not in self._by_number:
                return
        try:
            watch = _core.watch_add(self.fd, b"/proc/self/fd/%d" % fd, events)  # may ask the mount for attributes
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise OSError(errno.ENOSPC, _NO_WATCH) from None
        with self._changed:
            place = self._by_number.get(number)
            if watch in self._by_watch:
                return
            if place is None or place.watch >= 0:  # it ended meanwhile
                _core.watch_remove(self.fd, watch)
                return
            place.watch = watch
            self._by_watch[watch] = place
            if watch in self._early:
                self._end(place)
                self._changed.notify_all()

    def note(self, number: int, count: int) -> bool:
        """So many bytes more were read of a file; whether the program does not have it yet."""
        with self._changed:
            place = self._by_number.get(number)
            if place is None:
                return False
            place.size += count
            self._size += count
            return True

    def hear(self) -> bool:
        """Waits for files to be opened; returns whether something has been unmounted."""
        events = os.read(self.fd, _EVENTS_BYTES)
        unmounted = False
        with self._changed:
            for watch, mask, _, _ in _EVENT.iter_unpack(events):
                unmounted = unmounted or bool(mask & _core.WATCH_UNMOUNTED)
                place = self._by_watch.get(watch)
                if mask & _core.WATCH_ENDED:
                    self._early.discard(watch)
                elif mask & (_OPENED | _CLOSED) and place is None:
                    self._early.add(watch)
                elif mask & _OPENED and place is not None:
                    place.opens += 1
                    self._end(place)
                elif mask & _CLOSED and place is not None:
                    if not place.opens:  # of an open before the watch
                        self._end(place)
                    place.opens = max(0, place.opens - 1)
            self._changed.notify_all()
        return unmounted

    def full(self) -> int:
        """How many files wait for the program, when there is no room for more; else 0."""
        with self._changed:
            return self._drawn if self._drawn >= self._room.files or self._size >= self._room.size else 0

    def close(self) -> None:
        """Nothing more is to be read ahead."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _end(self, place: _Place) -> None:
        """The program has the file."""
        number = place.numbers[0]
        self.opened_files += 1
        self._furthest = max(self._furthest, number)
        self._leave(place, number)
        while self._by_number:
            first = next(iter(self._by_number))
            if first >= self._furthest - self._room.files:
                break
            self._leave(self._by_number[first], first)

    def _leave(self, place: _Place, number: int) -> None:
        self._drawn -= 1
        del self._by_number[number]
        place.numbers.remove(number)
        if place.numbers:
            return
        self._size -= place.size
        del self._by_path[place.path]
        if place.watch >= 0:
            del self._by_watch[place.watch]
            _core.watch_remove(self.fd, place.watch)
