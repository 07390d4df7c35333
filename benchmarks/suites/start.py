"""From the command to the first byte, and what a mount costs that does nothing."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from alluxio_jnifuse.mounts.unmount import unmount
from benchmarks import machine
from benchmarks.bench import Bench
from benchmarks.measure import Row, at_most, single

TITLE = "Start and footprint"
HOW = (
    "Exec of `alluxio-jnifuse mount` until a file of the mount was opened and its first byte read; programs and "
    "libraries in the page cache. Memory from smaps_rollup: PSS counts shared pages by their share."
)

_SETTLE_S = 0.5


def run(bench: Bench) -> Iterator[Row]:
    ufs = bench.root / "one"
    ufs.mkdir(exist_ok=True)
    (ufs / "file").write_bytes(b"x" * 4096)
    times = [_start(bench, ufs) for _ in range(3 * bench.runs)]
    mounted, first = (statistics.median(column) for column in zip(*times))
    yield single("exec to `Successfully mounted`", "s", mounted, runs=len(times))
    worst = f"slowest {max(time for _, time in times):.3f}"
    yield single("exec to first byte", "s", first, runs=len(times), target=at_most(0.3), note=worst)
    yield from _footprint(bench, ufs)


def command() -> list[str]:
    """The command as users type it, of the interpreter that runs this."""
    script = Path(sys.executable).with_name("alluxio-jnifuse")
    return [str(script)] if script.exists() else [sys.executable, "-m", "alluxio_jnifuse"]


def _start(bench: Bench, ufs: Path) -> tuple[float, float]:
    start = time.perf_counter()
    subprocess.run(
        [*command(), "mount", "--ufs", str(ufs), str(bench.mountpoint)], check=True, stdout=subprocess.DEVNULL
    )
    mounted = time.perf_counter()
    fd = os.open(bench.mountpoint / "file", os.O_RDONLY)
    os.read(fd, 1)
    end = time.perf_counter()
    os.close(fd)
    unmount(str(bench.mountpoint))
    return mounted - start, end - start


def _footprint(bench: Bench, ufs: Path) -> Iterator[Row]:
    with bench.mount(ufs) as mount:
        time.sleep(_SETTLE_S)
        idle = machine.memory(mount.pid)
        note = f"anonymous {idle['Pss_Anon'] / 1e6:.1f}, resident {idle['Rss'] / 1e6:.1f}"
        yield single("idle PSS", "MB", idle["Pss"] / 1e6, target=at_most(60), note=note)
        yield single("idle descriptors", "", machine.descriptors(mount.pid))
        cpu = machine.cpu_seconds(mount.pid)
        time.sleep(2)
        yield single("idle CPU", "s/s", (machine.cpu_seconds(mount.pid) - cpu) / 2, target=at_most(0.01))
