"""A storage that takes its time: many reads at once, small files in several orders, models."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from oss.faults import Delay
from oss.rules import Rule

from benchmarks import data, engines, order_reader, reader, sources
from benchmarks.bench import Bench
from benchmarks.measure import Outcome, Point, Row, Sample, Target, at_least, at_most, row_of_pairs, sample, single
from benchmarks.plots import Figure
from benchmarks.training import sets

TITLE = "Latency: a storage that takes 10 or 50 ms for every request"
PEER = "in order"
HOW = (
    "64 reads: a source that takes 50 ms for every read, 64 fetchers; 64 threads each read 4 KiB at a place of its own "
    "at the same moment. Seconds until the last has its bytes; a fresh mount each time. All others: the test server of "
    "OSS's protocol, which answers each request 0, 10 or 50 ms late; one reader; a fresh mount for each sample. "
    "2,000 files of 10 to 110 KB; of those that are shuffled without being told, 500 at 0 ms, "
    "200 at 10 ms and 50 at 50 ms. Told: the reader gives its order to `alluxio_jnifuse.prefetch`. A model is a "
    "safetensors file of 512 MiB; strided: a mapping touched in 8 places in turn, 1 MiB each. Column `in order`: the "
    "files in listing order, the model by read() from start to end, in the same round."
)

_READS = 64
_DELAY_S = 0.05
_READ_BYTES = 4096
_FILE_BYTES = 1 << 30

_FILES = 2000
_UNTOLD = {0: 500, 10: 200, 50: 50}  # by milliseconds: each file waits that long
_MODEL_BYTES = 512 << 20
_TOLD = at_least(0.9)
_GAIN = at_least(20)  # of telling the order, at _GAIN_MS
_GAIN_MS = 10
_MODEL = at_least(0.8)

FIGURES = {
    "latency-files": Figure("Small files from a bucket, 1 reader, first time", "k files/s", "bars"),
    "latency-models": Figure("A model from a bucket, first time: rate, of that of read()", "ratio to read()", "bars"),
}


def run(bench: Bench) -> Iterator[Row]:
    target = at_most(0.15)
    yield single("64 reads of one descriptor", "s", _median(bench, 1, 1), runs=bench.runs, target=target)
    yield single("64 descriptors of one file", "s", _median(bench, 1, _READS), runs=bench.runs, target=target)
    yield single("64 descriptors of 64 files", "s", _median(bench, _READS, _READS), runs=bench.runs, target=target)
    with ExitStack() as stack:
        found = engines.sides(bench, stack, ("bucket",))
        bucket = next((side for side in found if isinstance(side, engines.BucketSide)), None)
        if bucket is None:
            return
        files = bench.made("latency-files", data.make_small, bench.scaled(_FILES))
        model = bench.made("latency-model", sets.make_safetensors, bench.scaled(_MODEL_BYTES))
        for directory in (files, model):
            bucket.offer(directory)
        for milliseconds in _UNTOLD:
            bucket.server.clear_rules()
            if milliseconds:
                bucket.server.add_rule(Rule(Delay(milliseconds / 1e3)))
            yield from _Trial(bench, found, files, milliseconds).files()
            yield from _Trial(bench, found, model, milliseconds).model()
    bench.drop("latency-files")
    bench.drop("latency-model")


def _median(bench: Bench, files: int, descriptors: int) -> float:
    uri = sources.uri("slow", read=_DELAY_S, files=files, size=_FILE_BYTES)
    opened = [bench.mountpoint / f"f{number % files}" for number in range(descriptors)]
    seconds = []
    for _ in range(bench.runs):
        with bench.mount(uri, f"fetchers={_READS}"):
            seconds.append(reader.run("burst", _READS, _READ_BYTES, *opened)[1])
    return statistics.median(seconds)


class _Trial:
    """The rounds of one data set at one latency: every side reads it in every way, each time from a fresh mount."""

    def __init__(self, bench: Bench, sides: Sequence[engines.Side], directory: Path, milliseconds: int) -> None:
        self._runs = bench.runs
        self._sides = sides
        self._directory = directory
        self._ms = milliseconds
        self._untold = bench.scaled(_UNTOLD[milliseconds])

    def files(self) -> Iterator[Row]:
        """In listing order, shuffled, and shuffled with the order told."""
        names = sorted(data.shuffled(self._directory))
        mixed = list(names)
        random.Random(3).shuffle(mixed)
        few = mixed[: self._untold]
        ways: dict[str, Callable[[Path], Outcome]] = {
            "in listing order": lambda root: order_reader.run("files", root, names),
            "shuffled": lambda root: order_reader.run("files", root, few),
            "shuffled, told": lambda root: order_reader.run("told", root, mixed),
        }
        targets = {"shuffled, told": _TOLD}
        yield from self._rows("small files", "k files/s", ways, targets, "latency-files")

    def model(self) -> Iterator[Row]:
        """By read(), by a mapping, by safetensors."""
        name = "model.safetensors"
        ways: dict[str, Callable[[Path], Outcome]] = {
            "read()": lambda root: order_reader.run("read", root / name),
            "strided mapping": lambda root: order_reader.run("strided", root / name),
            "safetensors": lambda root: order_reader.run("tensors", root / name),
        }
        targets = {"strided mapping": _MODEL, "safetensors": _MODEL}
        yield from self._rows("model", "GB/s", ways, targets, "latency-models")

    def _rows(
        self, what: str, unit: str, ways: dict[str, Callable[[Path], Outcome]], targets: dict[str, Target],
        figure: str,
    ) -> Iterator[Row]:  # fmt: skip
        """Rows of the first way alone, and of each other one beside it."""
        rounds = [self._round(ways) for _ in range(self._runs)]  # none is taken again: the storage's latency rules
        for side in self._sides:
            taken = {way: [each[side.name, way] for each in rounds] for way in ways if (side.name, way) in rounds[0]}
            first = next(iter(taken))
            name = f"{self._ms} ms: {what}" if side.ours else f"{self._ms} ms: {what}, {side.name}"
            for way, samples in taken.items():
                pairs = list(zip(taken[first], samples))
                row = row_of_pairs(
                    f"{name}, {way}", unit, pairs, runs=self._runs, target=targets.get(way) if side.ours else None
                )._replace(noisy=False)
                if way == first:
                    row = row._replace(native=None, ratio=None, ratio_low=None, ratio_high=None)
                place = f"{self._ms} ms"
                series = way if side.ours else f"{way}, {side.name}"
                yield row._replace(point=Point(figure, series, place))
        if what == "small files" and self._ms == _GAIN_MS:
            ours = self._sides[0].name
            gain = statistics.median(
                each[ours, "shuffled, told"].rate / each[ours, "shuffled"].rate for each in rounds
            )  # fmt: skip
            yield single(f"{self._ms} ms: told ÷ not told", "", gain, runs=self._runs, target=_GAIN)

    def _round(self, ways: dict[str, Callable[[Path], Outcome]]) -> dict[tuple[str, str], Sample]:
        found = {}
        for side in self._sides:
            for way, read in ways.items():
                if way.endswith("told") and not side.ours:
                    continue
                with side.mounted(self._directory) as mounted:
                    root = mounted.root
                    found[side.name, way] = sample(lambda: read(root), mounted.pid, side.servers)  # noqa: B023
        return found
