"""The bytes of a mount are those of its source, whichever way they take."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from harness.children import Children, results
from harness.mounting import CACHE, Mounted, Mounts
from harness.readers import (
    MIB,
    advise,
    check,
    check_direct,
    check_mapped,
    check_ranges,
    check_shared,
    random_ranges,
    write,
)
from harness.remote import RemoteSource

from alluxio_jnifuse.testing import Pattern

pytestmark = pytest.mark.fuse

SIZES = (0, 1, 4095, 4096, 4097, MIB - 1, MIB, MIB + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1)
LARGE = 130_000_000
SPARSE = 8 << 30


class Way(NamedTuple):
    """How bytes get from a source to an application."""

    name: str
    lends: bool  # a directory; else a source in memory, which lends nothing
    options: str = ""
    cache: bool = False


WAYS = (
    Way("passthrough", True),
    Way("lent", True, "passthrough=off"),
    Way("lent-direct_io", True, "direct_io"),
    Way("lent-small", True, "passthrough=off,max_read=16384,sync_read"),
    Way("lent-clone_fd", True, "passthrough=off,clone_fd"),
    Way("copied", True, "", True),
    Way("copied-off", True, "passthrough=off", True),
    Way("copied-direct_io", True, "direct_io", True),
    Way("window", False),
    Way("window-kernel_cache", False, "kernel_cache"),
    Way("window-direct_io", False, "direct_io"),
    Way("window-small", False, "transient_window=4MB,prefetch_window=0"),
    Way("cached", False, "", True),
    Way("cached-kernel_cache", False, "kernel_cache,passthrough=off", True),
    Way("lent-unasked", True, "open=never"),
    Way("copied-unasked", True, "open=never", True),
    Way("window-unasked", False, "open=never,kernel_cache"),
    Way("window-unasked-small", False, "open=never,transient_window=4MB,prefetch_window=0,max_read=16384"),
    Way("cached-unasked", False, "open=never", True),
)


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest) -> Way:
    """Each way in turn."""
    return request.param


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of files of all sizes."""
    directory = tmp_path_factory.mktemp("data")
    for size in (*SIZES, LARGE):
        write(directory / str(size), size)
    yield directory
    for path in directory.iterdir():
        path.unlink()


@pytest.fixture
def mounted(way: Way, data: Path, mounts: Mounts, remote: Callable[..., RemoteSource]) -> Mounted:
    """The files of all sizes, mounted in a way."""
    ufs = data if way.lends else remote({b"%d" % size: Pattern(size) for size in (*SIZES, LARGE)})
    return mounts.mount(ufs, way.options, CACHE if way.cache else {})


def test_every_size(mounted: Mounted, children: Children) -> None:
    """Files of every size round a boundary are read whole, in small steps and in large, the first time and again."""

    def read() -> None:
        for size in SIZES:
            for block in (4096, 100_000, 4 * MIB):
                check(mounted.join(str(size)), size, block)

    children.run(read)
    mounted.settled()
    children.run(read)


def test_a_large_file(mounted: Mounted, children: Children) -> None:
    """130 MB are read by two readers at once, and then once more."""
    path = mounted.join(str(LARGE))
    results([children.start(check, path, LARGE, block) for block in (MIB, 64 << 10)])
    mounted.settled()
    children.run(check, path, LARGE)


def test_random_reads(mounted: Mounted, children: Children) -> None:
    """Reads anywhere, of any length, by several processes, return what stands there."""
    path = mounted.join(str(LARGE))
    readers = [
        children.start(check_ranges, path, LARGE, random_ranges(LARGE, 150, longest, longest))
        for longest in (100, 5000, 300_000)
    ]
    results(readers)


def test_mapped_files(mounted: Mounted, children: Children) -> None:
    """Files are mapped, shared and private, in order and at random."""
    for size in (1, 4097, 2 * MIB + 1):
        children.run(check_mapped, mounted.join(str(size)), size)
    children.run(check_mapped, mounted.join(str(LARGE)), LARGE, 150)


def test_a_descriptor_shared_by_processes(mounted: Mounted, children: Children) -> None:
    """Four processes share one descriptor after fork, with its offset."""
    children.run(check_shared, mounted.join(str(2 * MIB + 1)), 2 * MIB + 1)


def test_o_direct(mounted: Mounted, children: Children) -> None:
    """Files opened with O_DIRECT have the same bytes."""
    for size in (0, 4097, 2 * MIB + 1):
        children.run(check_direct, mounted.join(str(size)), size)


def test_advice(mounted: Mounted, children: Children) -> None:
    """Advice to read ahead or to forget, which sends reads that nobody waits for, changes nothing of the bytes."""
    for size in (4097, 2 * MIB + 1, LARGE):
        holder = children.start(hold, mounted.join(str(size)))
        children.run(advise, mounted.join(str(size)), size)
        children.run(check, mounted.join(str(size)), size)
        holder.kill()


def hold(path: str) -> None:
    """Keeps a file open until it is killed."""
    with open(path, "rb"):
        signal.pause()


def test_a_sparse_file(way: Way, private: Path, mounts: Mounts, children: Children, remote: Callable) -> None:
    """A file of 8 GiB is read at its start, in its middles and at its end, as fast as if it were small."""
    if way.lends:
        path = private / "source" / "sparse"
        path.parent.mkdir()
        with open(path, "wb") as file:
            for at in (0, 4 << 30, SPARSE - 7):
                file.seek(at)
                file.write(b"contents")
            file.truncate(SPARSE)
        ufs: object = path.parent
    else:
        ufs = remote({b"sparse": Pattern(SPARSE)})
    mounted = mounts.mount(ufs, way.options, CACHE if way.cache else {})
    middles = [0, 4096, (2 << 30) - 3, (2 << 30) + 3, (4 << 30) - 5000, 5 << 30, SPARSE - MIB - 1, SPARSE - 5]

    def read() -> list[bytes]:
        fd = os.open(mounted.join("sparse"), os.O_RDONLY)
        assert os.fstat(fd).st_size == os.lseek(fd, 0, os.SEEK_END) == SPARSE
        return [os.pread(fd, 10_000, at) for at in middles]

    if way.lends:
        native = os.open(path, os.O_RDONLY)
        expected = [os.pread(native, 10_000, at) for at in middles]
        os.close(native)
        assert children.run(read) == expected
    else:
        children.run(check_ranges, mounted.join("sparse"), SPARSE, [(at, 10_000) for at in middles])
    assert mounted.settled()["fetch_bytes"] < 256 * MIB
