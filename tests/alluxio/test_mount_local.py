"""Block files of workers on this machine: who counts as being here, how they are read, and what the log says of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import dataset
from cluster.cluster import Cluster
from cluster.dataset import MIB, Place
from harness.children import Children, until
from harness.datasets import check, check_mapped, check_ranges, walk
from harness.mounting import Mounted, Mounts
from on_cluster import calls, mount

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

BLOCK = 4 << 20
ONE, SEVERAL, SMALL = BLOCK - 5, 5 * BLOCK + 4711, 30_000
FILES = {"one": ONE, "several": SEVERAL, "small": SMALL}


def write(cluster: Cluster, path: str, worker: int = 0) -> None:
    """Writes the files, all of whose blocks get to one worker."""
    for name, size in FILES.items():
        data = dataset.content(name, 0, size)
        cluster.shell.write(f"{path}/{name}", data, block_size=BLOCK, worker=cluster.workers[worker])


def read_all(top: str) -> None:
    """Reads all files, in several ways."""
    for name, size in FILES.items():
        check(f"{top}/{name}", name, size)
        check_ranges(f"{top}/{name}", name, size, 20, 100_000)
        check_mapped(f"{top}/{name}", name, size)


def read(mounted: Mounted, children: Children, name: str) -> dict[str, int]:
    """Reads one file to its end; what that counted."""
    before = mounted.settled()
    children.run(check, mounted.join(name), name, FILES[name])
    mounted.closed()
    return mounted.since(before)


def test_block_files_are_lent(cluster: Cluster, place: Place, mounts: Mounts, children: Children) -> None:
    """One block goes to the kernel as it is, several are lent; the worker is told of each, and no byte is sent."""
    write(cluster, place.path)
    mounted = mount(mounts, cluster, place.path)
    children.run(walk, mounted.path)
    assert mounted.lines("2 workers", "localhost is on this machine", "their block files are opened here")
    before = mounted.settled()
    counted = read(mounted, children, "one")
    if mounted.has("passthrough"):
        assert counted["open_passthrough"] == 1
        assert "op_read" not in counted
    counted = read(mounted, children, "several")
    assert counted["read_borrowed_bytes"] >= SEVERAL
    read(mounted, children, "small")
    mounted.until(lambda stats: stats["rpc_OpenLocalBlock"] == 8, "the worker to be told of all blocks")
    made = calls(mounted.since(before))
    made.pop("authenticate", None)  # unless it is the worker that the mount has connected to already
    assert made == {"OpenLocalBlock": 8}
    assert not mounted.lines("WARN")


def test_locks_are_given_back(cluster: Cluster, place: Place, mounts: Mounts, children: Children) -> None:
    """A block that was read can be freed at once; one that is open is readable to its end all the same."""
    write(cluster, place.path)
    mounted = mount(mounts, cluster, place.path)
    children.run(read_all, mounted.path)
    mounted.closed()
    blocks = {path.name for ramdisk in cluster.ramdisks for path in ramdisk.glob("alluxioworker/[0-9]*")}
    cluster.shell.fs("free", place.path)
    children.run(read_all, mounted.path)
    assert {Path(path).name for path in mounted.files()} & blocks == set()


def test_a_worker_knows_what_is_used(clusters: Callable[..., Cluster], mounts: Mounts, children: Children) -> None:
    """It evicts what was not read, though it was not asked for what was: small files, after the first one."""
    cluster = clusters(ramdisk_size="32MB", block_size="1MB")
    names = [f"{number:02}/file" for number in range(24)]  # next to no other one that would be read ahead
    dataset.make(cluster.ufs / "d", dict.fromkeys(names, MIB))
    dataset.make(cluster.ufs / "more", dict.fromkeys(names[:16], MIB))
    for name in names:  # the first ones are the oldest
        cluster.shell.fs("load", f"/d/{name}")
    mounted = mount(mounts, cluster, "/d")
    children.run(walk, mounted.path)
    for name in names[:8]:
        children.run(check, mounted.join(name), name, MIB)
    mounted.until(lambda stats: stats["rpc_OpenLocalBlock"] == 8, "the worker to be told", 30)
    assert "ReadBlock" not in calls(mounted.stats())
    for name in names[:12]:
        cluster.shell.fs("load", f"/more/{name}")

    def held() -> list[str]:
        return [name for name in names if all(cluster.shell.locations(f"/d/{name}"))]

    until(lambda: len(held()) < len(names), "the master to know what was evicted")
    assert set(held()) >= set(names[:8])


def test_short_circuit_off(cluster: Cluster, place: Place, mounts: Mounts, children: Children) -> None:
    """Everything comes through the worker, once.

    Most ranges of a block share a call. How many do is the scheduler's: a thread kept from its turn makes its own.
    """
    write(cluster, place.path)
    mounted = mount(mounts, cluster, place.path, "", {"alluxio.user.short.circuit.enabled": "false"})
    assert mounted.lines("localhost is on this machine", "short-circuit is off")
    for name, blocks in (("several", 6), ("one", 1), ("small", 1)):
        counted = read(mounted, children, name)
        assert counted["fetch_bytes"] == FILES[name]
        assert blocks <= calls(counted)["ReadBlock"] <= blocks + counted["fetch_read"]
        assert "OpenLocalBlock" not in calls(counted)
        assert "read_borrowed_bytes" not in counted
        assert "open_passthrough" not in counted


def test_under_other_names(clusters: Callable[..., Cluster], mounts: Mounts, children: Children) -> None:
    """Workers on this machine are found to be so by any of its names and addresses, whatever the client is called."""
    cluster = clusters(hosts=("127.0.0.1", socket.gethostname()))
    for number in range(2):
        write(cluster, f"/{number}", number)
    for properties in ({}, {"alluxio.user.hostname": "client.invalid"}):
        mounted = mount(mounts, cluster, "/", "", properties)
        assert mounted.lines("2 workers", "is on this machine")
        for number in range(2):
            children.run(read_all, mounted.join(str(number)))
        assert "ReadBlock" not in calls(mounted.stats())


def test_no_worker_on_this_machine(clusters: Callable[..., Cluster], mounts: Mounts) -> None:
    """The log says so, and where they are: short-circuit is not lost silently."""
    cluster = clusters(hosts=("198.51.100.77",))  # of a network for documentation
    mounted = mount(mounts, cluster)
    assert mounted.lines("none on this machine (198.51.100.77)", "every read is remote")


# ---------------------------------------------------------------------------------------- files that cannot be opened


@contextmanager
def hidden(directory: Path) -> Iterator[list[str]]:
    """Hides a directory from whoever is started with the words this gives, and from nobody else."""
    mode = directory.stat().st_mode
    directory.chmod(0)
    try:
        yield ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    finally:
        directory.chmod(mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a right to give up")
def test_block_files_that_cannot_be_seen(cluster: Cluster, place: Place, mounts: Mounts, children: Children) -> None:
    """As in a container without the worker's directory: one warning, and everything is read through the worker."""
    write(cluster, place.path)
    with hidden(cluster.ramdisks[0]) as words:
        mounted = mount(mounts, cluster, place.path, wrapper=words)
        children.run(read_all, mounted.path)
        children.run(read_all, mounted.path)
        made = calls(mounted.stats())
    assert made["OpenLocalBlock"] <= 2
    assert made["ReadBlock"] >= 8
    (warning,) = mounted.lines("WARN")
    assert "cannot be opened here" in warning
    assert str(cluster.ramdisks[0]) in warning
