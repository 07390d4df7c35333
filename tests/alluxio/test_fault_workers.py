"""Workers of a real cluster that are killed, stall or start anew, while files are read; every byte is compared."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import dataset
from cluster.cluster import Cluster
from cluster.dataset import MIB, Place
from harness.children import Children, until
from harness.mounting import Mounts
from on_cluster import calls, mount
from steady import Readers, read_through, timed_read

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

BLOCK = 2 * MIB
# Each read reaches a worker, which may be silent for a second.
REMOTE = {"alluxio.user.short.circuit.enabled": "false", "alluxio.user.streaming.data.read.timeout": "6sec"}
UNCACHED = "direct_io,attr_timeout=5,entry_timeout=5"
BOTH = {f"both{number}": 3 * BLOCK + number for number in range(3)}  # in blocks of both workers
FIRST = {f"first{number}": 2 * BLOCK + number for number in range(3)}  # of the first one, and in the under-store
COLD = {f"cold{number}": 2 * BLOCK + number for number in range(3)}  # in the under-store alone
SMALL = {f"small{number}": 50_000 + number for number in range(6)}  # of the first one
FILES = {**BOTH, **FIRST, **COLD, **SMALL}


@pytest.fixture(scope="module")
def stored(session_cluster: Cluster) -> Iterator[str]:
    """The directory of the files above. A worker that is started anew has its blocks again."""
    top = "/faults of workers"
    shell = session_cluster.shell
    for name, size in FILES.items():
        write(session_cluster, f"{top}/{name}", name, size, "THROUGH" if name in COLD else "CACHE_THROUGH")
    for name in BOTH:
        shell.cache(f"{top}/{name}", session_cluster.workers[1])
    until(
        lambda: all(len(each) == 2 for name in BOTH for each in shell.locations(f"{top}/{name}")),
        "both workers to have the blocks",
    )
    yield top
    session_cluster.repair()
    session_cluster.shell.fs("rm", "-R", top)


@pytest.fixture
def filled(cluster: Cluster, stored: str) -> str:
    """As `stored`, with both workers running."""
    return stored


def write(cluster: Cluster, path: str, name: str, size: int, kind: str = "CACHE_THROUGH") -> None:
    """Writes a file of cluster.dataset, its blocks to the first worker."""
    data = dataset.content(name, 0, size)
    cluster.shell.write(path, data, block_size=BLOCK, write_type=kind, worker=cluster.workers[0])


def test_a_worker_is_killed(cluster: Cluster, filled: str, mounts: Mounts, children: Children, private: Path) -> None:
    """Readers get their bytes from the other worker, which has them or reads them from the under-store."""
    mounted = mount(mounts, cluster, filled, UNCACHED, REMOTE)
    readers = Readers(children, mounted.path, FILES, private)
    cluster.kill9("worker0")
    readers.read_on()
    report = readers.stop()
    print(f"kill -9 of a worker: the longest call took {report.longest_s:.2f} s")
    assert not report.errors
    assert mounted.lines("WARN", "worker localhost")


def test_a_worker_is_killed_under_files_it_lent(
    cluster: Cluster, filled: str, mounts: Mounts, children: Children, private: Path
) -> None:
    """What is open is read on, by passthrough and through the daemon; what is opened now comes from elsewhere."""
    mounted = mount(mounts, cluster, filled, "", {"alluxio.user.streaming.data.read.timeout": "6sec"})
    opened = {**FIRST, "small0": SMALL["small0"]}
    ready, go = private / "ready", private / "go"

    def read_on() -> float:
        fds = {name: os.open(mounted.join(name), os.O_RDONLY) for name in opened}
        ready.touch()
        until(go.exists, "the worker to be dead")
        for name, fd in fds.items():
            at = 0
            while data := os.pread(fd, 1 << 18, at):
                assert data == dataset.content(name, at, len(data)), f"{name} differs at {at}"
                at += len(data)
            assert at == opened[name]
        return max(read_through(mounted.join(name), name, size) for name, size in FILES.items())

    reading = children.start(read_on)
    until(lambda: ready.exists() or reading.ended(), "the files to be open")
    cluster.kill9("worker0")
    go.touch()
    reading.result(120)


def test_a_worker_stalls(cluster: Cluster, filled: str, mounts: Mounts, children: Children, private: Path) -> None:
    """Whoever waits for it is served by the other one after a second, and whoever comes then at once."""
    mounted = mount(mounts, cluster, filled, UNCACHED, REMOTE)
    readers = Readers(children, mounted.path, FILES, private)
    with cluster.paused("worker0"):
        readers.read_on()
        report = readers.stop()
    print(f"a stalled worker: the longest call took {report.longest_s:.2f} s")
    assert not report.errors
    assert report.longest_s > 0.9
    before = calls(mounted.stats())["ReadBlock"]
    children.run(read_through, mounted.join("first0"), "first0", FIRST["first0"])
    assert calls(mounted.stats())["ReadBlock"] > before


def test_the_only_worker_that_has_it_stalls(cluster: Cluster, place: Place, mounts: Mounts, children: Children) -> None:
    """The read waits and succeeds; where it has waited long enough it is EIO, and the next one succeeds."""
    write(cluster, f"{place.path}/only", "only", BLOCK, "MUST_CACHE")
    expected = dataset.content("only", 0, 4096)
    patient = mount(mounts, cluster, place.path, UNCACHED, REMOTE)
    assert children.run(timed_read, patient.join("only"), 4096)[1] == expected
    with cluster.paused("worker0"):
        waiting = children.start(timed_read, patient.join("only"), 4096)
        patient.until(lambda stats: stats["requests_born"] > stats["requests_died"], "the read waits")
    number, data, _ = waiting.result(120)
    assert (number, data) == (0, expected)
    impatient = {**REMOTE, "alluxio.user.block.read.retry.max.duration": "3sec"}
    mounted = mount(mounts, cluster, place.path, UNCACHED, impatient)
    with cluster.paused("worker0"):
        number, _, seconds = children.run(timed_read, mounted.join("only"), 4096)
    assert number == errno.EIO
    assert seconds > 2.5
    number, data, _ = children.run(timed_read, mounted.join("only"), 4096)
    assert (number, data) == (0, expected)


def test_a_worker_is_started_anew(
    cluster: Cluster, filled: str, mounts: Mounts, children: Children, private: Path
) -> None:
    """It knows nobody then, and has its blocks; what it alone has is read again once it is back."""
    write(cluster, f"{filled}/only", "only", BLOCK, "MUST_CACHE")
    mounted = mount(mounts, cluster, filled, UNCACHED, {**REMOTE, "alluxio.user.streaming.data.read.timeout": "30sec"})
    readers = Readers(children, mounted.path, {**BOTH, **FIRST, "only": BLOCK}, private)
    began = time.monotonic()
    cluster.kill9("worker0")
    cluster.restart("worker0")
    back = time.monotonic() - began
    readers.read_on()
    report = readers.stop()
    print(f"restart of a worker: back after {back:.1f} s, the longest call took {report.longest_s:.2f} s")
    assert not report.errors
    number, data, _ = children.run(timed_read, mounted.join("only"), 4096)
    assert (number, data) == (0, dataset.content("only", 0, 4096))


@pytest.mark.parametrize("ending", ["SIGTERM", "umount"])
def test_the_end_while_a_worker_stalls(
    cluster: Cluster, place: Place, mounts: Mounts, children: Children, ending: str
) -> None:
    """Unmounting does not wait for it."""
    write(cluster, f"{place.path}/only", "only", 2 * BLOCK, "MUST_CACHE")
    mounted = mount(mounts, cluster, place.path, UNCACHED, {"alluxio.user.short.circuit.enabled": "false"})
    mounted.unbalanced = ("fetches", "files", "backings", "pages")
    assert children.run(timed_read, mounted.join("only"), 10)[0] == 0
    with cluster.paused("worker0"):
        waiting = [children.start(timed_read, mounted.join("only"), 4096, at) for at in (100_000, BLOCK, BLOCK + 5000)]
        mounted.until(lambda s: s["requests_born"] - s["requests_died"] == 3, "all to wait")
        began = time.monotonic()
        if ending == "SIGTERM":
            os.kill(mounted.pid, signal.SIGTERM)
        else:
            mounted.killed = True
            assert mounted.unmount("-f").returncode == 0
        assert all(child.result(120)[0] for child in waiting)
        until(mounted.gone, "daemon and mount to be gone")
        took = time.monotonic() - began
    print(f"{ending} while reads hang: gone after {took:.2f} s")
