"""The same files served by the daemon: what an ordinary user gets, and an older kernel."""

from __future__ import annotations

from collections.abc import Iterator

import alluxio_jnifuse
from benchmarks.bench import Bench, Wrong, delta, evict
from benchmarks.measure import Outcome, Row, Target, Work, at_least, compare
from benchmarks.workloads import (
    MMAP,
    RANDOM_4K,
    RANDOM_4K_4,
    RANDOM_128K,
    SEQUENTIAL,
    SEQUENTIAL_4,
    Workload,
    compare_warm,
    reading,
)

TITLE = "Through the daemon: passthrough=off"
HOW = (
    "4 files of 256 MiB on tmpfs. Cold: not in the kernel's page cache of the mount, one pass. Warm: with "
    "kernel_cache, after a first pass. direct_io: the kernel keeps nothing."
)

_COLD = ((SEQUENTIAL, at_least(0.2)), (SEQUENTIAL_4, at_least(0.2)), (MMAP, None))
_WARM = (
    (SEQUENTIAL, at_least(0.95)),
    (SEQUENTIAL_4, at_least(0.95)),
    (MMAP, at_least(0.95)),
    (RANDOM_4K, at_least(0.9)),
)
_DIRECT = ((SEQUENTIAL, None), (SEQUENTIAL_4, None), (RANDOM_4K, None), (RANDOM_4K_4, None), (RANDOM_128K, None))


# Some machines reclaim pages that look idle (DAMON) even while memory is free.
_RECLAIMED = 0.5  # of all bytes; each workload reads many times as much


def run(bench: Bench) -> Iterator[Row]:
    with bench.mount(bench.large(), "passthrough=off") as mount:
        for workload, target in _COLD:
            yield _cold(bench, mount, workload, target)
    with bench.mount(bench.large(), "passthrough=off,kernel_cache") as mount:
        reading(SEQUENTIAL, bench.mountpoint, loops=1)()
        before = mount.stats()
        yield from compare_warm(bench, mount.pid, _WARM, ", warm")
        asked = delta(before, mount.stats())["op_read_bytes"]
        if asked > _RECLAIMED * _size(bench):
            raise Wrong(f"warm reads asked the daemon for {asked} bytes")
    with bench.mount(bench.large(), "direct_io") as mount:
        yield from compare_warm(bench, mount.pid, _DIRECT, ", direct_io")


def _cold(bench: Bench, mount: alluxio_jnifuse.Mount, workload: Workload, target: Target | None) -> Row:
    total = _size(bench)
    once = reading(workload, bench.mountpoint, loops=1)

    def work() -> Outcome:
        evict(bench.mountpoint)
        before = mount.stats()
        done = once()
        asked = delta(before, mount.stats())["op_read_bytes"]
        if asked < 0.99 * total:
            raise Wrong(f"a cold pass over {total} bytes asked the daemon for {asked}")
        return done

    native: Work = reading(workload, bench.large(), loops=1)
    return compare(workload.what + ", cold", workload.unit, native, work, runs=bench.runs, pid=mount.pid, target=target)


def _size(bench: Bench) -> int:
    return sum(path.stat().st_size for path in bench.large().iterdir())
