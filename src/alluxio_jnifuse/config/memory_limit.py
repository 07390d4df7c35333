"""The memory that a container may use, and what of it the caches may take when nobody says how large they are."""

from __future__ import annotations

import os
from typing import NamedTuple

from alluxio_jnifuse.config import cgroups
from alluxio_jnifuse.config.options.option import MIB

# The interpreter, NumPy, gRPC, threads and messages on their way: 52 MB beside the window were the most that was
# measured, with 8 readers of a cluster and no short-circuit. The rest is for what grows with readers and names.
_RESIDENT_BYTES = 96 * MIB
_SMALLEST_BYTES = 4 * MIB  # transient_window's
PATH_BYTES = 1 << 10  # of a path that is remembered; 450 were measured
_LISTING_COPIES = 4  # of a listing while it is received, some of them larger than it is
_LISTINGS_SHARE, _LISTINGS_SHARE_CACHING = 6, 16
# cgroup v1 says so many bytes, or a few pages less, where there is no limit.
_NO_LIMIT = 1 << 60


class Budget(NamedTuple):
    """Bytes: `limit` of the container, and of it the most for `window`, `cache` and a `listing` that is received.

    `listings`: the most for those that are kept for new opens, and for the others that are open.
    """

    limit: int
    window: int
    cache: int
    listing: int
    listings: int


def budget(limit: int, *, caching: bool = False) -> Budget:
    """What fits into `limit` bytes beside the daemon: a quarter of the rest for the window, half for the cache, and
    of the last quarter as much for a listing as can be received in it. Listings that are kept have more room where
    no cache is in memory: `caching`.
    """
    room = max(0, limit - _RESIDENT_BYTES)
    kept_share = _LISTINGS_SHARE_CACHING if caching else _LISTINGS_SHARE
    shares = (max(_SMALLEST_BYTES, room // share) for share in (4, 2, 4 * _LISTING_COPIES, kept_share))
    return Budget(limit, *shares)


def find(root: str = cgroups.ROOT, membership: str = cgroups.MEMBERSHIP) -> int | None:
    """The smallest limit that this process is under, in bytes; None where there is none."""
    paths = cgroups.files(root, membership, "memory", "memory.max", "memory.limit_in_bytes")
    limits = [limit for path in paths for limit in [_read(path)] if limit is not None]
    return min(limits, default=None)


def installed() -> int:
    """The memory of this machine, bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _read(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            limit = int(file.read())
    except (OSError, ValueError):  # none, or the word max
        return None
    return limit if limit < _NO_LIMIT else None
