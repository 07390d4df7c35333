"""The client cache: bytes that were copied into the daemon's memory once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import alluxio_jnifuse
from benchmarks import fio, machine
from benchmarks.bench import Bench, Wrong, delta, evict
from benchmarks.measure import Outcome, Row, at_least, at_most, compare, single
from benchmarks.workloads import (
    MMAP,
    RANDOM_4K,
    RANDOM_4K_4,
    SEQUENTIAL,
    SEQUENTIAL_4,
    Workload,
    compare_warm,
    reading,
)

TITLE = "Memory page cache over a source that lends nothing"
HOW = (
    "The client cache over 4 files of 256 MiB on tmpfs. First pass: a fresh mount each time. Second: once the cache is "
    "complete. Budget: the cache has a quarter of the room that the data needs."
)

_CACHE = "alluxio.user.client.cache."
_SECOND = (
    (SEQUENTIAL, at_least(0.95)),
    (SEQUENTIAL_4, at_least(0.95)),
    (MMAP, at_least(0.95)),
    (RANDOM_4K, at_least(0.9)),
    (RANDOM_4K_4, at_least(0.8)),
)
_SCATTERED = 2000  # reads of 64 KiB: 128 MB of 8 GiB
_SCATTERED_BYTES = 64 << 10
_WATCH_S = 0.02


def run(bench: Bench) -> Iterator[Row]:
    for workload in (SEQUENTIAL, SEQUENTIAL_4):
        yield _first(bench, workload)
    with bench.mount(bench.large(), properties=_properties("2GB")) as mount:
        reading(SEQUENTIAL, bench.mountpoint, loops=1)()
        before = mount.stats()
        yield from compare_warm(bench, mount.pid, _SECOND, ", second pass")
        grown = delta(before, mount.stats())
        if grown["fetch_read"] or (machine.is_root() and grown["op_read"]):
            raise Wrong(f"the second pass asked for {grown['op_read']} reads and {grown['fetch_read']} fetches")
    yield from _scattered(bench)
    yield from _budget(bench)


def _properties(size: str) -> dict[str, object]:
    return {f"{_CACHE}enabled": True, f"{_CACHE}size": size}


def _first(bench: Bench, workload: Workload) -> Row:
    def work() -> Outcome:
        with bench.mount(bench.large(), properties=_properties("2GB")):
            return reading(workload, bench.mountpoint, loops=1)()

    native = reading(workload, bench.large(), loops=1)
    return compare(f"{workload.what}, first pass", workload.unit, native, work, runs=bench.runs)


def _scattered(bench: Bench) -> Iterator[Row]:
    with bench.mount(bench.huge(), properties=_properties("512MB")) as mount:
        before = mount.stats()
        speed = fio.run("scattered-64k", bench.mountpoint, COUNT=bench.scaled(_SCATTERED))
        grown = delta(before, mount.stats())
    asked = bench.scaled(_SCATTERED) * _SCATTERED_BYTES
    if speed.bytes != asked:
        raise Wrong(f"fio read {speed.bytes} bytes, not {asked}")
    yield single(
        "bytes fetched ÷ asked for, random 64 KiB", "", grown["fetch_bytes"] / asked, target=at_most(1.2),
        note=f"{grown['op_read_bytes'] / asked:.2f} asked for by the kernel",
    )  # fmt: skip


def _budget(bench: Bench) -> Iterator[Row]:
    budget = 4 * (bench.large() / "large-0").stat().st_size // 4
    with bench.mount(bench.large(), properties=_properties(str(budget))) as mount:
        with _Watch(mount) as watch:
            for _ in range(3):
                evict(bench.mountpoint)
                reading(SEQUENTIAL, bench.mountpoint, loops=1)()
                reading(SEQUENTIAL_4, bench.mountpoint, loops=1)()
                reading(RANDOM_4K_4, bench.mountpoint)()
        evicted = mount.stats()["pages_evicted"]
    if not evicted:
        raise Wrong("nothing was evicted")
    note = f"{watch.samples} samples, {evicted} pages evicted"
    yield single("most in use ÷ budget, four times the data", "", watch.used / budget, target=at_most(1.1), note=note)
    yield single("most memory of the daemon ÷ budget", "", watch.resident / budget, target=at_most(1.1), note=note)


class _Watch:
    """The most that the cache says it uses, and the most that the kernel says the daemon uses, while it runs."""

    def __init__(self, mount: alluxio_jnifuse.Mount) -> None:
        self.used = self.resident = self.samples = 0
        self._mount = mount
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(_WATCH_S):
            self.used = max(self.used, self._mount.stats()["cache_used_bytes"])
            self.resident = max(self.resident, machine.memory(self._mount.pid).get("Pss_Shmem", 0))
            self.samples += 1
