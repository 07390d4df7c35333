"""Small files: every open counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from benchmarks import data, machine, reader
from benchmarks.bench import Bench
from benchmarks.measure import PATIENCE, Outcome, Row, Sample, at_least, is_quiet, row_of_pairs, sample

TITLE = "Small files"
HOW = (
    "20,000 files of 10 to 110 KB on tmpfs in random order, one thread: open, read, close. First epoch: a fresh mount. "
    "Second: the same mount again. What the kernel allows stands in docs/BENCHMARKING.md."
)


class _Setting(NamedTuple):
    name: str
    options: str = ""
    cache: bool = False
    first: float | None = None  # the least ratio that is wanted of this epoch,
    second: float | None = None  # and of that


_SETTINGS = (
    _Setting("passthrough", first=0.30, second=0.35),
    _Setting("passthrough=off", "passthrough=off"),
    _Setting("passthrough=off,kernel_cache", "passthrough=off,kernel_cache"),
    _Setting("open=never", "passthrough=off,kernel_cache,open=never", second=0.85),
    _Setting("client cache", cache=True),
    _Setting("client cache, open=never", "kernel_cache,open=never", cache=True, second=0.85),
)


def run(bench: Bench) -> Iterator[Row]:
    bench.drop("large")
    names = data.shuffled(bench.small())
    native = [f"{bench.small()}/{name}" for name in names]
    mounted = [f"{bench.mountpoint}/{name}" for name in names]

    def read(paths: list[str]) -> Outcome:
        return reader.thousands("files", paths=paths)

    read(native)
    for setting in _SETTINGS:
        if setting.name == "passthrough" and not machine.is_root():
            continue
        first: list[tuple[Sample, Sample]] = []
        second: list[tuple[Sample, Sample]] = []
        cache = {"alluxio.user.client.cache.enabled": setting.cache, "alluxio.user.client.cache.size": "4GB"}
        while len(first) < bench.runs * PATIENCE and sum(map(is_quiet, [*first, *second])) < 2 * bench.runs:
            plain = sample(lambda: read(native))
            with bench.mount(bench.small(), setting.options, cache) as mount:
                first.append((plain, sample(lambda: read(mounted), mount.pid)))
                second.append((plain, sample(lambda: read(mounted), mount.pid)))
        for epoch, pairs, least in (("first", first, setting.first), ("second", second, setting.second)):
            target = None if least is None else at_least(least)
            yield row_of_pairs(
                f"{setting.name}, {epoch} epoch", "k files/s", pairs, runs=bench.runs, pid=1, target=target
            )
    bench.drop("small")
