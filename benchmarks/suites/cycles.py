"""Mounting and unmounting, again and again: nothing may be left."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator

import alluxio_jnifuse
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.registry import Registry
from benchmarks import machine
from benchmarks.bench import Bench
from benchmarks.measure import Row, at_most, single

TITLE = "1,000 mounts and unmounts"
HOW = "Through the Python API; each mount is read once. What is left is counted when all have ended."

_CYCLES = 1000


def run(bench: Bench) -> Iterator[Row]:
    ufs = bench.root / "one"
    ufs.mkdir(exist_ok=True)
    (ufs / "file").write_bytes(os.urandom(100_000))
    _cycle(bench, ufs)
    before = _left(bench)
    times = [_cycle(bench, ufs) for _ in range(bench.scaled(_CYCLES))]
    after = _left(bench)
    mount, unmount = (statistics.median(column) for column in zip(*times))
    yield single("mount", "s", mount, runs=len(times), note=f"slowest {max(times)[0]:.3f}")
    slowest = max(seconds for _, seconds in times)
    yield single("unmount", "s", unmount, runs=len(times), note=f"slowest {slowest:.3f}")
    for name, count in after.items():
        yield single(f"left behind: {name}", "", count - before[name], runs=len(times), target=at_most(0))


def _cycle(bench: Bench, ufs: object) -> tuple[float, float]:
    start = time.perf_counter()
    mount = alluxio_jnifuse.mount(str(ufs), bench.mountpoint)
    mounted = time.perf_counter()
    (bench.mountpoint / "file").read_bytes()
    read = time.perf_counter()
    mount.unmount()
    return mounted - start, time.perf_counter() - read


def _left(bench: Bench) -> dict[str, int]:
    """Returns what our mounts occupy now, by kind; other people's mounts on this machine do not count."""
    where = str(bench.mountpoint)
    return {
        "mounts": sum(entry.mountpoint == where for entry in table.read()),
        "processes": sum(_serves(pid, where) for pid in filter(str.isdigit, os.listdir("/proc"))),
        "records of mounts": sum(record.mountpoint == where for record in Registry().running()),
        "descriptors here": machine.descriptors(os.getpid()),
        "files on tmpfs": sum(len(names) for _, _, names in os.walk(bench.root)),
    }


def _serves(pid: str, mountpoint: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.fsencode(mountpoint) in file.read().split(b"\0")
    except OSError:
        return False
