"""Alluxio over OSS, the deployment that AlluxioFuse is made for: side by side with the Java client."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from cluster.cluster import Cluster
from oss.server import OssServer

from benchmarks import data, java
from benchmarks.bench import Bench, Wrong
from benchmarks.measure import Row, Sample, at_least, at_most, row_of_pairs, sample, single
from benchmarks.workloads import SEQUENTIAL, SEQUENTIAL_4, Workload, reading

TITLE = "An Alluxio cluster over OSS: side by side with Java AlluxioFuse 2.9.6"
PEER = "Java"
HOW = (
    "One master, one worker with its ramdisk on tmpfs, the root of the cluster on the test server of OSS's protocol; 4 "
    "files of 130 MiB in blocks of 64 MiB. For each sample the cluster forgets the files and lists them anew, the "
    "kernel's caches are dropped and the client is mounted afresh: every byte comes from OSS. The servers' compilers "
    "are warm: everything is read and loaded before, twice. `fs load` is the cluster's own copying of the same files "
    "into the worker; the checksum in Java of its OSS client is what limits all of them."
)

_FILE_BYTES = 130 << 20
_KEYS = {"benchmark": "secret"}
_WARM_UP = 2
_FREE_S = 60.0


class _Sides:
    """The two clients, on one cluster over one bucket: each sample is of files that no worker has."""

    def __init__(self, bench: Bench, cluster: Cluster, server: OssServer) -> None:
        self._bench = bench
        self._cluster = cluster
        self._server = server
        self.total = data.LARGE_FILES * bench.scaled(_FILE_BYTES)

    def java(self, workload: Workload) -> tuple[Sample, float]:
        """Its sample, and how many bytes OSS sent for each that was read."""
        self._forget()
        with java.mount(self._cluster, self._bench.root / "java", self._bench.root / "java.log") as theirs:
            return self._read(workload, theirs.mountpoint, theirs.pid)

    def ours(self, workload: Workload) -> tuple[Sample, float]:
        """See `java`."""
        self._forget()
        with self._bench.mount(self._cluster.uri(), "kernel_cache", self._cluster.client_properties()) as mount:
            return self._read(workload, self._bench.mountpoint, mount.pid)

    def load(self) -> float:
        """The rate of `fs load`, GB/s."""
        self._forget()
        start = time.perf_counter()
        self._cluster.shell.fs("load", "/train")
        return self.total / 1e9 / (time.perf_counter() - start)

    def _read(self, workload: Workload, mountpoint: Path, pid: int) -> tuple[Sample, float]:
        self._server.reset()
        taken = sample(reading(workload, mountpoint / "train", loops=1), pid)
        return taken, self._server.counts()["bytes_sent"] / self.total

    def _forget(self) -> None:
        shell = self._cluster.shell
        shell.fs("rm", "-R", "--alluxioOnly", "/train")
        shell.fs("ls", "-f", "/")
        shell.fs("ls", "-f", "/train")
        deadline = time.monotonic() + _FREE_S
        while any(any(shell.locations(f"/train/large-{number}")) for number in range(data.LARGE_FILES)):
            if time.monotonic() > deadline:
                raise Wrong("the cluster still holds blocks of the files")
            time.sleep(0.2)
        Path("/proc/sys/vm/drop_caches").write_text("3\n")


def run(bench: Bench) -> Iterator[Row]:
    java.need_java()
    with ExitStack() as stack:
        server = stack.enter_context(OssServer(bench.root / "oss", _KEYS))
        server.create_bucket("bench")
        files = bench.root / "tfrecords"
        files.mkdir()
        print("  (making the data set, starting the cluster and warming it up)", file=sys.stderr, flush=True)
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
        sides = _Sides(bench, cluster, server)
        for _ in range(_WARM_UP):
            sides.ours(SEQUENTIAL_4)
            sides.load()
        for workload, loads in ((SEQUENTIAL, True), (SEQUENTIAL_4, False)):
            yield from _compare(bench, sides, workload, loads)


def _compare(bench: Bench, sides: _Sides, workload: Workload, loads: bool) -> Iterator[Row]:
    pairs: list[tuple[Sample, Sample]] = []
    sent: list[tuple[float, float]] = []
    loaded: list[float] = []
    for _ in range(bench.runs):  # none is taken again for noise: the servers' own work counts as that of others
        (their_sample, their_sent), (our_sample, our_sent) = sides.java(workload), sides.ours(workload)
        pairs.append((their_sample, our_sample))
        sent.append((their_sent, our_sent))
        if loads:
            loaded.append(sides.load())
    row = row_of_pairs(workload.what, workload.unit, pairs, runs=bench.runs, pid=1, target=at_least(3))
    yield row._replace(noisy=False)
    their, our = (statistics.median(column) for column in zip(*sent))
    target = at_most(1.1)
    yield Row(
        f"{workload.what}: bytes sent by OSS ÷ bytes read", "", our, their, our / their,
        target=str(target), met=target.met(our), runs=bench.runs,
    )  # fmt: skip
    if loads:
        ratio = statistics.median(ours.rate / rate for (_, ours), rate in zip(pairs, loaded))
        note = f"fs load: {statistics.median(loaded):.3f} GB/s"
        yield single(f"{workload.what} ÷ fs load", "", ratio, runs=bench.runs, target=at_least(0.9), note=note)
