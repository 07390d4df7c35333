"""The parts of stored files that are known to agree with their sums; the kernel may read files that are known whole.

A part is known if this process wrote or checked it and nobody else has changed the file since: its ctime tells. Small
files are checked when they are to be lent; of larger ones it is noted piece by piece what was read or written anyway.
That takes as much memory as there are pieces, however long a file is said to be.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

_UNIT_BYTES = 64 << 10  # what is noted; reads of any size worth the name cover some
_TOGETHER = 64  # units, the bits of one number


class _Known:
    __slots__ = ("_count", "_masks", "stamp")

    def __init__(self, stamp: int, size: int) -> None:
        self.stamp = stamp  # ctime, ns
        self._count = (size + _UNIT_BYTES - 1) // _UNIT_BYTES
        self._masks: dict[int, int] = {}

    def add(self, first: int, last: int) -> None:
        for number, mask in _masks(first, last):
            self._masks[number] = self._masks.get(number, 0) | mask

    def remove(self, first: int, last: int) -> None:
        for number, mask in _masks(first, last):
            left = self._masks.pop(number, 0) & ~mask
            if left:
                self._masks[number] = left

    def has_all(self) -> bool:
        if len(self._masks) * _TOGETHER < self._count:
            return False
        return all(self._masks.get(number, 0) & mask == mask for number, mask in _masks(0, self._count))


class Trust:
    """By digest. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[bytes, _Known] = {}

    def add(self, digest: bytes, stamp: int, size: int, offset: int, length: int) -> None:
        """A range of a file of `size` bytes, which was last changed at `stamp`, is right."""
        end = offset + length
        first = (offset + _UNIT_BYTES - 1) // _UNIT_BYTES
        last = (end + _UNIT_BYTES - 1 if end == size else end) // _UNIT_BYTES
        with self._lock:
            known = self._files.get(digest)
            if known is None or known.stamp != stamp:
                known = self._files[digest] = _Known(stamp, size)
            known.add(first, last)

    def changed(self, digest: bytes, before: int, after: int) -> None:
        """We changed something else in the file, which moved its stamp."""
        with self._lock:
            known = self._files.get(digest)
            if known is not None and known.stamp == before:
                known.stamp = after

    def remove(self, digest: bytes, offset: int, length: int) -> None:
        """A range is not right any more, or not there."""
        first, last = offset // _UNIT_BYTES, (offset + length + _UNIT_BYTES - 1) // _UNIT_BYTES
        with self._lock:
            known = self._files.get(digest)
            if known is not None:
                known.remove(first, last)

    def forget(self, digest: bytes) -> None:
        with self._lock:
            self._files.pop(digest, None)

    def has_all(self, digest: bytes, stamp: int) -> bool:
        """Whether all of the file, last changed at `stamp`, is right."""
        with self._lock:
            known = self._files.get(digest)
            return known is not None and known.stamp == stamp and known.has_all()


def _masks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Number and bits of what holds the units [first, last)."""
    while first < last:
        number, bit = divmod(first, _TOGETHER)
        count = min(last - first, _TOGETHER - bit)
        yield number, (1 << count) - 1 << bit
        first += count
