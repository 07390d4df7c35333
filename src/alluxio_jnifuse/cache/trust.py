"""What of stored files is known to agree with its sums: the kernel, which checks nothing, may read what is known whole.

Known is what this process wrote or checked, as long as nobody else has changed the file: its ctime tells. Small files
are checked when they are to be lent; of larger ones it is noted piece by piece what was read or written anyway.
"""

from __future__ import annotations

import threading

_UNIT_BYTES = 64 << 10  # what is noted; reads of any size worth the name cover some


class _Known:
    __slots__ = ("stamp", "units")

    def __init__(self, stamp: int, size: int) -> None:
        self.stamp = stamp  # ctime, ns
        self.units = bytearray((size + _UNIT_BYTES - 1) // _UNIT_BYTES)


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
            if last > first:
                known.units[first:last] = b"\1" * (last - first)

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
                known.units[first:last] = bytes(len(known.units[first:last]))

    def forget(self, digest: bytes) -> None:
        with self._lock:
            self._files.pop(digest, None)

    def has_all(self, digest: bytes, stamp: int) -> bool:
        """Whether all of the file, last changed at `stamp`, is right."""
        with self._lock:
            known = self._files.get(digest)
            return known is not None and known.stamp == stamp and 0 not in known.units
