"""Alluxio over OSS, the deployment that AlluxioFuse is made for: side by side with the Java client."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cluster.cluster import Cluster
from oss.server import OssServer

from benchmarks import data, java
from benchmarks.bench import Bench
from benchmarks.measure import Row, Sample, at_least, at_most, row_of_pairs, sample, single
from benchmarks.workloads import SEQUENTIAL, SEQUENTIAL_4, Workload, reading

TITLE = "An Alluxio cluster over OSS: side by side with Java AlluxioFuse 2.9.6"
PEER = "Java"
HOW = (
    "One master, one worker with its ramdisk on tmpfs, the root of the cluster on the test server of OSS's protocol; 4 "
    "files of 130 MiB in blocks of 64 MiB. Before each sample the worker's blocks are freed and the kernel's caches "
    "dropped: every byte comes from OSS. `fs load` is the cluster's own copying of the same files into the worker; the "
    "checksum in Java of its OSS client is what limits all of them."
)

_FILE_BYTES = 130 << 20
_KEYS = {"benchmark": "secret"}
_FREE_S = 180.0


def run(bench: Bench) -> Iterator[Row]:
    java.need_java()
    with ExitStack() as stack:
        server = stack.enter_context(OssServer(bench.root / "oss", _KEYS))
        server.create_bucket("bench")
        files = bench.root / "tfrecords"
        files.mkdir()
        print("  (making the data set and starting the cluster)", file=sys.stderr, flush=True)
        data.make_large(files, bench.scaled(_FILE_BYTES))
        server.put_tree("bench", files, "dataset/train/")
        site = {
            "fs.oss.endpoint": server.endpoint,
            "fs.oss.accessKeyId": "benchmark",
            "fs.oss.accessKeySecret": _KEYS["benchmark"],
        }
        cluster = stack.enter_context(
            Cluster(optimized=True, ramdisk_size="4GB", root="oss://bench/dataset/", site=site)
        )
        cluster.shell.fs("ls", "/train")
        theirs = stack.enter_context(java.mount(cluster, bench.root / "java", bench.root / "java.log"))
        ours = stack.enter_context(bench.mount(cluster.uri(), "kernel_cache", cluster.client_properties()))
        sides = ((theirs.mountpoint, theirs.pid), (bench.mountpoint, ours.pid))
        for workload, loads in ((SEQUENTIAL, True), (SEQUENTIAL_4, False)):
            yield from _compare(bench, cluster, server, sides, workload, loads)


def _compare(
    bench: Bench, cluster: Cluster, server: OssServer, sides: Any, workload: Workload, loads: bool
) -> Iterator[Row]:
    pairs: list[tuple[Sample, Sample]] = []
    sent: tuple[list[float], list[float]] = ([], [])
    loaded: list[float] = []
    total = data.LARGE_FILES * bench.scaled(_FILE_BYTES)
    for _ in range(bench.runs):  # none is taken again for noise: the servers' own work counts as that of others
        pair = []
        for (mountpoint, pid), bytes_sent in zip(sides, sent):
            _free(cluster)
            server.reset()
            pair.append(sample(reading(workload, mountpoint / "train", loops=1), pid))
            bytes_sent.append(server.counts()["bytes_sent"] / total)
        pairs.append((pair[0], pair[1]))
        if loads:
            _free(cluster)
            start = time.perf_counter()
            cluster.shell.fs("load", "/train")
            loaded.append(total / 1e9 / (time.perf_counter() - start))
    row = row_of_pairs(workload.what, workload.unit, pairs, runs=bench.runs, pid=sides[1][1], target=at_least(3))
    yield row._replace(noisy=False)
    their, our = (statistics.median(column) for column in sent)
    target = at_most(1.1)
    yield Row(
        f"{workload.what}: bytes sent by OSS ÷ bytes read", "", our, their, our / their,
        target=str(target), met=target.met(our), runs=bench.runs,
    )  # fmt: skip
    if loads:
        ratio = statistics.median(ours.rate / rate for (_, ours), rate in zip(pairs, loaded))
        note = f"fs load: {statistics.median(loaded):.3f} GB/s"
        yield single(f"{workload.what} ÷ fs load", "", ratio, runs=bench.runs, target=at_least(0.9), note=note)


def _free(cluster: Cluster) -> None:
    """No byte of the files is on this machine any more."""
    deadline = time.monotonic() + _FREE_S
    while True:
        cluster.shell.fs("free", "-f", "/train")  # again: the worker may have been caching what was read last
        time.sleep(1)
        if not any(any(cluster.shell.locations(f"/train/large-{number}")) for number in range(data.LARGE_FILES)):
            break
        if time.monotonic() > deadline:
            raise RuntimeError("the worker does not free its blocks")
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
