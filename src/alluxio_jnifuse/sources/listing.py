"""Listings as they are kept: entries packed as the core takes them, and a record of the source's beside each.

Threads: a Packed is for any, and does not change but for a hint; a Packing is one thread's.
"""

from __future__ import annotations

import struct
from array import array
from operator import ge
from typing import Any

ENTRY = struct.Struct("=QQQQqqqIIIIII")  # base.ENTRY_DTYPE
# Its fields:
FILE_ID, SIZE, BLOCKS, VERSION, MTIME, CTIME, ATIME, MODE, NLINK = range(9)
_NAME = struct.Struct("=II")  # the end of it
_NAME_AT = ENTRY.size - _NAME.size


class Packed:
    """A listing, sorted by name. `rests`: the records of the entries, in their order, each ending where `ends` says."""

    __slots__ = ("_near", "ends", "entries", "names", "rests")

    def __init__(self, entries: bytes, names: bytes, rests: bytes, ends: array[int]) -> None:
        self.entries = entries
        self.names = names
        self.rests = rests
        self.ends = ends
        self._near = 0  # where a name is looked for first: behind the one that was found last, by any thread

    def __len__(self) -> int:
        return len(self.ends)

    def find(self, name: bytes) -> int:
        """The index of a name, or -1."""
        low, high = 0, len(self.ends)
        middle = self._near
        while low < high:
            at, length = _NAME.unpack_from(self.entries, middle * ENTRY.size + _NAME_AT)
            found = self.names[at : at + length]
            if found < name:
                low = middle + 1
            elif found == name:
                self._near = (middle + 1) % len(self.ends)
                return middle
            else:
                high = middle
            middle = (low + high) // 2
        return -1

    def entry(self, index: int) -> tuple[int, ...]:
        return ENTRY.unpack_from(self.entries, index * ENTRY.size)

    def rest(self, index: int) -> bytes:
        return self.rests[self.ends[index - 1] if index else 0 : self.ends[index]]


class Packing:
    """The parts of a Packed, as it grows; the entries are in the order in which they came.

    A subclass appends to all four lists, and counts the bytes of the names: `name_off` of the next entry.
    """

    def __init__(self) -> None:
        self._entries = bytearray()
        self._names: list[bytes] = []
        self._names_bytes = 0
        self._rests = bytearray()
        self._ends = array("I")

    def __len__(self) -> int:
        return len(self._names)

    def _rank(self, index: int) -> Any:
        """By what entries are sorted: the name, and then what decides which of two with the same name stays."""
        return self._names[index]

    def _left_out(self, name: bytes) -> None:
        """Another entry has this name, and stays."""

    def _sort(self) -> None:
        """Brings the entries into the order of their names. Nothing is done when they came in it."""
        names, ends = self._names, self._ends
        if not any(map(ge, names, names[1:])):
            return
        entries, rests, new_ends = bytearray(), bytearray(), array("I")
        before: bytes | None = None
        for i in sorted(range(len(names)), key=self._rank):
            if names[i] == before:
                self._left_out(names[i])
                continue
            before = names[i]
            entries += self._entries[i * ENTRY.size : (i + 1) * ENTRY.size]
            rests += self._rests[ends[i - 1] if i else 0 : ends[i]]
            new_ends.append(len(rests))
        self._entries, self._rests, self._ends = entries, rests, new_ends
