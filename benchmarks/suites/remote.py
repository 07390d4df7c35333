"""The rates of a bare gRPC client of a worker, and of a mount, for the same bytes."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from cluster.cluster import Cluster

from benchmarks import data, grpc_reader, java
from benchmarks.bench import Bench
from benchmarks.measure import Row, Sample, at_least, row_of_pairs, sample, single
from benchmarks.workloads import RANDOM_4K, RANDOM_128K, SEQUENTIAL, SEQUENTIAL_4, Workload, reading

TITLE = "An Alluxio worker over TCP: side by side with a bare gRPC client"
PEER = "bare gRPC"
HOW = (
    "One master, one worker with its ramdisk on tmpfs, short-circuit off; 4 files of 256 MiB in blocks of 64 MiB. The "
    "peer is a Python program that takes the messages of ReadBlock as bytes, without acknowledgements and without "
    "looking into them. The kernel's caches are dropped before each sample. Worker, client and reader share the "
    "processors."
)

_BLOCKS = 64 << 20
_GIB_PER_GB = (1 << 30) / 1e9
_SHORT_CIRCUIT = "alluxio.user.short.circuit.enabled"


def run(bench: Bench) -> Iterator[Row]:
    java.need_java()
    with Cluster(optimized=True, ramdisk_size="4GB") as cluster:
        print("  (copying the data set into the cluster)", file=sys.stderr, flush=True)
        for number in range(data.LARGE_FILES):
            file = bench.large() / f"large-{number}"
            cluster.shell.write(f"/remote/large-{number}", file, block_size=_BLOCKS, write_type="MUST_CACHE")
        settings = {**cluster.client_properties(), _SHORT_CIRCUIT: "false"}
        with bench.mount(cluster.uri(), "kernel_cache", settings) as mount:
            for workload, streams in ((SEQUENTIAL, 1), (SEQUENTIAL_4, data.LARGE_FILES)):
                yield from _sequential(bench, cluster, mount.pid, workload, streams)
            for workload in (RANDOM_4K, RANDOM_128K):
                rates = [_read(bench, mount.pid, workload).rate for _ in range(bench.runs)]
                yield single(workload.what, workload.unit, statistics.median(rates), runs=bench.runs)


def _sequential(bench: Bench, cluster: Cluster, pid: int, workload: Workload, streams: int) -> Iterator[Row]:
    paths = [f"/remote/large-{number}" for number in range(data.LARGE_FILES)]
    pairs: list[tuple[Sample, Sample]] = []
    for _ in range(bench.runs):  # none is taken again for noise: the worker's own work counts as that of others
        bare = sample(lambda: grpc_reader.read(cluster.masters[0], streams, paths))
        pairs.append((bare, _read(bench, pid, workload)))
    row = row_of_pairs(workload.what, workload.unit, pairs, runs=bench.runs, pid=pid, target=at_least(0.6))
    yield row._replace(noisy=False)
    bare_cpu = statistics.median(bare.done.cpu_s / bare.done.count for bare, _ in pairs) * _GIB_PER_GB
    cpu = statistics.median(ours.daemon_cpu_s / ours.done.count for _, ours in pairs) * _GIB_PER_GB
    yield Row(f"{workload.what}: CPU for a GiB", "s", cpu, bare_cpu, cpu / bare_cpu, runs=bench.runs)


def _read(bench: Bench, pid: int, workload: Workload) -> Sample:
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
    return sample(reading(workload, bench.mountpoint / "remote", loops=1), pid)
