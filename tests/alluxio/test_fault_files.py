"""Files of a real cluster that go, come or change while they are open, and workers that have too little room."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
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
SIZE = 3 * BLOCK + 4711
REMOTE = {"alluxio.user.short.circuit.enabled": "false", "alluxio.user.streaming.data.read.timeout": "6sec"}
LOCAL = {"alluxio.user.streaming.data.read.timeout": "6sec"}
UNCACHED = "direct_io,attr_timeout=1,entry_timeout=1"
WAYS = pytest.mark.parametrize("properties", [REMOTE, LOCAL], ids=["remote", "local"])


def write(cluster: Cluster, path: str, name: str, size: int = SIZE, kind: str = "CACHE_THROUGH") -> None:
    """Writes what cluster.dataset has for `name`."""
    cluster.shell.write(
        path, dataset.content(name, 0, size), block_size=BLOCK, write_type=kind, overwrite=True,
        worker=cluster.workers[0],
    )  # fmt: skip


def block_files(cluster: Cluster) -> set[str]:
    """The names of all block files."""
    return {path.name for ramdisk in cluster.ramdisks for path in ramdisk.glob("alluxioworker/[0-9]*")}


class OpenFile:
    """A child that has a file open, and reads pieces of it on demand."""

    def __init__(self, children: Children, path: str, directory: Path) -> None:
        self._asked = directory / "asked"
        self._child = children.start(_serve, path, str(self._asked), str(directory / "ready"))
        until((directory / "ready").exists, "the file to be open")

    def read_rest(self, timeout: float = 20.0) -> list[tuple[int, int, bytes]]:
        """All of it, as (offset, errno, bytes), after a few bytes that were read before."""
        self._asked.touch()
        return self._child.result(timeout)  # type: ignore[no-any-return]


def _serve(path: str, asked: str, ready: str) -> list[tuple[int, int, bytes]]:
    fd = os.open(path, os.O_RDONLY)
    found = [(SIZE // 2, 0, os.pread(fd, 4096, SIZE // 2))]  # in the middle: nothing is read ahead of it
    Path(ready).touch()
    until(lambda: os.path.exists(asked), "to be asked")
    for at in range(0, SIZE, 300_000):
        try:
            found.append((at, 0, os.pread(fd, 300_000, at)))
        except OSError as error:
            found.append((at, error.errno or 0, b""))
    return found


def test_freed_while_it_is_open(
    cluster: Cluster, place: Place, mounts: Mounts, children: Children, private: Path
) -> None:
    """Its blocks go from the workers; all of it can still be read, and opened."""
    before = block_files(cluster)
    write(cluster, f"{place.path}/file", "file")
    mounted = mount(mounts, cluster, place.path, UNCACHED, REMOTE)
    opened = OpenFile(children, mounted.join("file"), private)
    old = block_files(cluster) - before
    assert old
    cluster.shell.fs("free", "-f", f"{place.path}/file")
    until(lambda: not old & block_files(cluster), "the blocks to go")
    for at, number, data in opened.read_rest():
        assert (number, data) == (0, dataset.content("file", at, len(data)))
    children.run(read_through, mounted.join("file"), "file", SIZE)


@WAYS
@pytest.mark.parametrize("then", ["deleted", "overwritten"])
@pytest.mark.parametrize("kind", ["CACHE_THROUGH", "THROUGH"])
def test_replaced_while_it_is_open(
    cluster: Cluster,
    place: Place,
    mounts: Mounts,
    children: Children,
    private: Path,
    properties: dict[str, str],
    then: str,
    kind: str,
) -> None:
    """Who has it open gets its old bytes, or EIO; who opens it then gets what is there."""
    before = block_files(cluster)
    write(cluster, f"{place.path}/file", "file", kind=kind)
    mounted = mount(mounts, cluster, place.path, UNCACHED, properties)
    opened = OpenFile(children, mounted.join("file"), private)
    old = block_files(cluster) - before
    if then == "deleted":
        cluster.shell.fs("rm", f"{place.path}/file")
    else:
        write(cluster, f"{place.path}/file", "other", SIZE + 100_000, kind)
    if properties is REMOTE:  # else they are lent
        until(lambda: not old & block_files(cluster), "the old blocks to go")
    answers = opened.read_rest()
    for at, number, data in answers:
        assert number in (0, errno.EIO)
        assert data == dataset.content("file", at, len(data)), f"bytes of another file at {at}"
    if properties is REMOTE or kind == "THROUGH":
        assert answers[-1][1] == errno.EIO
    else:
        assert not any(number for _, number, _ in answers)
    if then == "overwritten":
        until(
            lambda: children.run(timed_read, mounted.join("file"), 100)[1] == dataset.content("other", 0, 100),
            "the new file to be seen",
        )
        children.run(read_through, mounted.join("file"), "other", SIZE + 100_000)
    else:
        until(lambda: children.run(timed_read, mounted.join("file"), 100)[0] == errno.ENOENT, "the file to be gone")


def test_a_small_file_that_is_replaced_again_and_again(
    cluster: Cluster, place: Place, mounts: Mounts, children: Children
) -> None:
    """Each read gives one of its contents, whole; the last one is seen in the end."""
    mounted = mount(mounts, cluster, place.path, "attr_timeout=1,entry_timeout=1", REMOTE)
    for number in range(8):
        name, size = f"v{number}", 3000 + 1500 * (number % 3)
        write(cluster, f"{place.path}/file", name, size, "THROUGH" if number % 2 else "CACHE_THROUGH")
        versions = [dataset.content(f"v{n}", 0, 3000 + 1500 * (n % 3)) for n in range(number + 1)]
        for _ in range(3):
            code, data, _ = children.run(timed_read, mounted.join("file"), 10_000)
            assert code in (0, errno.EIO, errno.ESTALE, errno.ENOENT)
            assert code or data in versions, f"{len(data)} bytes that are no version"
    until(lambda: children.run(timed_read, mounted.join("file"), 10_000)[1] == versions[-1], "the last version")


def test_a_file_that_is_being_written(cluster: Cluster, place: Place, mounts: Mounts, children: Children) -> None:
    """It cannot be read before it is complete; then it can."""
    unfinished = cluster.shell.begin(f"{place.path}/file", block_size=BLOCK)
    unfinished.append(dataset.content("file", 0, BLOCK))
    mounted = mount(mounts, cluster, place.path, UNCACHED, REMOTE)
    number, data, _ = children.run(timed_read, mounted.join("file"), 100)
    assert (number, data) in ((errno.EIO, b""), (0, b""))
    unfinished.finish()
    until(
        lambda: children.run(timed_read, mounted.join("file"), 100)[1] == dataset.content("file", 0, 100),
        "the file to be complete",
    )


def test_workers_with_too_little_room(
    clusters: Callable[..., Cluster], mounts: Mounts, children: Children, private: Path
) -> None:
    """More is read than they can keep, so that they evict blocks all the time, of files that are open too."""
    cluster = clusters(workers=2, ramdisk_size="24MB", block_size="4MB")
    files = {f"file{number}": (4 + number % 5) * MIB + number for number in range(16)}
    dataset.make(cluster.ufs / "d", files)
    mounted = mount(mounts, cluster, "/d", UNCACHED, {**REMOTE, "alluxio.user.streaming.data.read.timeout": "1min"})
    lent = mount(mounts, cluster, "/d", UNCACHED)
    (private / "a").mkdir()
    (private / "b").mkdir()
    readers = (
        Readers(children, mounted.path, files, private / "a", 2),
        Readers(children, lent.path, files, private / "b", 2),
    )
    for each in readers:
        each.read_on(8)
    for each in readers:
        report = each.stop()
        assert not report.errors
    assert calls(mounted.stats())["ReadBlock"] > 40
