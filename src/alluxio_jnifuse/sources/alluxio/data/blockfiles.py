"""Which files may be opened because a worker names them.

A worker is another machine's process, or another user's: it must not choose what this process, which may be root,
reads and hands to the users of the mount. A block file is called as its block, lies in the data folder of a directory
of the worker, and no symbolic link leads to it. If the directories are configured here, it lies in one of them, and
only the path to that directory may have links, since the configuration names it.

A file of a block is complete once it has the block's length, and never changes.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse import _core

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Place(NamedTuple):
    """Block files lie in `folder`, relative, with a slash at its end, beneath `top`, which is trusted."""

    top: bytes
    folder: bytes

    def open(self, block_id: int, length: int) -> int | None:
        """A descriptor of the file of a block; None when it is none or too short."""
        try:
            return _core.open_file_beneath(self.top, b"%s%d" % (self.folder, block_id), length)
        except OSError:
            return None

    def read(self, block_id: int, length: int, offset: int, buffer: memoryview) -> bool:
        """Fills `buffer` from byte `offset` of that file. False: it has not so much, whatever is in `buffer` now."""
        try:
            filled = _core.read_file_beneath(self.top, b"%s%d" % (self.folder, block_id), length, offset, buffer)
        except OSError:
            return False
        return filled == len(buffer)

    def is_seen(self) -> bool:
        """Whether there is such a directory, as far as can be told while descriptors and memory are short."""
        try:
            top = os.open(self.top, os.O_PATH | os.O_DIRECTORY)
            try:
                os.close(_core.open_beneath(top, self.folder, os.O_PATH | os.O_DIRECTORY))
            finally:
                os.close(top)
        except OSError as error:
            return error.errno in _SHORT
        return True


class BlockFiles:
    """`folder`: the data folder, relative; `directories`: what it lies in; empty: any directory.

    Any thread.
    """

    def __init__(self, directories: Sequence[str], folder: str) -> None:
        self._directories = tuple(os.path.normpath(directory) for directory in directories)
        self._folder = os.path.normpath(folder) if folder else ""

    def place_of(self, path: str, block_id: int) -> Place | None:
        """The place of the block file that a worker names; None: it must not be opened."""
        ending = os.path.join("/", self._folder, str(block_id))
        if "\0" in path or not path.startswith("/") or not path.endswith(ending) or os.path.normpath(path) != path:
            return None
        directory = path[: -len(ending)]
        if self._directories:
            return self.place_in(directory) if directory in self._directories else None
        return _place("/", os.path.dirname(path)[1:]) if self._folder else None

    def place_in(self, directory: str) -> Place:
        """Their place in a directory of a worker, which is trusted."""
        return _place(directory, self._folder)


def _place(top: str, folder: str) -> Place:
    return Place(os.fsencode(top), os.fsencode(folder) + b"/" if folder else b"")
