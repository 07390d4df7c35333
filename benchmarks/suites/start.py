"""From the command to the first byte, and what a mount costs that does nothing."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from alluxio_jnifuse.mounts.registry import Registry
from alluxio_jnifuse.mounts.unmount import unmount
from benchmarks import engines, machine
from benchmarks.bench import ENGINES, Bench
from benchmarks.engines import Side
from benchmarks.measure import Row, Target, at_most, single

TITLE = "Start and footprint"
HOW = (
    "Exec of `alluxio-jnifuse mount` until a file of the mount was opened and its first byte read; programs and "
    "libraries in the page cache, the storages in turn. Without a name in front: a directory. Bucket: the test server "
    "of OSS's protocol, over HTTP; cluster: one master and one worker. Memory from smaps_rollup: PSS counts shared "
    "pages by their share."
)

_SETTLE_S = 0.5
_FILE = "file"


class _Limits(NamedTuple):
    """The targets of an engine: seconds to the first byte, MB of PSS."""

    first_byte: Target
    pss: Target


_LIMITS = {
    "directory": _Limits(at_most(0.12), at_most(20)),
    "bucket": _Limits(at_most(0.12), at_most(20)),
    "cluster": _Limits(at_most(0.2), at_most(30)),
}


class _Start(NamedTuple):
    """Seconds from exec, and those of processors that the command and its daemon took; a peer's are not known."""

    mounted: float
    first_byte: float
    cpu: float


def run(bench: Bench) -> Iterator[Row]:
    directory = bench.root / "one"
    directory.mkdir(exist_ok=True)
    for name in (_FILE, "another"):  # copyFromLocal makes a file of a directory with one
        (directory / name).write_bytes(b"x" * 4096)
    with ExitStack() as stack:
        sides = engines.sides(bench, stack, ENGINES)
        for side in sides:
            side.offer(directory)
        starts: dict[str, list[_Start]] = {side.name: [] for side in sides}
        for _ in range(3 * bench.runs):
            for side in sides:
                starts[side.name].append(_start(bench, side, directory))
        for side in sides:
            yield from _rows(side, starts[side.name])
            yield from _footprint(side, directory)


def command() -> list[str]:
    """The command as users type it, of the interpreter that runs this."""
    script = Path(sys.executable).with_name("alluxio-jnifuse")
    return [str(script)] if script.exists() else [sys.executable, "-m", "alluxio_jnifuse"]


def _start(bench: Bench, side: Side, directory: Path) -> _Start:
    before, start = _children_s(), time.perf_counter()
    if not side.ours:
        with side.mounted(directory) as mount:
            mounted = time.perf_counter()
            return _Start(mounted - start, _first_byte(mount.root) - start, 0)
    at = str(bench.mountpoint)
    subprocess.run([*command(), "mount", *side.words(directory), at], check=True, stdout=subprocess.DEVNULL)
    try:
        mounted = time.perf_counter()
        end = _first_byte(bench.mountpoint)
        daemon = Registry().find(at)
        assert daemon is not None  # it has just answered
        cpu = _children_s() - before + machine.precise_cpu_seconds(daemon.pid)
    finally:
        unmount(at)
    return _Start(mounted - start, end - start, cpu)


def _children_s() -> float:
    """The processor time of the commands that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _first_byte(root: Path) -> float:
    """When it was read."""
    fd = os.open(root / _FILE, os.O_RDONLY)
    try:
        os.read(fd, 1)
        return time.perf_counter()
    finally:
        os.close(fd)


def _rows(side: Side, starts: list[_Start]) -> Iterator[Row]:
    mounted, first, cpu = (statistics.median(column) for column in zip(*starts))
    runs, slowest = len(starts), f"slowest {max(each.first_byte for each in starts):.3f}"
    target = _LIMITS[side.base].first_byte if side.ours else None
    yield single(_named(side, "exec to `Successfully mounted`"), "s", mounted, runs=runs)
    yield single(_named(side, "exec to first byte"), "s", first, runs=runs, target=target, note=slowest)
    if side.ours:
        yield single(_named(side, "CPU until then"), "s", cpu, runs=runs, note="command and daemon")


def _footprint(side: Side, directory: Path) -> Iterator[Row]:
    with side.mounted(directory) as mount:
        if not mount.pid:
            return  # a program in the background, which nobody knows
        _first_byte(mount.root)
        time.sleep(_SETTLE_S)
        idle = machine.memory(mount.pid)
        note = f"anonymous {idle['Pss_Anon'] / 1e6:.1f}, resident {idle['Rss'] / 1e6:.1f}"
        target = _LIMITS[side.base].pss if side.ours else None
        yield single(_named(side, "idle PSS"), "MB", idle["Pss"] / 1e6, target=target, note=note)
        yield single(_named(side, "idle descriptors"), "", machine.descriptors(mount.pid))
        cpu = machine.cpu_seconds(mount.pid)
        time.sleep(2)
        cpu = (machine.cpu_seconds(mount.pid) - cpu) / 2
        yield single(_named(side, "idle CPU"), "s/s", cpu, target=at_most(0.01) if side.ours else None)


def _named(side: Side, what: str) -> str:
    return what if side.name == "directory" else f"{side.name}: {what}"
