"""The work of a mount between two moments: rates, waits and shares, from two snapshots of its counters (stats.py).

Bytes that the kernel reads by itself, from its pages or in passthrough, reach no counter of the daemon.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from alluxio_jnifuse.mounts.stats import Snapshot
from alluxio_jnifuse.mounts.times import Times

_OPENED = ("open_passthrough", "open_cached", "open_direct", "open_by_read")


class Waits(NamedTuple):
    """The requests or fetches of one kind in an interval; times in seconds, of those that ended in it."""

    number: int
    mean_s: float
    p50_s: float
    p99_s: float
    errors: dict[str, int]  # by the name of the errno


class Rates(NamedTuple):
    """One interval. Rates are per second; sizes in bytes."""

    seconds: float
    requests: float  # of the kernel, FORGET apart
    read_bytes: float  # asked of the daemon
    fetched_bytes: float  # from the storage, those that the client cache on disk had apart
    disk_bytes: float  # from the client cache on disk
    ahead: float | None  # of the fetched bytes, the share that nobody had asked for yet; None: nothing was fetched
    hits: float | None  # of the bytes asked for, the share that was on this machine; None: none were
    opens: float
    passthrough: float | None  # the share of the opens that the kernel reads by itself; None: there were none
    errors: float  # requests that failed, but for names that do not exist
    waiting: int  # requests that wait now
    fetching: int  # fetches that are queued or at the source now
    cached_bytes: int  # of the client cache in memory and the window now
    waits: dict[str, Waits]  # by the names of docs/METRICS.md; only kinds of which there were any


def between(before: Snapshot | None, after: Snapshot, began_ns: int = 0) -> Rates:
    """The interval from one snapshot to another; `before` None: from the start of the mount, at `began_ns`."""
    start_ns = began_ns if before is None else before.time_ns
    seconds = max((after.time_ns - start_ns) / 1e9, 1e-9)
    old = {} if before is None else before.stats
    count = {name: value - old.get(name, 0) for name, value in after.stats.items()}
    waits = _waits({} if before is None else before.times, after.times)
    operations = {name: each for name, each in waits.items() if name.startswith("op_")}
    # The core fetches from the client cache on disk as from a storage.
    disk = count.get("cache_hit_bytes", 0)
    missed = count["read_miss_bytes"]
    here = count["read_hit_bytes"] + count["read_borrowed_bytes"] + min(disk, missed)
    opens = sum(count[name] for name in _OPENED)
    failed = sum(number for each in operations.values() for name, number in each.errors.items() if name != "ENOENT")
    return Rates(
        seconds=seconds,
        requests=sum(each.number for each in operations.values()) / seconds,
        read_bytes=count["op_read_bytes"] / seconds,
        fetched_bytes=max(0, count["fetch_bytes"] - disk) / seconds,
        disk_bytes=disk / seconds,
        ahead=_share(count["fetch_prefetch_bytes"], count["fetch_bytes"]),
        hits=_share(here, here + missed - min(disk, missed)),
        opens=opens / seconds,
        passthrough=_share(count["open_passthrough"], opens),
        errors=failed / seconds,
        waiting=after.stats["requests_born"] - after.stats["requests_died"],
        fetching=after.stats["fetches_born"] - after.stats["fetches_died"],
        cached_bytes=after.stats["cache_used_bytes"],
        waits=waits,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole > 0 else None


def _waits(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> dict[str, Waits]:
    found = {}
    for name, told in after.items():
        times = _difference(before.get(name, {}), told)
        if times.number or times.errors:
            mean_s = times.sum_s / times.number if times.number else 0.0
            found[name] = Waits(times.number, mean_s, times.quantile_s(0.5), times.quantile_s(0.99), dict(times.errors))
    return found


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Times:
    """The histogram of what came between two reports of Times."""
    from alluxio_jnifuse._core import time_ranges

    bounds = time_ranges()
    old, new = before.get("from_us", {}), after["from_us"]
    ranges = tuple(new.get(str(start), 0) - old.get(str(start), 0) for start in bounds)
    failed = {name: number - before.get("errors", {}).get(name, 0) for name, number in after["errors"].items()}
    sum_ns = round((after["sum_seconds"] - before.get("sum_seconds", 0.0)) * 1e9)
    return Times(sum_ns, ranges, {name: number for name, number in failed.items() if number}, bounds)
