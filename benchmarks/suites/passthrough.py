"""Large files that the kernel reads without the daemon."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench, Wrong
from benchmarks.measure import Row, at_least, at_most, single
from benchmarks.workloads import (
    MMAP,
    RANDOM_4K,
    RANDOM_4K_4,
    RANDOM_128K,
    RANDOM_128K_4,
    SEQUENTIAL,
    SEQUENTIAL_4,
    compare_warm,
)

TITLE = "Passthrough: a directory at its own speed"
HOW = "4 files of 256 MiB on tmpfs, default options, warm on both sides; fio, psync unless it says mmap."

_WORKLOADS = (
    (SEQUENTIAL, at_least(0.95)),
    (SEQUENTIAL_4, at_least(0.95)),
    (MMAP, at_least(0.95)),
    (RANDOM_4K, at_least(0.9)),
    (RANDOM_128K, at_least(0.9)),
    (RANDOM_4K_4, at_least(0.8)),
    (RANDOM_128K_4, at_least(0.8)),
)


def run(bench: Bench) -> Iterator[Row]:
    bench.need_root()
    cpu = 0.0
    with bench.mount(bench.large()) as mount:
        for row in compare_warm(bench, mount.pid, _WORKLOADS):
            yield row
            cpu = max(cpu, row.daemon_cpu or 0.0)
        reads = mount.stats()["op_read"]
    if reads:
        raise Wrong(f"{reads} reads went through the daemon")
    yield single("most CPU of the daemon in a row above", "s/s", cpu, target=at_most(0.01))
