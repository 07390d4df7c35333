"""Epochs as training programs read them, on every engine and beside other mount programs."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks import data, engines, machine
from benchmarks.bench import ENGINES, Bench
from benchmarks.measure import (
    Outcome,
    Point,
    Rounds,
    Row,
    Sample,
    Target,
    at_least,
    row_of_pairs,
    sample,
    single,
)
from benchmarks.plots import Figure
from benchmarks.training import mlperf, programs, sets
from benchmarks.training.reads import BATCH

TITLE = "Training: epochs of other shapes than one large file"
HOW = (
    "4 worker processes, a batch of 256 unless it says otherwise; the same program reads the directory on tmpfs, in "
    "the same round. First epoch: a fresh mount. Second: the same mount again, in another order. Nothing is decoded. "
    "Directory: passthrough; bucket: the test server of OSS's protocol; cluster: one worker that holds every block. "
    "Servers, client and readers share the processors. `÷ source`: the first epoch beside the same processes that read "
    "from the bucket's source without a mount."
)

WORKERS = 4
_SMALL_FILES = 20_000
_SHARDS_BYTES = 8 * sets.SHARD_BYTES
_MODEL_BYTES = 2 << 30
_VOLUMES = 12
_RETINANET_FILES = 3000

FIGURES = {
    f"training-{epoch}": Figure(
        f"{title} epoch: samples a second, of those of the directory itself", "ratio to the directory", "bars"
    )
    for epoch, title in (("first", "First"), ("second", "Second"))
}


class Shape(NamedTuple):
    """A data set and how it is read.

    what      for people; `short` on the axis of a figure
    make      fills a directory, given `size`
    kind      a function of reads.READS, or "torch"
    files     of one piece of work; what a worker reads in one go
    unit      of the rate, and how many samples are one of it
    second    the least ratio of the second epoch
    """

    what: str
    short: str
    make: Callable[[Path, int], None]
    size: int
    kind: str
    workers: int
    files: int
    unit: str
    per_unit: float
    second: Target


_JPEG = Shape(
    "JPEG-sized files, shuffled, processes", "JPEG", data.make_small, _SMALL_FILES, "files", WORKERS, BATCH,
    "k samples/s", 1e3, at_least(0.8),
)  # fmt: skip
_NEARLY = at_least(0.95)
SHAPES = (
    _JPEG._replace(what="JPEG-sized files, shuffled, PyTorch's DataLoader", short="JPEG, PyTorch", kind="torch"),
    _JPEG,
    Shape(
        "TFRecord shards of 130 MB", "TFRecord", sets.make_tfrecords, _SHARDS_BYTES, "tfrecords", WORKERS, 1,
        "k records/s", 1e3, _NEARLY,
    ),
    Shape(
        "WebDataset shards of 130 MB", "WebDataset", sets.make_tars, _SHARDS_BYTES, "tars", WORKERS, 1,
        "k samples/s", 1e3, _NEARLY,
    ),
    Shape(
        "safetensors of 2 GiB, 1 process", "safetensors", sets.make_safetensors, _MODEL_BYTES, "tensors", 1, 1,
        "GB/s", 1e9, _NEARLY,
    ),
    Shape(
        "UNet3D: files of 100 MB", "UNet3D", sets.make_volumes, _VOLUMES, "files", WORKERS, 1,
        "samples/s", 1, _NEARLY,
    ),
    Shape(
        "RetinaNet: files of 323 KB, batch 24", "RetinaNet", sets.make_retinanet, _RETINANET_FILES, "files", WORKERS,
        mlperf.RETINANET.batch, "samples/s per core", machine.CPUS, _NEARLY,
    ),
)  # fmt: skip


def run(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        found = engines.sides(bench, stack, ENGINES)
        for number, shape in enumerate(SHAPES):
            if shape.kind == "torch" and not programs.has_torch(bench.scope.torch):
                print(f"skipped: {shape.what}: {bench.scope.torch} has no torch (see --torch)", flush=True)
                continue
            directory = _offered(bench, found, shape)
            yield from _Trial(bench, found, shape, directory).rows()
            if number + 1 == len(SHAPES) or SHAPES[number + 1].make is not shape.make:
                for side in found:
                    side.withdraw(directory)
                bench.drop(directory.name)


def _offered(bench: Bench, found: Sequence[engines.Side], shape: Shape) -> Path:
    """The directory of the data set, which every side has."""
    name = f"{shape.make.__name__.removeprefix('make_')}-set"
    there = bench.has(name)
    directory = bench.made(name, shape.make, bench.scaled(shape.size))
    if not there:
        for side in found:
            side.offer(directory)
    return directory


class _Trial:
    """The rounds of one shape on all sides."""

    def __init__(self, bench: Bench, found: Sequence[engines.Side], shape: Shape, directory: Path) -> None:
        self._bench = bench
        self._sides = found
        self._shape = shape
        self._directory = directory
        self._names = data.shuffled(directory)
        self._bucket = next((side for side in found if isinstance(side, engines.BucketSide)), None)
        self._rounds = Rounds(bench.runs)
        self._known: set[str] = set()  # sides of whose daemon the CPU time is known

    def rows(self) -> Iterator[Row]:
        """The rows of all sides, once all rounds are done."""
        self._epoch(self._directory, 0)
        while self._rounds.more():
            self._rounds.add(self._round())
        for side in self._sides:
            yield from self._rows_of(side)

    def _round(self) -> dict[str, tuple[Sample, Sample]]:
        pairs = {}
        native = sample(lambda: self._epoch(self._directory, 1))
        for side in self._sides:
            with side.mounted(self._directory) as mounted:
                if mounted.pid:
                    self._known.add(side.name)
                for seed, epoch in enumerate(("first", "second"), 1):
                    taken = sample(lambda: self._epoch(mounted.root, seed), mounted.pid, side.servers)  # noqa: B023
                    pairs[f"{side.name}, {epoch}"] = (native, taken)
        if self._bucket is not None:
            bare = sample(lambda: self._source(native.done.count), beside=self._bucket.servers)
            pairs["source"] = (bare, pairs[f"{self._bucket.name}, first"][1])
        return pairs

    def _epoch(self, root: Path, seed: int) -> Outcome:
        paths = [os.path.join(root, name) for name in self._order(seed)]
        shape = self._shape
        if shape.kind == "torch":
            done = programs.torch_epoch(self._bench.scope.torch, shape.workers, shape.files, paths)
        else:
            done = programs.epoch(shape.kind, shape.workers, shape.files, paths)
        return done._replace(count=done.count / shape.per_unit)

    def _source(self, count: float) -> Outcome:
        """The same bytes, and so as much as an epoch of `count`."""
        assert self._bucket is not None
        paths = [f"/{name}" for name in self._order(1)]
        uri, properties = self._bucket.uri(self._directory), self._bucket.properties()
        done = programs.source_epoch(uri, properties, self._shape.workers, self._shape.files, paths)
        return done._replace(count=count)

    def _order(self, seed: int) -> list[str]:
        names = list(self._names)
        random.Random(seed).shuffle(names)
        return names

    def _rows_of(self, side: engines.Side) -> Iterator[Row]:
        shape, runs = self._shape, self._bench.runs
        for epoch, target in (("first", None), ("second", shape.second)):
            pairs = self._rounds.best(f"{side.name}, {epoch}")
            row = row_of_pairs(
                f"{shape.what}: {side.name}, {epoch} epoch", shape.unit, pairs, runs=runs,
                pid=side.name in self._known, target=target if side.ours else None,
            )  # fmt: skip
            yield row._replace(point=Point(f"training-{epoch}", side.name, shape.short))
            if shape.make is sets.make_retinanet:
                count = mlperf.accelerators(row.mount)
                yield single(f"{shape.short}: {side.name}, {epoch} epoch: accelerators per core", "", count, runs=runs)
        if side is self._bucket:
            pairs = self._rounds.best("source")
            row = row_of_pairs(
                f"{shape.what}: bucket, first epoch ÷ source", shape.unit, pairs, runs=runs, pid=1, target=_NEARLY
            )
            yield row._replace(note="native: the source")
