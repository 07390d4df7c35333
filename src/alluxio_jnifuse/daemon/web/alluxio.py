"""Figures of a mount under the names that AlluxioFuse gives them (MetricKey.java, and the timers of its FUSE calls).

Only what means the same here. A name is looked up by LOOKUP and asked for by GETATTR: AlluxioFuse has one call for
both, `Getattr`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alluxio_jnifuse.daemon.hit_ratio import cached_and_missed
from alluxio_jnifuse.mounts.times import Times

_CALLS = {
    "Getattr": ("op_lookup", "op_getattr"),
    "Readlink": ("op_readlink",),
    "Open": ("op_open",),
    "Read": ("op_read",),
    "Release": ("op_release",),
    "Opendir": ("op_opendir",),
    "Readdir": ("op_readdir", "op_readdirplus"),
    "Releasedir": ("op_releasedir",),
    "Statfs": ("op_statfs",),
}


class Figures(NamedTuple):
    """By Alluxio's kinds of metrics, each by its name. Meters are counters whose rate is of interest."""

    gauges: dict[str, float]
    counters: dict[str, int]
    meters: dict[str, int]
    timers: dict[str, Times]


def figures(stats: Mapping[str, int], times: Mapping[str, Times], cache_bytes: int) -> Figures:
    """`cache_bytes`: the budget of the client cache; 0: it is off, and nothing is told of it."""
    timers = {f"Fuse.{call}": together([times[name] for name in names]) for call, names in _CALLS.items()}
    failures = {f"{name}Failures": sum(timer.errors.values()) for name, timer in timers.items()}
    timers["Fuse.TotalCalls"] = together(list(timers.values()))
    opened = stats["op_open"] - failures["Fuse.OpenFailures"] - stats["op_release"]
    gauges: dict[str, float] = {
        "Fuse.ReadWriteFileCount": max(0, opened),
        "Fuse.CachedPathCount": stats["inodes_born"] - stats["inodes_died"],
    }
    if not cache_bytes:
        return Figures(gauges, failures, {}, timers)
    disk = "cache_pages" in stats
    cached, missed = cached_and_missed(stats)
    wanted = stats["cache_miss_bytes"] if disk else stats["read_miss_bytes"]
    used = stats["cache_disk_used_bytes"] if disk else stats["cache_used_bytes"]
    gauges["Client.CacheHitRate"] = cached / (cached + wanted) if cached + wanted else 0.0
    gauges["Client.CacheSpaceUsed"] = used
    gauges["Client.CacheSpaceAvailable"] = max(0, cache_bytes - used)
    meters = {
        "Client.CacheBytesReadCache": cached,
        "Client.CacheBytesReadExternal": missed,
        "Client.CacheBytesRequestedExternal": wanted,
        "Client.CachePagesEvicted": stats["cache_evicted_pages"] if disk else stats["pages_evicted"],
    }
    pages = stats["cache_pages"] if disk else stats["pages_born"] - stats["pages_died"]
    return Figures(gauges, {**failures, "Client.CachePages": pages}, meters, timers)


def together(several: list[Times]) -> Times:
    """One histogram of several."""
    errors: dict[str, int] = {}
    for each in several:
        for name, number in each.errors.items():
            errors[name] = errors.get(name, 0) + number
    ranges = tuple(map(sum, zip(*(each.ranges for each in several))))
    return Times(sum(each.sum_ns for each in several), ranges, errors, several[0].bounds_us)
