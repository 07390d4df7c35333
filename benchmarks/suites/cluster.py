"""Side by side with the Java AlluxioFuse of the same release as the cluster, both mounted at once."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cluster.cluster import Cluster

from alluxio_jnifuse.mounts.unmount import unmount
from benchmarks import data, java, machine, reader
from benchmarks.bench import Bench
from benchmarks.measure import (
    Outcome,
    Row,
    Sample,
    Target,
    Work,
    at_least,
    at_most,
    row_of_pairs,
    sample,
    single,
)
from benchmarks.suites.start import command
from benchmarks.workloads import RANDOM_4K, RANDOM_128K, SEQUENTIAL, SEQUENTIAL_4, reading

TITLE = "An Alluxio cluster: side by side with Java AlluxioFuse 2.9.6"
PEER = "Java"
HOW = (
    "One master, one worker with its ramdisk on tmpfs, both clients mounted with kernel_cache; the Java one with 1 GB "
    "heap and 4 GB direct memory. 4 files of 256 MiB, of one block and of four; 2,000 files of 10 to 110 KB; a "
    "directory of 10,000. Cold and first: the kernel's caches are dropped before each sample. Ratios: ours to Java's."
)

_ONE_BLOCK = 256 << 20
_BLOCKS = 64 << 20
_SMALL_FILES = 2000
_ENTRIES = 10_000


class _Sides(NamedTuple):
    """The two mounts."""

    theirs: java.JavaMount
    ours: Any  # alluxio_jnifuse.Mount
    mountpoint: Path


def run(bench: Bench) -> Iterator[Row]:
    java.need_java()
    with Cluster(optimized=True, ramdisk_size="8GB") as cluster:
        _fill(bench, cluster)
        with _mounted(bench, cluster) as sides:
            yield from _footprint("idle", sides, at_most(1 / 3))
            for directory, blocks, sequential, random in (
                ("one", "one block", 6, 100),
                ("multi", "four blocks", 1.5, 20),
            ):
                yield from _large(bench, sides, directory, blocks, sequential, random)
            yield from _small(bench, sides, at_least(5))
            yield from _listing(bench, sides)
            yield from _footprint("loaded", sides, at_most(1 / 4))
        with _mounted(bench, cluster, "alluxio.user.short.circuit.enabled=false") as sides:
            yield _compare(
                bench,
                sides,
                "short-circuit off, sequential, 1 reader",
                "GB/s",
                _fio(SEQUENTIAL, "multi"),
                at_least(2.5),
            )
            yield _cpu(bench, sides, "short-circuit off: CPU for a GiB", _fio(SEQUENTIAL, "multi"), at_most(1 / 2))
            yield _compare(
                bench,
                sides,
                "short-circuit off, sequential, 4 readers",
                "GB/s",
                _fio(SEQUENTIAL_4, "multi"),
                at_least(1.5),
            )
        direct = [
            f"alluxio.worker.tieredstore.level0.dirs.path={cluster.ramdisks[0]}",
            "alluxio.user.direct.memory.io.enabled=true",
        ]
        with _mounted(bench, cluster, *direct) as sides:
            yield _compare(
                bench, sides, "direct.memory.io, small files, first", "k files/s", _files(bench), at_least(12)
            )
        yield from _start(bench, cluster)


def _fill(bench: Bench, cluster: Cluster) -> None:
    print("  (copying the data sets into the cluster)", file=sys.stderr, flush=True)
    for number in range(data.LARGE_FILES):
        file = bench.large() / f"large-{number}"
        cluster.shell.write(f"/one/large-{number}", file, block_size=_ONE_BLOCK, write_type="MUST_CACHE")
        cluster.shell.write(f"/multi/large-{number}", file, block_size=_BLOCKS, write_type="MUST_CACHE")
    small = bench.root / "some"
    small.mkdir()
    data.make_small(small, bench.scaled(_SMALL_FILES))
    cluster.shell.fs("copyFromLocal", small, "/small")
    entries = cluster.ufs / "entries"
    entries.mkdir()
    for number in range(bench.scaled(_ENTRIES)):
        (entries / f"entry-{number:06}").touch()
    cluster.shell.fs("ls", "/entries")


@contextmanager
def _mounted(bench: Bench, cluster: Cluster, *properties: str) -> Iterator[_Sides]:
    with ExitStack() as stack:
        log = bench.root / "java.log"
        theirs = stack.enter_context(java.mount(cluster, bench.root / "java", log, *properties))
        settings = {
            **cluster.client_properties(),
            "alluxio.fuse.special.command.enabled": "true",  # to have ours forget
            **dict(text.split("=", 1) for text in properties),
        }
        ours = stack.enter_context(bench.mount(cluster.uri(), "kernel_cache", settings))
        yield _Sides(theirs, ours, bench.mountpoint)


def _drop_caches() -> None:
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def _pairs(bench: Bench, sides: _Sides, work: Callable[[Path], Work], cold: bool) -> list[tuple[Sample, Sample]]:
    pairs: list[tuple[Sample, Sample]] = []

    def one(mountpoint: Path, pid: int) -> Sample:
        if cold:
            _drop_caches()
        return sample(work(mountpoint), pid)

    for _ in range(bench.runs):  # none is taken again for noise: the servers' own work counts as that of others
        theirs = one(sides.theirs.mountpoint, sides.theirs.pid)
        pairs.append((theirs, one(sides.mountpoint, sides.ours.pid)))
    return pairs


def _compare(
    bench: Bench, sides: _Sides, what: str, unit: str, work: Callable[[Path], Work], target: Target | None = None,
    cold: bool = True,
) -> Row:  # fmt: skip
    pairs = _pairs(bench, sides, work, cold)
    row = row_of_pairs(what, unit, pairs, runs=bench.runs, pid=sides.ours.pid, target=target)
    return row._replace(noisy=False)


def _cpu(bench: Bench, sides: _Sides, what: str, work: Callable[[Path], Work], target: Target) -> Row:
    """CPU seconds of the clients for a GiB."""
    pairs = _pairs(bench, sides, work, True)
    theirs, ours = (
        [side.daemon_cpu_s / side.done.count / 1e9 * (1 << 30) for side in column] for column in zip(*pairs)
    )
    return _ratio(what, "s", statistics.median(theirs), statistics.median(ours), target, len(pairs))


def _ratio(what: str, unit: str, theirs: float, ours: float, target: Target, runs: int = 1) -> Row:
    ratio = ours / theirs
    return Row(what, unit, ours, theirs, ratio, target=str(target), met=target.met(ratio), runs=runs)


def _fio(workload: Any, directory: str) -> Callable[[Path], Work]:
    return lambda mountpoint: reading(workload, mountpoint / directory, loops=1)


def _large(bench: Bench, sides: _Sides, directory: str, blocks: str, sequential: float, random: float) -> Iterator[Row]:
    cold = _fio(SEQUENTIAL, directory)
    yield _compare(bench, sides, f"{blocks}, sequential, 1 reader, cold", "GB/s", cold, at_least(sequential))
    yield _cpu(bench, sides, f"{blocks}: CPU for a GiB", cold, at_most(1 / 5))
    yield _compare(bench, sides, f"{blocks}, sequential, 4 readers, cold", "GB/s", _fio(SEQUENTIAL_4, directory))
    small = _fio(RANDOM_4K, directory)
    yield _compare(bench, sides, f"{blocks}, random 4 KiB, cold", "k reads/s", small, at_least(random))
    yield _compare(bench, sides, f"{blocks}, random 128 KiB, cold", "GB/s", _fio(RANDOM_128K, directory))


def _files(bench: Bench) -> Callable[[Path], Work]:
    names = sorted(path.relative_to(bench.root / "some") for path in (bench.root / "some").rglob("*.jpg"))

    def work(mountpoint: Path) -> Work:
        paths = [str(mountpoint / "small" / name) for name in names]
        return lambda: reader.thousands("files", paths=paths)

    return work


def _small(bench: Bench, sides: _Sides, target: Target) -> Iterator[Row]:
    files = _files(bench)
    yield _compare(bench, sides, "small files, 1 reader, first", "k files/s", files, target)
    yield _compare(bench, sides, "small files, 1 reader, second", "k files/s", files, at_least(15), cold=False)


def _listing(bench: Bench, sides: _Sides) -> Iterator[Row]:
    """Ours forgets what it knows of the directory before each sample, as it would in a new mount."""

    def work(mountpoint: Path) -> Work:
        def once() -> Outcome:
            return reader.thousands("list", mountpoint / "entries")

        if mountpoint == sides.mountpoint:
            subprocess.run(
                ["ls", str(mountpoint / ".alluxiocli.metadatacache.dropAll")], capture_output=True, check=False
            )
        return once

    yield _compare(bench, sides, "ls -l of 10,000 entries, first", "k entries/s", work, at_least(10))


def _footprint(when: str, sides: _Sides, target: Target) -> Iterator[Row]:
    time.sleep(1)
    theirs, ours = (machine.memory(pid)["Pss"] / 1e6 for pid in (sides.theirs.pid, sides.ours.pid))
    yield _ratio(f"PSS, {when}", "MB", theirs, ours, target)


def _start(bench: Bench, cluster: Cluster) -> Iterator[Row]:
    """From exec to the mount."""
    theirs, ours = [], []
    defines = [word for pair in cluster.client_properties().items() for word in ("-D", "=".join(pair))]
    for _ in range(bench.runs):
        with java.mount(cluster, bench.root / "java", bench.root / "java.log") as mount:
            theirs.append(mount.seconds)
        start = time.perf_counter()
        subprocess.run([*command(), "mount", *defines, str(bench.mountpoint)], check=True, stdout=subprocess.DEVNULL)
        ours.append(time.perf_counter() - start)
        unmount(str(bench.mountpoint))
    yield _ratio("exec to mounted", "s", statistics.median(theirs), statistics.median(ours), at_most(1 / 2), bench.runs)
    yield single("ours, slowest", "s", max(ours), runs=bench.runs)
