"""Block files of a worker on this machine, beside files on the same tmpfs that hold the same bytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from cluster.cluster import Cluster

from benchmarks import data, java
from benchmarks.bench import Bench, evict
from benchmarks.measure import Outcome, Row, Target, at_least, compare
from benchmarks.workloads import MMAP, RANDOM_4K, SEQUENTIAL, SEQUENTIAL_4, Workload, reading

TITLE = "An Alluxio worker on this machine: its block files beside plain ones"
HOW = (
    "One master, one worker with its ramdisk on tmpfs; 4 files of 256 MiB, of one block and of four, mounted with "
    "kernel_cache. Native: the same bytes in files on the same tmpfs. Cold: not in the kernel's page cache of the "
    "mount, one pass; one block is read in passthrough, where there is no such cache."
)

_BLOCK_BYTES = {"one": 256 << 20, "four": 64 << 20}
_NEARLY_NATIVE = at_least(0.95)
_ONE = ((SEQUENTIAL, _NEARLY_NATIVE), (SEQUENTIAL_4, _NEARLY_NATIVE), (MMAP, None), (RANDOM_4K, None))
_COLD = ((SEQUENTIAL, at_least(0.2)), (SEQUENTIAL_4, at_least(0.2)))
_WARM = ((SEQUENTIAL, _NEARLY_NATIVE), (SEQUENTIAL_4, _NEARLY_NATIVE))


def run(bench: Bench) -> Iterator[Row]:
    java.need_java()
    with Cluster(optimized=True, ramdisk_size="4GB") as cluster:
        print("  (copying the data sets into the cluster)", file=sys.stderr, flush=True)
        for number in range(data.LARGE_FILES):
            file = bench.large() / f"large-{number}"
            for blocks, size in _BLOCK_BYTES.items():
                cluster.shell.write(f"/{blocks}/large-{number}", file, block_size=size, write_type="MUST_CACHE")
        with bench.mount(cluster.uri(), "kernel_cache", cluster.client_properties()) as mount:
            for workload, target in _ONE:
                yield _row(bench, mount.pid, "one", "one block", workload, target)
            for workload, target in _COLD:
                yield _row(bench, mount.pid, "four", "four blocks, cold", workload, target, cold=True)
            for workload, target in _WARM:
                yield _row(bench, mount.pid, "four", "four blocks, warm", workload, target)


def _row(
    bench: Bench, pid: int, directory: str, what: str, workload: Workload, target: Target | None, cold: bool = False
) -> Row:
    mounted: Path = bench.mountpoint / directory
    loops = {"loops": 1} if cold else {}
    read = reading(workload, mounted, **loops)

    def work() -> Outcome:
        if cold:
            evict(mounted)
        return read()

    native = reading(workload, bench.large(), **loops)
    return compare(f"{what}: {workload.what}", workload.unit, native, work, runs=bench.runs, pid=pid, target=target)
