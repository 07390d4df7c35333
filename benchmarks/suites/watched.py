"""A mount that is looked into, beside one that nobody looks at."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import data, reader
from benchmarks.bench import Bench
from benchmarks.measure import PATIENCE, Row, Sample, Target, Work, at_least, is_quiet, row_of_pairs, sample
from benchmarks.workloads import RANDOM_4K, SEQUENTIAL, reading

TITLE = "A mount that is looked into"
PEER = "nobody looks"
HOW = (
    "A directory on tmpfs, read through the daemon (passthrough off), mounted afresh in turn: with metrics over HTTP, "
    "which are asked for every second, and `stats --watch` (mount), and without. What the watchers cost is in it. "
    "Sequential: 4 files of 256 MiB, one pass. Random: the same files, for a second. Small files: 20,000 of 10 to 110 "
    "KB in random order, one thread."
)

_PORT = 49_888
_WEB = {"alluxio.fuse.web.enabled": True, "alluxio.fuse.web.port": _PORT}
_EACH_S = 1.0
_OPTIONS = "passthrough=off"


def run(bench: Bench) -> Iterator[Row]:
    top = bench.mountpoint
    target = at_least(0.98)
    yield _row(bench, SEQUENTIAL.what, SEQUENTIAL.unit, bench.large(), reading(SEQUENTIAL, top, loops=1), target)
    yield _row(bench, RANDOM_4K.what, RANDOM_4K.unit, bench.large(), reading(RANDOM_4K, top), target)
    bench.drop("large")
    paths = [f"{top}/{name}" for name in data.shuffled(bench.small())]
    yield _row(bench, "small files", "k files/s", bench.small(), lambda: reader.thousands("files", paths=paths), target)
    bench.drop("small")


def _row(bench: Bench, what: str, unit: str, directory: Path, work: Work, target: Target) -> Row:
    pairs: list[tuple[Sample, Sample]] = []
    while len(pairs) < bench.runs * PATIENCE and sum(map(is_quiet, pairs)) < bench.runs:
        with bench.mount(directory, _OPTIONS) as mount:
            alone = sample(work, mount.pid)
        with bench.mount(directory, _OPTIONS, _WEB) as mount, _watched(mount.mountpoint):
            pairs.append((alone, sample(work, mount.pid)))
    return row_of_pairs(what, unit, pairs, runs=bench.runs, pid=1, target=target)


@contextmanager
def _watched(mountpoint: str) -> Iterator[None]:
    """Somebody asks for the metrics, and somebody looks at the figures."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.is_set():
            with urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/metrics/prometheus", timeout=60) as answer:
                answer.read()
            ended.wait(_EACH_S)

    words = [sys.executable, "-m", "alluxio_jnifuse", "stats", "--watch", "--json", mountpoint]
    scraper = threading.Thread(target=scrape)
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as stats:
        scraper.start()
        try:
            yield
        finally:
            ended.set()
            scraper.join()
            stats.terminate()
