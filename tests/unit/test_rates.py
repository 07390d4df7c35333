"""Figures of an interval: exactly what came between two snapshots."""

from __future__ import annotations

import pytest

from alluxio_jnifuse import _core
from alluxio_jnifuse.mounts.rates import between
from alluxio_jnifuse.mounts.stats import Snapshot
from alluxio_jnifuse.mounts.times import Times

BOUNDS = _core.time_ranges()


def snapshot(seconds: float, times: dict[str, Times], **counts: int) -> Snapshot:
    stats = dict.fromkeys((name for name, _ in _core.counter_rows()), 0)
    stats.update(counts)
    return Snapshot(int(seconds * 1e9), [], stats, {}, {name: each.report() for name, each in times.items()})


def times(durations_us: list[int], **errors: int) -> Times:
    ranges = [0] * len(BOUNDS)
    for duration in durations_us:
        ranges[max(at for at, start in enumerate(BOUNDS) if start <= duration)] += 1
    return Times(sum(durations_us) * 1000, tuple(ranges), errors, BOUNDS)


def test_rates_are_of_the_interval() -> None:
    before = snapshot(10, {}, op_read_bytes=1000, fetch_bytes=500, fetch_prefetch_bytes=100, open_passthrough=5)
    after = snapshot(
        12, {}, op_read_bytes=5000, fetch_bytes=900, fetch_prefetch_bytes=200, open_passthrough=8, open_cached=3,
        read_hit_bytes=30, read_borrowed_bytes=30, read_miss_bytes=20, requests_born=9, requests_died=7,
        fetches_born=4, fetches_died=1, cache_used_bytes=77,
    )  # fmt: skip
    found = between(before, after)
    assert (found.seconds, found.read_bytes, found.fetched_bytes, found.opens) == (2, 2000, 200, 3)
    assert (found.ahead, found.hits, found.passthrough) == (0.25, 0.75, 0.5)
    assert (found.waiting, found.fetching, found.cached_bytes) == (2, 3, 77)


def test_bytes_of_the_cache_on_disk_are_here() -> None:
    """The core fetches them like others; part of them before anybody asks."""
    before = snapshot(0, {}, cache_hit_bytes=1000)
    counts = {"op_read_bytes": 600, "read_hit_bytes": 200, "read_miss_bytes": 400, "fetch_bytes": 900}
    found = between(before, snapshot(1, {}, **counts, cache_hit_bytes=1000 + 900))
    assert (found.fetched_bytes, found.disk_bytes, found.hits) == (0, 900, 1)
    found = between(before, snapshot(1, {}, **counts, cache_hit_bytes=1000 + 300))
    assert (found.fetched_bytes, found.disk_bytes, found.hits) == (600, 300, 500 / 600)


def test_shares_of_nothing() -> None:
    found = between(snapshot(1, {}), snapshot(2, {}))
    assert found.ahead is found.hits is found.passthrough is None
    assert found.waits == {}
    assert found.requests == found.errors == 0


def test_waits_are_of_the_interval() -> None:
    """The slow ones of before do not count, nor does a kind of which there was none."""
    old, new = [1_000_000] * 50, [100] * 98 + [50_000] * 2
    before = snapshot(0, {"op_read": times(old, EIO=3), "op_open": times([10])})
    after = snapshot(1, {"op_read": times(old + new, EIO=4), "op_open": times([10])})
    found = between(before, after)
    assert set(found.waits) == {"op_read"}
    read = found.waits["op_read"]
    assert read.number == 100
    assert read.mean_s == pytest.approx((98 * 100e-6 + 2 * 50e-3) / 100)
    assert read.p50_s == pytest.approx(100e-6, rel=0.25)
    assert read.p99_s == pytest.approx(50e-3, rel=0.25)
    assert read.errors == {"EIO": 1}
    assert found.requests == 100


def test_names_that_do_not_exist_are_no_errors() -> None:
    found = between(snapshot(0, {}), snapshot(1, {"op_lookup": times([5] * 9, ENOENT=8, EACCES=1)}))
    assert found.errors == 1
    assert found.waits["op_lookup"].errors == {"ENOENT": 8, "EACCES": 1}


def test_since_the_beginning() -> None:
    found = between(None, snapshot(30, {}, op_read_bytes=1000), began_ns=10 * 10**9)
    assert (found.seconds, found.read_bytes) == (20, 50)


def test_no_time_has_passed() -> None:
    """Two snapshots of one tick of the clock."""
    assert between(snapshot(1, {}), snapshot(1, {})).requests == 0
