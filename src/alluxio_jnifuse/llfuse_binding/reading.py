"""Files that are open: bytes from the source, in pieces that are larger than the kernel's requests.

The kernel asks for at most 128 KiB at once (libfuse 2). A reader that goes on where it stopped has 4 MiB fetched, any
other gets what it asked for; a small file is fetched whole. One piece is kept for each open file, so two readers that
share a handle undo each other's.
"""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import SourceError, StaleVersion

if TYPE_CHECKING:
    from alluxio_jnifuse.llfuse_binding.nodes import Node
    from alluxio_jnifuse.sources.base import OpenFile, Source

_PIECE_BYTES = 4 << 20
_SMALL_BYTES = 1 << 20  # up to this size a file is one piece


def _note_nothing(filled: int) -> None:
    """Nobody waits for a part of a piece."""


class Reading:
    """One open file. `read` and `close` ask the source: without llfuse's lock."""

    def __init__(self, source: Source, node: Node) -> None:
        """Opens the version that the node is. Raises StaleVersion, or what the source raises.

        A small file is read instead, at first: that proves that the version is there still.
        """
        self.node = node
        self._source = source
        self._path = node.path
        self._attr = node.attr
        self._opened: OpenFile | None = None
        self._lock = threading.Lock()  # guards the piece, and is held while one is fetched
        self._piece = memoryview(b"")
        self._start = 0  # of the piece, in the file
        self._next = 0  # where the last read ended
        if not source.small_bytes or self._attr.size > source.small_bytes:
            opened = source.open(self._path, self._attr.version)
            self._opened = opened
            if opened.version != self._attr.version:
                self.close()
                raise StaleVersion(f"{source}: {os.fsdecode(self._path)!r}")
        elif self._attr.size and not node.proven:
            self._fetch(0, self._attr.size)

    def read(self, offset: int, size: int) -> bytes:
        """Returns `size` bytes from `offset`, fewer at the end of the file."""
        size = max(0, min(size, self._attr.size - offset))
        with self._lock:
            if not self._start <= offset <= offset + size <= self._start + len(self._piece):
                try:
                    self._fetch(offset, size)
                except StaleVersion as error:
                    raise OSError(errno.EIO, os.strerror(errno.EIO)) from error  # a read has no name to look up
            self._next = offset + size
            return bytes(self._piece[offset - self._start : offset - self._start + size])

    def close(self) -> None:
        """Gives back what the source has opened."""
        opened, self._opened = self._opened, None
        if opened is not None:
            for extent in opened.extents:
                os.close(extent.fd)
            if opened.handle is not None:
                self._source.close_file(opened.handle)

    def _fetch(self, offset: int, size: int) -> None:
        start, length = offset, size
        if self._attr.size <= _SMALL_BYTES:
            start, length = 0, self._attr.size
        elif offset == self._next:
            length = min(max(size, _PIECE_BYTES), self._attr.size - offset)
        buffer = bytearray(length)
        try:
            filled = self._fill(start, memoryview(buffer))
        except StaleVersion:
            self.node.proven = False  # the next open finds out
            raise
        if filled != length:
            raise SourceError(f"{self._source} filled {filled} bytes where {length} were due")
        self._piece, self._start = memoryview(buffer), start
        self.node.proven = True

    def _fill(self, start: int, buffer: memoryview) -> int:
        opened, attr = self._opened, self._attr
        if opened is None:
            return self._source.read_small(self._path, attr.version, attr.size, start, buffer, _note_nothing)
        if opened.handle is not None:
            return self._source.read_into(opened.handle, start, buffer, _note_nothing)
        return _read_lent(opened, start, buffer)


def _read_lent(opened: OpenFile, start: int, buffer: memoryview) -> int:
    """Reads from the open files that the source has lent, which cover the file in order."""
    filled = 0
    begin = 0  # of the extent, in the file
    for extent in opened.extents:
        while filled < len(buffer) and begin <= start + filled < begin + extent.length:
            at = start + filled - begin
            piece = buffer[filled : filled + extent.length - at]
            count = os.preadv(extent.fd, [piece], extent.offset + at)
            if not count:
                return filled
            filled += count
        begin += extent.length
    return filled
