"""The C core beside llfuse, as the guide of AlluxioFuse compares JNI with JNR."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import data, reader
from benchmarks.bench import Bench
from benchmarks.measure import PATIENCE, Row, Sample, Work, is_quiet, row_of_pairs, sample
from benchmarks.workloads import RANDOM_4K, SEQUENTIAL, reading

TITLE = "The two bindings"
PEER = "llfuse"
HOW = (
    "A directory on tmpfs through the C core with its defaults (mount) and through llfuse, mounted afresh in turn. "
    "Sequential: 4 files of 256 MiB, one pass. Random: the same files, for a second. Small files: 20,000 of 10 to 110 "
    "KB in random order, one thread. ls -l: readdir and lstat of 100,000 entries."
)

_LLFUSE = {"alluxio.fuse.jnifuse.enabled": False}


def run(bench: Bench) -> Iterator[Row]:
    top = bench.mountpoint

    yield _row(bench, SEQUENTIAL.what, SEQUENTIAL.unit, bench.large(), reading(SEQUENTIAL, top, loops=1))
    yield _row(bench, RANDOM_4K.what, RANDOM_4K.unit, bench.large(), reading(RANDOM_4K, top))
    bench.drop("large")
    paths = [f"{top}/{name}" for name in data.shuffled(bench.small())]
    yield _row(bench, "small files", "k files/s", bench.small(), lambda: reader.thousands("files", paths=paths))
    bench.drop("small")
    yield _row(bench, "ls -l", "k entries/s", bench.entries(), lambda: reader.thousands("list", top / "d"))
    bench.drop("entries")


def _row(bench: Bench, what: str, unit: str, directory: Path, work: Work) -> Row:
    pairs: list[tuple[Sample, Sample]] = []
    while len(pairs) < bench.runs * PATIENCE and sum(map(is_quiet, pairs)) < bench.runs:
        with bench.mount(directory, properties=_LLFUSE) as mount:
            llfuse = sample(work, mount.pid)
        with bench.mount(directory) as mount:
            pairs.append((llfuse, sample(work, mount.pid)))
    return row_of_pairs(what, unit, pairs, runs=bench.runs, pid=1)
