"""Directories listed because one name after the other is looked up in them.

A program that opens files by a list of paths never lists their directories, and each look-up would be a call of its
own. After a few of them the directory is listed once, in the background; until that is there look-ups go on one by one.

Threads: any. The lock guards the fields; listing happens in a daemon thread for each directory, a few at a time.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_LOOKUPS = 4  # in one directory,
_WITHIN_S = 5.0  # in this time, before it is listed
_MOST_DIRECTORIES = 256  # counted at once
_MOST_AT_ONCE = 2
_TOO_LARGE_S = 600.0  # a directory that is too large is not tried again for so long,
_FAILED_S = 10.0  # and one that could not be listed


class _Count:
    __slots__ = ("since", "times", "until")

    def __init__(self, since: float) -> None:
        self.since = since
        self.times = 0
        self.until = 0.0  # no attempt before this time


class Siblings:
    """`remember(directory)` lists a directory and remembers what it was told; False: it is too large for that."""

    def __init__(self, remember: Callable[[bytes], bool]) -> None:
        self._remember = remember
        self._lock = threading.Lock()
        self._counts: OrderedDict[bytes, _Count] = OrderedDict()  # by directory, the one used last at the end
        self._running: set[bytes] = set()

    def looked_up(self, path: bytes, now: float) -> None:
        """Tells of a look-up that had to be a call; returns at once."""
        directory = path[: path.rindex(b"/")] or b"/"
        with self._lock:
            count = self._counts.get(directory)
            if count is None:
                count = self._counts[directory] = _Count(now)
                if len(self._counts) > _MOST_DIRECTORIES:
                    self._counts.popitem(last=False)
            else:
                self._counts.move_to_end(directory)
            if now - count.since > _WITHIN_S:
                count.since, count.times = now, 0
            count.times += 1
            if count.times < _LOOKUPS or now < count.until:
                return
            if directory in self._running or len(self._running) >= _MOST_AT_ONCE:
                return
            count.times = 0
            self._running.add(directory)
        try:
            start_thread("siblings", self._list, directory, count)
        except MountError:
            with self._lock:
                self._running.discard(directory)

    def _list(self, directory: bytes, count: _Count) -> None:
        rest_s = _FAILED_S
        try:
            rest_s = 0.0 if self._remember(directory) else _TOO_LARGE_S
        except Exception as error:  # look-ups say what is wrong
            log.debug("%r cannot be listed: %s", os.fsdecode(directory), error)
        finally:
            with self._lock:
                self._running.discard(directory)
                if rest_s:
                    count.until = count.since + rest_s
