"""A mount that is looked into, beside one that nobody looks at."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import alluxio_jnifuse
from benchmarks import data, reader
from benchmarks.bench import Bench
from benchmarks.measure import PATIENCE, Row, Sample, Target, Work, at_least, is_quiet, row_of_pairs, sample
from benchmarks.workloads import RANDOM_4K, SEQUENTIAL, reading

TITLE = "A mount that is looked into"
PEER = "nobody looks"
HOW = (
    "A directory on tmpfs, read through the daemon (passthrough off), mounted afresh for each sample: watched (mount) "
    "and not, each of them first in turn. Watched: with metrics over HTTP, which are asked for every second, the live "
    "page, which is asked every two, and `stats --watch`. Traced: with `trace`, which writes a line for each use of a "
    "file. What the watchers cost is in it. Sequential: 4 files of 256 MiB, one pass. Random: the same files, for a "
    "second. Small files: 20,000 of 10 to 110 KB in random order, one thread."
)

_PORT = 49_888
_WEB = {"alluxio.fuse.web.enabled": True, "alluxio.fuse.web.port": _PORT}
_METRICS_EACH_S = 1.0
_PAGE_EACH_S = 2.0
_OPTIONS = "passthrough=off"
_COMMAND = [sys.executable, "-m", "alluxio_jnifuse"]


class _Watchers(NamedTuple):
    name: str
    properties: dict[str, object]
    watch: Callable[[alluxio_jnifuse.Mount], AbstractContextManager[None]]
    target: Target


def run(bench: Bench) -> Iterator[Row]:
    watchers = (
        _Watchers("watched", _WEB, _watched, at_least(0.98)),
        _Watchers("traced", {}, _traced, at_least(0.95)),
    )
    top = bench.mountpoint
    for by in watchers:
        yield _row(bench, by, SEQUENTIAL.what, SEQUENTIAL.unit, bench.large(), reading(SEQUENTIAL, top, loops=1))
        yield _row(bench, by, RANDOM_4K.what, RANDOM_4K.unit, bench.large(), reading(RANDOM_4K, top))
    bench.drop("large")
    paths = [f"{top}/{name}" for name in data.shuffled(bench.small())]
    for by in watchers:
        yield _row(bench, by, "small files", "k files/s", bench.small(), lambda: reader.thousands("files", paths=paths))
    bench.drop("small")


def _row(bench: Bench, by: _Watchers, what: str, unit: str, directory: Path, work: Work) -> Row:
    pairs: list[tuple[Sample, Sample]] = []
    while len(pairs) < bench.runs * PATIENCE and sum(map(is_quiet, pairs)) < bench.runs:
        both: dict[bool, Sample] = {}
        for watched in (True, False) if len(pairs) % 2 else (False, True):
            with bench.mount(directory, _OPTIONS, by.properties if watched else {}) as mount:
                with by.watch(mount) if watched else nullcontext():
                    both[watched] = sample(work, mount.pid)
        pairs.append((both[False], both[True]))
    return row_of_pairs(f"{by.name}: {what}", unit, pairs, runs=bench.runs, pid=1, target=by.target)


@contextmanager
def _watched(mount: alluxio_jnifuse.Mount) -> Iterator[None]:
    """Somebody asks for the metrics, has the page open, and looks at the figures in a terminal."""
    ended = threading.Event()
    errors: list[OSError] = []

    def ask(address: str, each_s: float) -> None:
        try:
            while not ended.is_set():
                with urllib.request.urlopen(address, timeout=60) as answer:
                    answer.read()
                ended.wait(each_s)
        except OSError as error:
            errors.append(error)

    # The last mount that wrote into this log.
    server, token = re.findall(r"live page at (\S+)/(\?token=\S+)", Path(mount.log).read_text())[-1]
    asked = [
        threading.Thread(target=ask, args=(f"{server}/metrics/prometheus", _METRICS_EACH_S)),
        threading.Thread(target=ask, args=(f"{server}/live.json{token}", _PAGE_EACH_S)),
    ]
    with subprocess.Popen([*_COMMAND, "stats", "--watch", mount.mountpoint], stdout=subprocess.PIPE) as stats:
        assert stats.stdout is not None
        stats.stdout.readline()  # it has begun
        for each in asked:
            each.start()
        try:
            yield
        finally:
            ended.set()
            for each in asked:
                each.join()
            stats.terminate()
    if errors:
        raise errors[0]


@contextmanager
def _traced(mount: alluxio_jnifuse.Mount) -> Iterator[None]:
    """A trace is under way, whose lines are not kept."""
    words = [*_COMMAND, "trace", "-q", mount.mountpoint]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as trace:
        assert trace.stdout is not None
        trace.stdout.readline()  # it has begun
        drain = threading.Thread(target=trace.stdout.read)
        drain.start()
        try:
            yield
        finally:
            trace.terminate()
            drain.join()
