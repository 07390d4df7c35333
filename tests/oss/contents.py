"""Where the bytes of objects lie: short ones in memory, others each in a file beneath one directory.

They are never changed: what is put under the same key again is another content. The file of one goes with the last
who refers to it, so that a deleted object is still sent to those who had asked before.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_SHORT_BYTES = 64 << 10  # as most of a data set's small files: they go with the head of the answer, nothing is opened
_PIECE_BYTES = 4 << 20


class Content:
    """Bytes: `data`, or those of the file at `path`. `ours`: it is removed with this."""

    __slots__ = ("data", "ours", "path", "size")

    def __init__(self, size: int, data: bytes = b"", path: Path | None = None, ours: bool = False) -> None:
        self.size = size
        self.data = data
        self.path = path
        self.ours = ours

    def __del__(self) -> None:
        if self.path is not None and self.ours:
            self.path.unlink(missing_ok=True)

    def read(self, offset: int, length: int) -> bytes:
        """Some of them."""
        if self.path is None:
            return self.data[offset : offset + length]
        with open(self.path, "rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset)

    def pieces(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Some of them, in pieces of a few MiB."""
        end = self.size if length is None else offset + length
        for at in range(offset, end, _PIECE_BYTES):
            yield self.read(at, min(_PIECE_BYTES, end - at))


class Contents:
    """A directory that holds some. Any thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = itertools.count()

    def keep(self, pieces: Iterable[bytes]) -> Content:
        """Bytes that come piece by piece, in memory while they are few."""
        held = b""
        rest = iter(pieces)
        for piece in rest:
            held += piece
            if len(held) > _SHORT_BYTES:
                return self._write(itertools.chain([held], rest))
        return Content(len(held), held)

    def _write(self, pieces: Iterable[bytes]) -> Content:
        path = self._directory / str(next(self._numbers))
        made = Content(0, path=path, ours=True)
        with open(path, "wb", buffering=0) as file:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
            made.size = file.tell()
        return made


def of_file(path: Path) -> Content:
    """Those of somebody's file, in place: it must not be changed, and is not removed."""
    return Content(path.stat().st_size, path=path)
