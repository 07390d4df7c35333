"""Which files may be opened because a worker names them.

A worker is another machine's process, or another user's: it must not choose what this process, which may be root,
reads and hands to the users of the mount. A block file is called as its block, lies in the data folder of a directory
of the worker, and no symbolic link leads to it. If the directories are configured here, it lies in one of them, and
only the path to that directory may have links, since the configuration names it.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from alluxio_jnifuse import _core

if TYPE_CHECKING:
    from collections.abc import Sequence


class BlockFiles:
    """`folder`: the data folder, relative; `directories`: what it lies in; empty: any directory.

    Any thread.
    """

    def __init__(self, directories: Sequence[str], folder: str) -> None:
        self._directories = tuple(os.path.normpath(directory) for directory in directories)
        self._folder = os.path.normpath(folder) if folder else ""

    def open(self, path: str, block_id: int, length: int) -> int | None:
        """A descriptor of the file that a worker says a block has; None when it is none or too short."""
        found = self._place(path, block_id)
        return _open(*found, length) if found else None

    def is_seen(self, path: str, block_id: int) -> bool:
        """Whether there is the directory in which a worker says that a block's file lies."""
        found = self._place(path, block_id)
        if found is None:
            return False
        try:
            os.close(_open_beneath(found[0], os.path.dirname(found[1]), os.O_PATH | os.O_DIRECTORY))
        except OSError:
            return False
        return True

    def open_in(self, directory: str, block_id: int, length: int) -> int | None:
        """The file that a block has in one of the directories, if it has one there."""
        return _open(directory, os.path.join(self._folder, str(block_id)), length)

    def _place(self, path: str, block_id: int) -> tuple[str, str] | None:
        """The directory that is trusted, and the path within it."""
        ending = os.path.join("/", self._folder, str(block_id))
        if "\0" in path or not path.startswith("/") or not path.endswith(ending) or os.path.normpath(path) != path:
            return None
        directory = path[: -len(ending)]
        if self._directories:
            return (directory, ending[1:]) if directory in self._directories else None
        return ("/", path[1:]) if self._folder else None


def _open(directory: str, path: str, length: int) -> int | None:
    try:
        fd = _open_beneath(directory, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_size >= length:
        return fd
    os.close(fd)
    return None


def _open_beneath(directory: str, path: str, flags: int) -> int:
    top = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _core.open_beneath(top, os.fsencode(path), flags)
    finally:
        os.close(top)
