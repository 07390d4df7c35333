"""What strangers do to take memory, against daemons that have 512 MiB: each stays below, lives, and serves others."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_server import FakeServer
from harness.children import Children, results
from harness.hostile import CONTENTS, Hostile, hostile_server
from harness.memory_group import MemoryGroup, memory_group
from harness.mounting import Mounted, Mounts
from harness.readers import errno_of

from alluxio_jnifuse.sources.alluxio.proto import file_pb2

pytestmark = [pytest.mark.fuse, pytest.mark.slow, pytest.mark.timeout(900)]

MIB = 1 << 20
LIMIT = 512 * MIB
HANDLES = 64  # with a listing of its own for each they would take 700 MiB
NAMES = 100_000


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    """Empty when the mounts of the test are gone, so it is to be asked for before them."""
    with memory_group(LIMIT) as made:
        yield made


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    with hostile_server() as server:
        yield server


def check(group: MemoryGroup, mounted: Mounted, what: str) -> None:
    """It lives, and took less than there is."""
    status = Path(f"/proc/{mounted.pid}/status").read_text()
    own = int(status.split("VmHWM:")[1].split()[0]) << 10
    print(f"{what}: {own >> 20} MiB at most, {group.peak() >> 20} MiB with the caches of the kernel")
    assert own < LIMIT
    assert group.killed() == 0


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def test_a_bucket(group: MemoryGroup, mounts: Mounts, children: Children, hostile: Hostile) -> None:
    """Listings without an end, 16 MiB of elements, objects that drip."""
    patience = {"alluxio.user.streaming.data.read.timeout": "10s", "alluxio.underfs.oss.socket.timeout": "1s"}
    mounted = mounts.mount("oss://bucket/", "", {**hostile.properties, **patience}, wrapper=group.wrapper)
    assert mounted.lines("listing_limit", "memory limit")
    names = [*["endless"] * 4, *["elements"] * 8]
    listings = [children.start(errno_of, os.listdir, mounted.join(name)) for name in names]
    drips = [children.start(errno_of, read, mounted.join(f"drips/{number}")) for number in range(40)]
    assert children.run(read, mounted.join("good/file")) == CONTENTS
    answers = results(listings, 300)
    assert set(answers) <= {errno.EIO, errno.EFBIG}, "on a busy machine the patience of the mount may end first"
    assert results(drips, 300) == [errno.EIO] * len(drips)
    assert children.run(read, mounted.join("good/file")) == CONTENTS
    check(group, mounted, "a hostile bucket")


def test_a_master(group: MemoryGroup, mounts: Mounts, children: Children) -> None:
    """A listing without an end, and one of 500,000 files in one message."""
    master = FakeServer()
    for number, path in enumerate(("/", "/endless", "/huge", "/good"), 1):
        master.files[path] = file_pb2.FileInfo(
            fileId=number, path=path, name=path[1:], folder=True, completed=True, mode=0o777, mountId=1
        )
    batches = [message(first, 1000) for first in range(0, 5000, 1000)]
    huge = message(0, 500_000)

    def answer(request: bytes, _context: object) -> Iterator[bytes]:
        if b"/endless" in request:
            return itertools.cycle(batches)
        return iter([huge if b"/huge" in request else message(0, 10)])

    master.on("ListStatus", answer)
    mounted = mounts.mount(
        f"alluxio://{master.target}/", "", {"alluxio.user.rpc.retry.max.duration": "10min"}, wrapper=group.wrapper
    )
    names = [*["endless"] * 4, *["huge"] * 4]
    listings = [children.start(errno_of, os.listdir, mounted.join(name)) for name in names]
    assert len(children.run(os.listdir, mounted.join("good"))) == 10
    answers = results(listings, 300)
    print(f"errors: {answers}")
    assert set(answers) <= {errno.EFBIG, errno.EIO}, "on a busy machine the patience of the mount may end first"
    assert len(children.run(os.listdir, mounted.join("good"))) == 10
    check(group, mounted, "a hostile master")
    assert mounted.unmount().returncode == 0
    master.close()


def message(first: int, count: int) -> bytes:
    """Part of a listing."""
    infos = [
        file_pb2.FileInfo(fileId=100 + number, name=f"file-{number:09}", length=1, completed=True, mode=0o644)
        for number in range(first, first + count)
    ]
    return file_pb2.ListStatusPResponse(fileInfos=infos).SerializeToString()


def test_readers_of_a_large_directory(group: MemoryGroup, private: Path, mounts: Mounts, children: Children) -> None:
    """Who opens it many times, which is listed anew each time; and it changes in between."""
    source = private / "source"
    (source / "d").mkdir(parents=True)
    directory = os.open(source / "d", os.O_RDONLY)
    for number in range(NAMES):
        os.close(os.open(f"entry-{number:06}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory))
    os.close(directory)
    (source / "file").write_bytes(CONTENTS)
    mounted = mounts.mount(source, "entry_timeout=0,attr_timeout=0", wrapper=group.wrapper)

    def hold(changing: bool) -> int:
        held = []
        for number in range(HANDLES):
            if changing:
                os.truncate(source / "d" / "entry-000000", number)
            held.append(os.open(mounted.join("d"), os.O_RDONLY))
            with os.scandir(held[-1]) as names:
                next(names)
        return len(held)

    for changing in (False, True):
        assert children.run(hold, changing, timeout=300) == HANDLES
        assert children.run(read, mounted.join("file")) == CONTENTS
        check(group, mounted, f"{HANDLES} handles of {NAMES} names, which change: {changing}")
    assert mounted.stats()["listings_given_up"] > 0
