"""Does a file cost the same among a million as among a thousand, and for one reader as for many?"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks import data, engines, machine, reader
from benchmarks.bench import Bench
from benchmarks.measure import Outcome, Point, Rounds, Row, Sample, at_most, row_of_pairs, sample, single
from benchmarks.plots import Figure

TITLE = "Scale: 1,000 to 1,000,000 files, 1 to 64 readers"
HOW = (
    "Files of 1 KB in directories of 1,000 on tmpfs, opened, read and closed in the order of their names by threads "
    "that each take the next one; a fresh mount for each sample. Memory: what the daemon has grown by (PSS) when all "
    "files were read, for each file. Flat: the cost for a file, of that in the smallest set of at least 10,000 files. "
    "A bucket has up to 100,000 objects. Sets of 100,000 files and more are read 3 times; many readers have 10,000."
)

_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_READERS = (1, 4, 16, 64)
_READERS_AT = 10_000  # files
_BUCKET_FILES = 100_000
_FEW = 3
_FEW_FROM = 100_000  # files
_LEAST_FLAT = 10_000  # what a mount needs for itself is no longer seen
_FLAT = at_most(1.2)

FIGURES = {
    "scale-time": Figure("Time for a file, 1 reader, first time", "µs", "lines", "files"),
    "scale-memory": Figure("Memory of the daemon for a file", "bytes", "lines", "files"),
    "scale-readers": Figure("Rate of many readers, first time", "k files/s", "lines", "readers"),
}


class _Cell(NamedTuple):
    """One size and number of readers."""

    files: int
    readers: int

    def __str__(self) -> str:
        return f"{self.files:,} files, {self.readers} reader{'s' if self.readers > 1 else ''}"


class _Cost(NamedTuple):
    """Of a file, on one side: seconds and bytes."""

    seconds: float
    bytes: float


def run(bench: Bench) -> Iterator[Row]:
    sizes = [bench.scaled(size) for size in _SIZES]
    many = bench.scaled(_READERS_AT)
    costs: dict[str, dict[int, _Cost]] = {}
    with ExitStack() as stack:
        found = engines.sides(bench, stack, ("directory", "bucket"))
        for size in sizes:
            directory = bench.made(f"many-{size}", data.make_many, size)
            those = [side for side in found if side.base == "directory" or size <= bench.scaled(_BUCKET_FILES)]
            for side in those:
                side.offer(directory)
            for readers in _READERS if size == many else (1,):
                trial = _Trial(bench, those, directory, _Cell(size, readers))
                yield from trial.rows()
                if readers == 1:
                    for side in those:
                        costs.setdefault(side.name, {})[size] = trial.cost(side)
            for side in those:
                side.withdraw(directory)
            bench.drop(directory.name)
        for side in found:
            yield from _flat(bench, side, costs[side.name])


class _Trial:
    """The rounds of one size and one number of readers."""

    def __init__(self, bench: Bench, sides: Sequence[engines.Side], directory: Path, cell: _Cell) -> None:
        self._sides = sides
        self._directory = directory
        self._cell = cell
        self._many = cell.files == bench.scaled(_READERS_AT)
        self._names = sorted(data.shuffled(directory))
        self._runs = bench.runs if cell.files < bench.scaled(_FEW_FROM) else min(_FEW, bench.runs)
        self._rounds = Rounds(self._runs)
        self._grown: dict[str, list[float]] = {side.name: [] for side in sides}

    def rows(self) -> Iterator[Row]:
        self._read(self._directory)
        while self._rounds.more():
            self._rounds.add(self._round())
        for side in self._sides:
            pairs = self._rounds.best(side.name)
            row = row_of_pairs(f"{self._cell}: {side.name}", "k files/s", pairs, runs=self._runs, pid=1)
            if self._many:
                row = row._replace(point=Point("scale-readers", side.name, self._cell.readers))
            yield row
            if self._cell.readers == 1:
                cost = self.cost(side)
                name = f"{self._cell.files:,} files: {side.name}"
                time = single(f"{name}, time for a file", "µs", cost.seconds * 1e6, runs=self._runs)
                yield time._replace(point=Point("scale-time", side.name, self._cell.files))
                memory = single(f"{name}, memory for a file", "bytes", cost.bytes, runs=self._runs)
                yield memory._replace(point=Point("scale-memory", side.name, self._cell.files))

    def cost(self, side: engines.Side) -> _Cost:
        """The medians, once all rounds are done."""
        rate = statistics.median(mount.rate for _, mount in self._rounds.best(side.name)) * 1e3
        return _Cost(1 / rate, statistics.median(self._grown[side.name]))

    def _round(self) -> dict[str, tuple[Sample, Sample]]:
        pairs = {}
        native = sample(lambda: self._read(self._directory))
        for side in self._sides:
            with side.mounted(self._directory) as mounted:
                before = _memory(mounted.pid)
                root = mounted.root
                pairs[side.name] = (native, sample(lambda: self._read(root), mounted.pid, side.servers))  # noqa: B023
                self._grown[side.name].append((_memory(mounted.pid) - before) / self._cell.files)
        return pairs

    def _read(self, root: Path) -> Outcome:
        paths = [os.path.join(root, name) for name in self._names]
        return reader.thousands("files", self._cell.readers, paths=paths)


def _memory(pid: int) -> int:
    return machine.memory(pid)["Pss"] if pid else 0


def _flat(bench: Bench, side: engines.Side, costs: dict[int, _Cost]) -> Iterator[Row]:
    """The largest set beside one that is large enough."""
    large = [size for size in costs if size >= bench.scaled(_LEAST_FLAT)]
    low, high = min(large), max(large)
    if low == high:
        return
    target = _FLAT if side.ours else None
    name = f"{side.name}, {high:,} files to {low:,}"
    yield single(f"{name}: time for a file", "", costs[high].seconds / costs[low].seconds, target=target)
    if costs[low].bytes > 0:
        yield single(f"{name}: memory for a file", "", costs[high].bytes / costs[low].bytes, target=target)
