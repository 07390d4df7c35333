"""The memory and processors of this machine that a container may use, and the share of the memory for caches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from alluxio_jnifuse.config.options.option import MIB

ROOT = "/sys/fs/cgroup"
MEMBERSHIP = "/proc/self/cgroup"

# The interpreter, NumPy, gRPC, threads and messages on their way: 52 MB beside the window were the most that was
# measured, with 8 readers of a cluster and no short-circuit. The rest is for what grows with readers and names.
_RESIDENT_BYTES = 96 * MIB
_SMALLEST_BYTES = 4 * MIB  # transient_window's
PATH_BYTES = 1 << 10  # of a path that is remembered; 450 were measured
_LISTING_COPIES = 4  # of a listing while it is received, some of them larger than it is
_LISTINGS_SHARE, _LISTINGS_SHARE_CACHING = 6, 16
# cgroup v1 says so many bytes, or a few pages less, where there is no limit.
_NO_LIMIT = 1 << 60

Limit = TypeVar("Limit", int, float)


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
    """Returns the sizes that fit into `limit` bytes beside the daemon: a quarter of the rest for the window, half for
    the cache, and of the last quarter as much for a listing as can be received in it. Listings that are kept have more
    room where no cache is in memory: `caching`.
    """
    room = max(0, limit - _RESIDENT_BYTES)
    kept_share = _LISTINGS_SHARE_CACHING if caching else _LISTINGS_SHARE
    shares = (max(_SMALLEST_BYTES, room // share) for share in (4, 2, 4 * _LISTING_COPIES, kept_share))
    return Budget(limit, *shares)


def memory(root: str = ROOT, membership: str = MEMBERSHIP) -> int | None:
    """The smallest limit that this process is under, in bytes; None where there is none."""
    return _smallest(files(root, membership, "memory", "memory.max", "memory.limit_in_bytes"), _bytes_of)


def processors(root: str = ROOT, membership: str = MEMBERSHIP) -> float | None:
    """The smallest quota that this process is under, in processors; None where there is none."""
    return _smallest(files(root, membership, "cpu", "cpu.max", "cpu.cfs_quota_us"), _quota_of)


def installed() -> int:
    """The memory of this machine, bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def files(root: str, membership: str, controller: str, unified: str, legacy: str) -> Iterator[str]:
    """Paths that a limit may have: `unified` is the file's name in version 2, `legacy` in version 1.

    In a container `root` may be the container's own part of the hierarchy while `membership` names the whole path: not
    every one of these files is there.
    """
    try:
        with open(membership, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers == "":
            base, name = root, unified
        elif controller in controllers.split(","):
            base, name = os.path.join(root, controller), legacy
        else:
            continue
        while True:
            yield os.path.join(base, path.strip("/"), name)
            if path.strip("/") == "":
                break
            path = os.path.dirname(path)


def _smallest(paths: Iterable[str], read: Callable[[str], Limit | None]) -> Limit | None:
    limits = [limit for path in paths for limit in [read(path)] if limit is not None]
    return min(limits, default=None)


def _bytes_of(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            limit = int(file.read())
    except (OSError, ValueError):  # none, or the word max
        return None
    return limit if limit < _NO_LIMIT else None


def _quota_of(path: str) -> float | None:
    try:
        with open(path, encoding="ascii") as file:
            words = file.read().split()
        if len(words) == 1:  # version 1 has a file for each
            with open(os.path.join(os.path.dirname(path), "cpu.cfs_period_us"), encoding="ascii") as file:
                words += file.read().split()
        quota, period = map(int, words)
    except (OSError, ValueError):  # none, or the word max
        return None
    return quota / period if quota > 0 and period > 0 else None
