"""The Java AlluxioFuse on the same cluster, for comparison: mounted, measured and ended like ours."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.cluster import Cluster

from benchmarks.bench import Skip

# The memory that its users give it; with less it is slower.
_HEAP = ("-Xms1g", "-Xmx1g", "-XX:MaxDirectMemorySize=4g")
_READY_S = 60.0


class JavaMount:
    """A running AlluxioFuse; `seconds`: from exec to the mount."""

    def __init__(self, pid: int, mountpoint: Path, seconds: float) -> None:
        self.pid = pid
        self.mountpoint = mountpoint
        self.seconds = seconds


@contextmanager
def mount(cluster: Cluster, mountpoint: Path, log: Path, *properties: str) -> Iterator[JavaMount]:
    """Mounts the cluster's root with kernel_cache. Raises Skip when it does not come up."""
    mountpoint.mkdir(exist_ok=True)
    words = [word for word in cluster.java("client") if not word.startswith(("-Xm", "-XX:TieredStop"))]
    defines = [f"-D{name}={value}" for name, value in cluster.client_properties().items()]
    command = [
        *words, *_HEAP, *defines, *(f"-D{each}" for each in properties), "-Dalluxio.fuse.jnifuse.libfuse.version=3",
        "alluxio.fuse.AlluxioFuse", "-m", str(mountpoint), "-a", "/", "-o", "kernel_cache",
    ]  # fmt: skip
    start = time.perf_counter()
    with open(log, "wb") as out:
        process = subprocess.Popen(
            command, env=cluster.environ("client"), stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    try:
        while not _is_mounted(mountpoint):
            if process.poll() is not None or time.perf_counter() - start > _READY_S:
                raise Skip(f"the Java client does not mount: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.005)
        yield JavaMount(process.pid, mountpoint, time.perf_counter() - start)
    finally:
        subprocess.run(["umount", "-l", str(mountpoint)], check=False, capture_output=True)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_mounted(mountpoint: Path) -> bool:
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as table:
        return any(line.split(" ")[1] == str(mountpoint) and " fuse" in line for line in table)


def need_java() -> None:
    """Raises Skip where the comparison cannot be made."""
    from cluster import jars

    reason = jars.unusable()
    if reason:
        raise Skip(reason)
    if os.geteuid() != 0:
        raise Skip("dropping caches between two samples needs root")
