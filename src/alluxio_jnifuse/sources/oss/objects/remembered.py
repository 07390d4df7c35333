"""The answers of look-ups and listings, so that opening and reading need not ask for size and ETag.

An answer counts until a newer one comes, and for as long as the caller says. A record that is old is of use all the
same: the version in it says whether it is the one that is wanted. Names that do not exist are not remembered.

A listing here is for look-ups alone, of which the newest answer counts: listing a directory asks anew.

Times are of the monotonic clock, seconds, and those of the question. Answers to questions from before the last `drop`
of a path do not count for it, and none from before the last `forget`.

Threads: any. The lock is held for microseconds.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.oss.objects.listing import Directory, Record


_LISTING = 4  # paths that a listing takes the memory of, beside its entries


class _Single(NamedTuple):
    record: Record | None  # None: what was known before is wrong
    asked: float


class Remembered:
    """See the module's docstring. `most`: paths, an entry of a listing being one, and the listing itself some."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()  # guards what follows
        self._singles: OrderedDict[bytes, _Single] = OrderedDict()  # by path, oldest first
        self._listings: OrderedDict[bytes, Directory] = OrderedDict()
        self._entries = 0  # of the listings, and they themselves
        self._forgotten = float("-inf")  # what was asked until then is not remembered

    def get(self, path: bytes, since: float = float("-inf")) -> Record | None:
        """Returns the newest answer about `path`; None if there is none, or if it was asked for before `since`."""
        parent, _, name = path.rpartition(b"/")
        with self._lock:
            single = self._singles.get(path)
            directory = self._listings.get(parent or b"/")
        if directory is not None and directory.asked >= since and (single is None or directory.asked > single.asked):
            return directory.record(name)
        return single.record if single is not None and single.asked >= since else None

    def is_directory(self, path: bytes, since: float) -> bool:
        """Whether `path` was a directory at `since` or later."""
        with self._lock:
            listed = self._listings.get(path)
        if listed is not None and listed.asked >= since:
            return True
        record = self.get(path, since)
        return record is not None and record.directory

    def put(self, path: bytes, record: Record, asked: float) -> None:
        """Remembers an answer to a look-up."""
        self._put(path, _Single(record, asked))

    def put_listing(self, path: bytes, directory: Directory) -> None:
        """Remembers a listing, unless it is too large or there is a newer one."""
        if _size(directory) > self._most:
            return
        with self._lock:
            known = self._listings.get(path)
            if directory.asked <= self._forgotten:
                return
            if known is not None:
                if known.asked > directory.asked:
                    return
                self._entries -= _size(self._listings.pop(path))
            self._listings[path] = directory
            self._entries += _size(directory)
            while self._entries + len(self._singles) > self._most:
                if self._singles:
                    self._singles.popitem(last=False)
                else:
                    self._entries -= _size(self._listings.popitem(last=False)[1])

    def drop(self, path: bytes, now: float) -> None:
        """Answers about `path` until `now` are wrong."""
        self._put(path, _Single(None, now))

    def forget(self, path: bytes, now: float) -> None:
        """Forgets `path`, everything below it, and the listing that it is in; and what is being asked now."""
        below = path.rstrip(b"/") + b"/"
        parent = path.rpartition(b"/")[0] or b"/"
        with self._lock:
            self._forgotten = max(self._forgotten, now)
            # dict.keys: an OrderedDict would follow its links, which takes ten times as long
            for found in [each for each in dict.keys(self._singles) if each == path or each.startswith(below)]:
                del self._singles[found]
            for found in [
                each for each in dict.keys(self._listings) if each in (path, parent) or each.startswith(below)
            ]:
                self._entries -= _size(self._listings.pop(found))

    def size(self) -> int:
        """How many paths are remembered."""
        with self._lock:
            return len(self._singles) + sum(map(len, self._listings.values()))

    def _put(self, path: bytes, single: _Single) -> None:
        with self._lock:
            known = self._singles.get(path)
            if single.asked <= self._forgotten or (known is not None and known.asked > single.asked):
                return
            self._singles[path] = single
            self._singles.move_to_end(path)
            if self._entries + len(self._singles) > self._most:
                self._singles.popitem(last=False)


def _size(directory: Directory) -> int:
    return len(directory) + _LISTING
