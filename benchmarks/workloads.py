"""The readings of large files that several suites compare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import fio
from benchmarks.bench import Bench
from benchmarks.measure import Outcome, Row, Target, Work, compare

_LOOPS = 10  # a run takes about a second then


class Workload(NamedTuple):
    """A job of jobs/, its name for people, and the unit that it is measured in."""

    job: str
    what: str
    unit: str


SEQUENTIAL = Workload("sequential", "sequential, 1 reader", "GB/s")
SEQUENTIAL_4 = Workload("sequential-4", "sequential, 4 readers", "GB/s")
MMAP = Workload("mmap", "mmap, 1 reader", "GB/s")
RANDOM_4K = Workload("random-4k", "random 4 KiB, 1 reader", "k reads/s")
RANDOM_128K = Workload("random-128k", "random 128 KiB, 1 reader", "GB/s")
RANDOM_4K_4 = Workload("random-4k-4", "random 4 KiB, 4 readers", "k reads/s")
RANDOM_128K_4 = Workload("random-128k-4", "random 128 KiB, 4 readers", "GB/s")


def reading(workload: Workload, directory: Path, loops: int = _LOOPS) -> Work:
    """Reads the large files of `directory`: `loops` passes, or at random places for a second."""

    def work() -> Outcome:
        speed = fio.run(workload.job, directory, LOOPS=loops, SECONDS=1)
        count = speed.reads / 1e3 if workload.unit == "k reads/s" else speed.bytes / 1e9
        return Outcome(count, speed.seconds, speed.cpu_s)

    return work


def compare_warm(
    bench: Bench, pid: int, workloads: Iterable[tuple[Workload, Target | None]], suffix: str = ""
) -> Iterator[Row]:
    """A row for each: the large files in the directory and through the mount of daemon `pid`."""
    for workload, target in workloads:
        yield compare(
            workload.what + suffix, workload.unit,
            reading(workload, bench.large()), reading(workload, bench.mountpoint),
            runs=bench.runs, pid=pid, target=target,
        )  # fmt: skip
