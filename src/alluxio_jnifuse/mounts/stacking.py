"""How deep file systems are stacked below a mount, and how deep a mount must be for passthrough to reach them.

The kernel stacks two file systems, no more. A mount says in INIT how deep it is itself: passthrough reaches what lies
less deep, and an overlay can be mounted on it if it is not deeper than 1. So both work where the bytes lie on a plain
file system; where they lie on an overlay, as in a container's own root, it is one or the other.
"""

from __future__ import annotations

import os

from alluxio_jnifuse.mounts import table

NOTHING, PLAIN, OVERLAY = range(3)  # the depth of a mount that lends nothing, files of a disk, files of an overlay

_STACKED = ("overlay", "ecryptfs")


def depth_over(directory: int | str) -> int:
    """The depth of a mount that lends files of `directory`: PLAIN or OVERLAY. Raises OSError."""
    device = os.stat(directory).st_dev  # of a directory, this is the file system's own on an overlay, too
    mounts = (entry for entry in table.read() if os.makedev(entry.major, entry.minor) == device)
    return OVERLAY if any(entry.fstype in _STACKED for entry in mounts) else PLAIN
