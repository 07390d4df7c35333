"""Whether what is mounted somewhere answers, and in words why it does not."""

from __future__ import annotations

import errno
import os

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import table

# A live mount answers in microseconds; one whose storage hangs must not hang the command.
_PROBE_S = 5.0
_DEAD_PROBE_S = 1.0  # a dead one answers at once
DIED = "its process has died; mount it again, or remove it (alluxio-jnifuse umount {})"
DEAD = (errno.ENOTCONN, errno.ECONNABORTED)  # what a mount answers whose daemon is no more


def dead() -> list[str]:
    """Returns where mounts are left whose process has died."""
    found = {entry.mountpoint for entry in table.read() if entry.fstype == table.FSTYPE}
    return [path for path in sorted(found) if table.probe(path, _DEAD_PROBE_S, os.statvfs) in DEAD]


def why_not_ours(path: str) -> str:
    """Why the resolved path `path`, which is among the running mounts of nobody, cannot be worked with."""
    entry = table.top_at(path)
    if entry is None:
        return "not mounted"
    if entry.fstype != table.FSTYPE:
        return f"not mounted by us: {entry.source} ({entry.fstype}) is there"
    if table.probe(path, _PROBE_S, os.statvfs) in DEAD:
        return DIED.format(path)
    return "it is mounted by another user, in another container, or by AlluxioFuse; ask there"


def is_stale(path: str) -> bool:
    """Whether what is mounted at `path` has no daemon any more. Raises MountError when it does not answer."""
    # Not stat: the kernel would answer from its cache.
    code = table.probe(path, _PROBE_S, os.statvfs)
    if code is None:
        raise MountError(
            f"something is mounted there that does not answer within {_PROBE_S:g} s",
            where=path,
            remedy=f"look at it, then detach it (umount -l {path})",
        )
    return code in DEAD
