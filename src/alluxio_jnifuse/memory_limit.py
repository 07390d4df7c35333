"""The memory that a container may use, and what of it the caches may take when nobody says how large they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from alluxio_jnifuse.options.option import MIB

# The interpreter, NumPy, gRPC, threads and messages on their way: 52 MB beside the window were the most that was
# measured, with 8 readers of a cluster and no short-circuit. The rest is for what grows with readers and names.
_RESIDENT_BYTES = 96 * MIB
_SMALLEST_BYTES = 4 * MIB  # transient_window's
# cgroup v1 says so many bytes, or a few pages less, where there is no limit.
_NO_LIMIT = 1 << 60


class Budget(NamedTuple):
    """Bytes: `limit` of the container, and of it the most for `window` and `cache`."""

    limit: int
    window: int
    cache: int


def budget(limit: int) -> Budget:
    """What fits into `limit` bytes beside the daemon: a quarter of the rest for the window, half for the cache."""
    room = max(0, limit - _RESIDENT_BYTES)
    return Budget(limit, max(_SMALLEST_BYTES, room // 4), max(_SMALLEST_BYTES, room // 2))


def find(root: str = "/sys/fs/cgroup", membership: str = "/proc/self/cgroup") -> int | None:
    """The smallest limit that this process is under, in bytes; None where there is none.

    In a container `root` may be the container's own part of the hierarchy while `membership` (cgroups(7)) names the
    whole path: what is not there is left out.
    """
    limits = [limit for path in _files(root, membership) for limit in [_read(path)] if limit is not None]
    return min(limits, default=None)


def _files(root: str, membership: str) -> Iterator[str]:
    try:
        with open(membership, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers == "":
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = os.path.join(root, "memory"), "memory.limit_in_bytes"
        else:
            continue
        while True:
            yield os.path.join(base, path.strip("/"), name)
            if path.strip("/") == "":
                break
            path = os.path.dirname(path)


def _read(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            limit = int(file.read())
    except (OSError, ValueError):  # none, or the word max
        return None
    return limit if limit < _NO_LIMIT else None
