"""Buckets whose server means harm: what it takes of the daemon has a limit, and other files are served meanwhile."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.children import Children, results, until
from harness.hostile import CONTENTS, Hostile, hostile_server
from harness.mounting import Mounted, Mounts
from harness.readers import errno_of

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

MIB = 1 << 20
DRIPS = 24  # readers of objects that drip: more than there are threads


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    with hostile_server() as server:
        yield server


def mount(mounts: Mounts, hostile: Hostile, options: str = "", **properties: str) -> Mounted:
    return mounts.mount("oss://bucket/", options, {**hostile.properties, **properties})


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def resident(mounted: Mounted) -> int:
    """Bytes."""
    return int(Path(f"/proc/{mounted.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_listing_that_never_ends(mounts: Mounts, hostile: Hostile, children: Children) -> None:
    """EFBIG for each reader, a line that says what can be done, and the memory that a limit needs."""
    mounted = mount(mounts, hostile, "listing_limit=4MB")
    before = resident(mounted)
    readers = [children.start(errno_of, os.listdir, mounted.join("endless")) for _ in range(4)]
    assert children.run(read, mounted.join("good/file")) == CONTENTS
    assert results(readers) == [errno.EFBIG] * 4
    assert mounted.lines("ERROR", "the listing of '/endless' is larger than 4.00MB", "listing_limit")
    assert resident(mounted) - before < 100 * MIB


def test_a_listing_whose_reader_is_killed(mounts: Mounts, hostile: Hostile, children: Children) -> None:
    """No more of it is asked for."""
    mounted = mount(mounts, hostile)
    reader = children.start(os.listdir, mounted.join("endless"))
    until(lambda: hostile.pages >= 5, "some pages")
    reader.kill()
    mounted.until(lambda stats: stats["fetch_cancelled"] >= 1, "the end of the listing")
    pages = hostile.pages
    assert children.run(read, mounted.join("good/file")) == CONTENTS
    assert hostile.pages == pages


def test_objects_that_drip(mounts: Mounts, hostile: Hostile, children: Children) -> None:
    """Whoever reads them gets EIO; the threads come back, and other files are read while the next ones drip."""
    patience = {"alluxio.user.streaming.data.read.timeout": "3s", "alluxio.underfs.oss.socket.timeout": "1s"}
    mounted = mount(mounts, hostile, "fetchers=4", **patience)
    for round_ in range(2):
        names = [mounted.join(f"drips/{round_}-{number}") for number in range(DRIPS)]
        readers = [children.start(errno_of, read, name) for name in names]
        assert results(readers) == [errno.EIO] * DRIPS
        assert children.run(read, mounted.join("good/file")) == CONTENTS
    assert hostile.drips
    began = time.monotonic()
    mounted.settled()
    print(f"threads were back after {time.monotonic() - began:.1f} s")
