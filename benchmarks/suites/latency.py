"""Many reads at once of a storage that takes its time."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks import reader, sources
from benchmarks.bench import Bench
from benchmarks.measure import Row, at_most, single

TITLE = "Latency: 64 reads at once"
HOW = (
    "A source that takes 50 ms for every read, 64 fetchers; 64 threads each read 4 KiB at a place of its own at the "
    "same moment. Seconds until the last has its bytes; a fresh mount each time."
)

_READS = 64
_DELAY_S = 0.05
_READ_BYTES = 4096
_FILE_BYTES = 1 << 30


def run(bench: Bench) -> Iterator[Row]:
    target = at_most(0.15)
    yield single("64 reads of one descriptor", "s", _median(bench, 1, 1), runs=bench.runs, target=target)
    yield single("64 descriptors of one file", "s", _median(bench, 1, _READS), runs=bench.runs, target=target)
    yield single("64 descriptors of 64 files", "s", _median(bench, _READS, _READS), runs=bench.runs, target=target)


def _median(bench: Bench, files: int, descriptors: int) -> float:
    uri = sources.uri("slow", read=_DELAY_S, files=files, size=_FILE_BYTES)
    opened = [bench.mountpoint / f"f{number % files}" for number in range(descriptors)]
    seconds = []
    for _ in range(bench.runs):
        with bench.mount(uri, f"fetchers={_READS}"):
            seconds.append(reader.run("burst", _READS, _READ_BYTES, *opened)[1])
    return statistics.median(seconds)
