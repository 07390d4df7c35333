"""The paths of the files of the LOCAL store beneath its directory, and the bytes that pages take there."""

from __future__ import annotations

import os

from alluxio_jnifuse._wire import SUM_BYTES
from alluxio_jnifuse.cache.store import granules

SUMS = ".sums"

# The bytes that a page takes beside its own: its sums, and one more run of blocks in the file system.
OVERHEAD_BYTES = 4096


def name_of(digest: bytes) -> str:
    """Returns where the bytes of a file lie, beneath the directory of the store."""
    name = digest.hex()
    return f"{name[:2]}/{name}"


def allocated(stored: int) -> int:
    """Returns the bytes of the budget that a page with so many bytes takes."""
    return granules(stored) * SUM_BYTES + OVERHEAD_BYTES if stored else 0


def make_directory(name: str, parent: int) -> None:
    """Makes one of the directories that files lie in, unless it is there."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        pass
