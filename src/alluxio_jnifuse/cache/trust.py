"""Which pages of stored files are known to agree with their sums: the kernel, which checks nothing, may read those.

Known is what this process wrote or checked, as long as nobody else has changed the file: its ctime tells.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable


class _Known:
    __slots__ = ("pages", "stamp")

    def __init__(self, stamp: int) -> None:
        self.stamp = stamp  # ctime, ns
        self.pages: set[int] = set()


class Trust:
    """By digest. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[bytes, _Known] = {}

    def add(self, digest: bytes, stamp: int, pages: Iterable[int]) -> None:
        """Whole pages were found right in a file that was last changed at `stamp`."""
        with self._lock:
            known = self._files.get(digest)
            if known is None or known.stamp < stamp:
                known = self._files[digest] = _Known(stamp)
            if known.stamp == stamp:
                known.pages.update(pages)

    def changed(self, digest: bytes, before: int, after: int) -> None:
        """We changed other pages of the file, which moved its stamp."""
        with self._lock:
            known = self._files.get(digest)
            if known is not None and known.stamp == before:
                known.stamp = after

    def remove(self, digest: bytes, page: int) -> None:
        """The page is not there any more."""
        with self._lock:
            known = self._files.get(digest)
            if known is not None:
                known.pages.discard(page)

    def forget(self, digest: bytes) -> None:
        with self._lock:
            self._files.pop(digest, None)

    def count(self, digest: bytes, stamp: int) -> int:
        """How many pages of the file, last changed at `stamp`, are known."""
        with self._lock:
            known = self._files.get(digest)
            return len(known.pages) if known is not None and known.stamp == stamp else 0
