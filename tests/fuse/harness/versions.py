"""A file whose versions can be told apart, and a child that reads it when told to."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from alluxio_jnifuse.testing import pattern
from harness.children import Child, Children
from harness.mounting import Mounted
from harness.readers import MIB

SIZE = 24 * MIB
NOW = "attr_timeout=0,entry_timeout=0"  # the kernel asks about every name and attribute each time


class Reader:
    """A child that has a file open and reads ranges of it when told to."""

    def __init__(self, children: Children, path: str) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        self._child: Child = children.start(obey, theirs, path)
        theirs.close()
        self._answer()

    def read(self, offset: int, length: int) -> int:
        """The generation of the bytes there; -errno, or 0 for bytes of none or of several."""
        self._ours.send((offset, length))
        return self._answer()

    def close(self) -> None:
        """Ends the child and with it its handle."""
        if not self._ours.closed:
            self._ours.send(None)
            self._ours.close()
            self._child.result(120)

    def _answer(self) -> int:
        assert self._ours.poll(10), "the reader does not answer"
        return self._ours.recv()


def obey(orders: Connection, path: str) -> None:
    """The child of a Reader."""
    fd = os.open(path, os.O_RDONLY)
    orders.send(0)
    while wanted := orders.recv():
        orders.send(generation_of(fd, *wanted))


def generation_of(fd: int, offset: int, length: int) -> int:
    """See Reader.read."""
    try:
        data = os.pread(fd, length, offset)
    except OSError as error:
        return -(error.errno or 0)
    return next((g for g in range(1, 9) if data and data == pattern(b"/file", g, offset, len(data))), 0)


def put(path: Path, generation: int, size: int = SIZE, *, in_place: bool = False) -> None:
    """Writes a generation: into a new file that replaces `path` at once, or over the old bytes."""
    target = path if in_place else path.with_name("unfinished")
    with open(target, "r+b" if in_place else "wb") as file:
        file.write(pattern(b"/file", generation, 0, size))
        file.truncate(size)
    if not in_place:
        target.replace(path)


Readers = Callable[[Mounted], Reader]
