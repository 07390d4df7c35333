"""A bucket on this machine: what a bare HTTP client gets from its server, and what a mount makes of the same bytes."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from oss.server import OssServer

from benchmarks import data, http_reader, machine, reader
from benchmarks.bench import Bench, delta
from benchmarks.measure import (
    Outcome,
    Row,
    Sample,
    at_least,
    at_most,
    is_quiet,
    row_of_pairs,
    sample,
    single,
)
from benchmarks.workloads import RANDOM_4K, RANDOM_128K, SEQUENTIAL, SEQUENTIAL_4, Workload, reading

TITLE = "An OSS bucket: side by side with a bare HTTP client"
PEER = "bare HTTP"
HOW = (
    "The test server of OSS's protocol, which sends files of a tmpfs with sendfile; 4 objects of 256 MiB. The peer is "
    "a Python program that asks for ranges of 64 MiB with http.client and receives them into one buffer. The kernel's "
    "caches are dropped before each sample. Server, client and reader share the processors. 20,000 objects of 10 to "
    "110 KB with the client cache in memory, in the order of their names at first, then in random order; compared with "
    "the files themselves."
)

_KEYS = {"benchmark": "secret"}
_BUCKET = "bench"
_CACHE = "alluxio.user.client.cache."
_GIB_PER_GB = (1 << 30) / 1e9


def run(bench: Bench) -> Iterator[Row]:
    with OssServer(bench.root / "oss", _KEYS) as server:
        server.create_bucket(_BUCKET, acl="public-read")
        settings = {
            "fs.oss.endpoint": server.endpoint,
            "fs.oss.accessKeyId": "benchmark",
            "fs.oss.accessKeySecret": _KEYS["benchmark"],
        }
        print("  (putting the data sets into the bucket)", file=sys.stderr, flush=True)
        server.put_tree(_BUCKET, bench.large(), "large/")
        with bench.mount(f"oss://{_BUCKET}/large/", "kernel_cache", settings) as mount:
            for workload, streams in ((SEQUENTIAL, 1), (SEQUENTIAL_4, data.LARGE_FILES)):
                yield from _sequential(bench, server, mount.pid, workload, streams)
            for workload in (RANDOM_4K, RANDOM_128K):
                rates = [_read(bench, mount.pid, workload).rate for _ in range(bench.runs)]
                yield single(workload.what, workload.unit, statistics.median(rates), runs=bench.runs)
        bench.drop("large")
        server.put_tree(_BUCKET, bench.small(), "small/")
        yield from _small(bench, server, settings)


def _sequential(bench: Bench, server: OssServer, pid: int, workload: Workload, streams: int) -> Iterator[Row]:
    size = (bench.large() / "large-0").stat().st_size
    objects = [(f"/{_BUCKET}/large/large-{number}", size) for number in range(data.LARGE_FILES)]
    pairs: list[tuple[Sample, Sample]] = []
    served: list[tuple[float, float]] = []  # CPU seconds of the server for the peer and for us
    sent = 0
    for _ in range(bench.runs):  # none is taken again for noise: the server's own work counts as that of others
        start = machine.cpu_seconds(server.pid)
        bare = sample(lambda: http_reader.read("127.0.0.1", server.port, streams, objects))
        middle = machine.cpu_seconds(server.pid)
        server.reset()
        ours = _read(bench, pid, workload)
        sent += server.counts()["bytes_sent"]
        pairs.append((bare, ours))
        served.append((middle - start, machine.cpu_seconds(server.pid) - middle))
    row = row_of_pairs(workload.what, workload.unit, pairs, runs=bench.runs, pid=pid, target=at_least(0.4))
    yield row._replace(noisy=False)
    count = len(pairs) * size * data.LARGE_FILES
    yield single(f"{workload.what}: bytes sent ÷ bytes read", "", sent / count, target=at_most(1.1))
    parts = (
        ("server", [bare for bare, _ in served], [ours for _, ours in served]),
        ("client", [bare.done.cpu_s for bare, _ in pairs], [ours.daemon_cpu_s for _, ours in pairs]),
        ("reader", None, [ours.done.cpu_s for _, ours in pairs]),
    )
    for name, theirs, own in parts:
        mine = _for_a_gib(own, pairs)
        bare_cpu = _for_a_gib(theirs, pairs) if theirs else None
        ratio = mine / bare_cpu if bare_cpu else None
        yield Row(f"{workload.what}: CPU for a GiB, {name}", "s", mine, bare_cpu, ratio, runs=bench.runs)


def _for_a_gib(seconds: list[float], pairs: list[tuple[Sample, Sample]]) -> float:
    return statistics.median(s / ours.done.count for s, (_, ours) in zip(seconds, pairs)) * _GIB_PER_GB


def _read(bench: Bench, pid: int, workload: Workload) -> Sample:
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
    return sample(reading(workload, bench.mountpoint, loops=1), pid)


def _small(bench: Bench, server: OssServer, settings: dict[str, str]) -> Iterator[Row]:
    names = data.shuffled(bench.small())
    native = [f"{bench.small()}/{name}" for name in names]
    in_order = [f"{bench.mountpoint}/{name}" for name in sorted(names)]
    mounted = [f"{bench.mountpoint}/{name}" for name in names]
    cache = {**settings, f"{_CACHE}enabled": "true", f"{_CACHE}store.type": "MEMORY", f"{_CACHE}size": "4GB"}

    def read(paths: list[str]) -> Outcome:
        return reader.thousands("files", paths=paths)

    read(native)
    first: list[tuple[Sample, Sample]] = []
    second: list[tuple[Sample, Sample]] = []
    asked: list[float] = []
    again = 0
    while len(first) < bench.runs * 3 and sum(map(is_quiet, second)) < bench.runs:
        plain = sample(lambda: read(native))
        server.reset()
        with bench.mount(f"oss://{_BUCKET}/small/", "", cache) as mount:
            first.append((plain, sample(lambda: read(in_order), mount.pid)))
            before = mount.stats()
            requests = server.counts()
            asked.append(_requests(requests) - requests["LIST"])
            second.append((plain, sample(lambda: read(mounted), mount.pid)))
            again += _requests(server.counts()) - _requests(requests)
            assert delta(before, mount.stats())["fetch_bytes"] == 0
    yield row_of_pairs("small objects, first epoch", "k files/s", first, runs=bench.runs, pid=1)._replace(noisy=False)
    target = at_most(1)
    yield single("first epoch: requests but listings ÷ objects", "", max(asked) / len(names), target=target)
    target = at_least(0.25)
    yield row_of_pairs("small objects, second epoch", "k files/s", second, runs=bench.runs, pid=1, target=target)
    yield single("second epoch: requests", "", again, target=at_most(0))
    bench.drop("small")


def _requests(counts: dict[str, int]) -> int:
    return sum(number for name, number in counts.items() if name not in ("bytes_sent", "connections"))
