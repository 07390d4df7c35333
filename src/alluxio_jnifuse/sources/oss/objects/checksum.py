"""Whether the bytes of an object are those that were written: its CRC-64, which OSS tells with every answer.

It is that of the whole object, so it can be compared once all of it was received. Pieces may come in any order and from
several threads, some of them twice; of each the CRC is kept, and neighbours are made one. The piece that completes the
object is refused when the CRCs differ, before anybody is given its bytes.

Threads: any. CRCs are computed without the lock.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import NamedTuple

from alluxio_jnifuse._wire import crc64, crc64_combine
from alluxio_jnifuse.sources.oss.http.connection import number

_MOST_PIECES = 1024  # of an object that is read here and there: it is not likely to be completed


class Damaged(Exception):
    """The bytes of a whole object are not those that were written. It does not say which of them."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"CRC-64 {found}, and OSS says {expected}")


class _Piece(NamedTuple):
    begin: int
    end: int
    crc: int


class Checksum:
    """Of one object of `size` bytes. `checked`: it was compared, and right."""

    def __init__(self, size: int) -> None:
        self.checked = False
        self._size = size
        self._expected: int | None = None
        self._watching = size > 0
        self._lock = threading.Lock()  # guards what follows, and changes of what stands above
        self._pieces: list[_Piece] = []  # in order, none touching the next

    def expect(self, header: str | None) -> None:
        """Learns from an answer what it must be; without that nothing is compared."""
        if self._expected is None and self._watching:
            self._expected = number(header or "")
            if self._expected is None:
                self._give_up()

    def add(self, begin: int, data: memoryview) -> None:
        """Bytes were received, from `begin` of the object. Raises Damaged; then they count as not received."""
        if not self._watching:
            return
        todo = self._missing(begin, begin + len(data))
        while todo:
            start, end = todo.pop()
            piece = _Piece(start, end, crc64(data[start - begin : end - begin]))
            if not self._insert(piece):
                todo += self._missing(start, end)  # somebody else has received some of it meanwhile

    def _missing(self, begin: int, end: int) -> list[tuple[int, int]]:
        """The parts of a range that no piece covers."""
        gaps = []
        with self._lock:
            for piece in self._pieces[max(0, bisect_left(self._pieces, (begin,)) - 1) :]:
                if piece.begin >= end:
                    break
                if piece.begin > begin:
                    gaps.append((begin, piece.begin))
                begin = max(begin, piece.end)
        if begin < end:
            gaps.append((begin, end))
        return gaps

    def _insert(self, new: _Piece) -> bool:
        """Adds a piece; returns whether that was possible: it lies in a gap."""
        with self._lock:
            if not self._watching:
                return True
            first = last = bisect_left(self._pieces, (new.begin,))
            before = self._pieces[first - 1] if first else None
            after = self._pieces[last] if last < len(self._pieces) else None
            if (before and before.end > new.begin) or (after and after.begin < new.end):
                return False
            if before and before.end == new.begin:
                new = _joined(before, new)
                first -= 1
            if after and after.begin == new.end:
                new = _joined(new, after)
                last += 1
            if new.begin == 0 and new.end == self._size:
                self._compare(new.crc)
            self._pieces[first:last] = [new]
            if self.checked or len(self._pieces) > _MOST_PIECES:
                self._give_up()
            return True

    def _compare(self, crc: int) -> None:
        if self._expected is not None and crc != self._expected:
            raise Damaged(self._expected, crc)
        self.checked = self._expected is not None

    def _give_up(self) -> None:
        self._watching = False
        self._pieces = []


def _joined(left: _Piece, right: _Piece) -> _Piece:
    return _Piece(left.begin, right.end, crc64_combine(left.crc, right.crc, right.end - right.begin))
