"""Files that are written in place: native semantics for lent ones, one whole version or EIO for copied ones."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children, until
from harness.mounting import CACHE, Mounts
from harness.readers import MIB
from harness.remote import RemoteSource
from harness.versions import NOW, SIZE, Readers, generation_of, put

from alluxio_jnifuse.testing import Pattern, pattern

pytestmark = pytest.mark.fuse

LENT = ("", "passthrough=off")
LOCAL = [*(pytest.param(o, {}, id=f"lent-{o}") for o in LENT), pytest.param("prefetch_window=1MB", CACHE, id="copied")]


@pytest.mark.parametrize("options", LENT)
def test_lent_file_written_in_place(path: Path, mounts: Mounts, reader: Readers, options: str) -> None:
    """A lent file that is overwritten in place shows its new bytes to an old handle, as the directory does."""
    mounted = mounts.mount(path.parent, f"{NOW},{options}")
    old = reader(mounted)
    assert old.read(0, MIB) == 1
    put(path, 2, in_place=True)
    for offset in (0, SIZE // 2, SIZE - MIB):
        assert old.read(offset, MIB) == 2
    with open(path, "ab") as file:
        file.write(pattern(b"/file", 2, SIZE, 1000))
    assert old.read(SIZE, 1000) == 2


@pytest.mark.parametrize("offset", [0, SIZE // 2])
def test_copied_file_written_in_place(path: Path, mounts: Mounts, reader: Readers, offset: int) -> None:
    """A copied file that is overwritten in place: the old handle reads old bytes or fails, never new ones."""
    mounted = mounts.mount(path.parent, f"{NOW},prefetch_window=1MB", CACHE)
    old = reader(mounted)
    assert old.read(offset, MIB) == 1
    put(path, 2, in_place=True)
    for at in (offset, offset + MIB, SIZE - MIB):
        assert old.read(at, MIB) in (1, -errno.EIO)
    new = reader(mounted)
    assert [new.read(at, MIB) for at in (0, SIZE // 2, SIZE - MIB)] == [2, 2, 2]
    assert old.read(SIZE - MIB, MIB) in (1, -errno.EIO)


def test_written_in_place_again_and_again(path: Path, mounts: Mounts, children: Children) -> None:
    """While a copied file is overwritten in place, whoever reads it gets one whole version or an error."""
    size = 2 * MIB
    put(path, 1, size)
    mounted = mounts.mount(path.parent, NOW, CACHE)

    def overwrite() -> None:
        fd = os.open(path, os.O_WRONLY)
        for number in range(60):
            os.pwrite(fd, pattern(b"/file", number % 8 + 1, 0, size), 0)

    def read() -> tuple[list[list[int]], set[int]]:
        seen, refused = [], set()
        for _ in range(60):
            try:
                fd = os.open(mounted.join("file"), os.O_RDONLY)
            except OSError as error:
                refused.add(error.errno)
                continue
            seen.append([generation_of(fd, at, size // 8) for at in range(0, size, size // 8)])
            os.close(fd)
        return [parts for parts in seen if len(set(parts) - {-errno.EIO}) > 1 or 0 in parts], refused

    readers = [children.start(read) for _ in range(2)]
    children.run(overwrite)
    for one in readers:
        mixed, refused = one.result()
        assert mixed == []
        assert refused <= {errno.ESTALE, errno.EIO}


def test_a_write_that_takes_long(
    path: Path, mounts: Mounts, children: Children, remote: Callable[..., RemoteSource], reader: Readers
) -> None:
    """A file that is read while one long write is in the middle of it is shown as it is when the write is over.

    The kernel stamps a file once for each write, before its first byte. This one takes its bytes from a mapped file
    of another mount, whose source hangs half-way.
    """
    source = remote({b"file": Pattern(SIZE)}, rules=[("read", "read", None)])
    origin = mounts.mount(source)
    source.replace(b"/file", Pattern(SIZE))  # generation 2
    mounted = mounts.mount(path.parent, NOW, CACHE)
    ready, go = os.pipe(), os.pipe()

    def overwrite() -> int:
        with open(origin.join("file"), "rb") as file, open(path, "r+b", buffering=0) as target:
            with mmap.mmap(file.fileno(), SIZE, prot=mmap.PROT_READ) as contents:
                contents.madvise(mmap.MADV_RANDOM)
                hashlib.sha256(contents[:MIB])  # the first bytes are there already
                os.write(ready[1], b"x")
                os.read(go[0], 1)
                return os.pwrite(target.fileno(), contents, 0)

    writer = children.start(overwrite)
    os.read(ready[0], 1)
    source.hold("read")
    os.write(go[1], b"x")
    until(lambda: source.waiting("read"), "the write to be in its middle")
    until(lambda: time.time_ns() - path.stat().st_ctime_ns > 50_000_000, "the stamp to grow old")
    during = reader(mounted)
    for offset in range(0, SIZE, MIB):
        during.read(offset, MIB)  # whatever it is
    during.close()
    source.release("read")
    assert writer.result() == SIZE
    after = reader(mounted)
    assert {after.read(offset, MIB) for offset in range(0, SIZE, MIB)} == {2}
    for end in (*ready, *go):
        os.close(end)


@pytest.mark.parametrize(("options", "properties"), LOCAL)
def test_shrunk_while_open(
    path: Path, mounts: Mounts, reader: Readers, options: str, properties: dict[str, str]
) -> None:
    """A file that shrinks ends earlier for who has it open, or fails; the daemon lives on."""
    mounted = mounts.mount(path.parent, f"{NOW},{options}", properties)
    old = reader(mounted)
    assert old.read(0, MIB) == 1
    os.truncate(path, 5 * MIB)
    rest = old.read(SIZE - MIB, MIB)
    assert rest in ((1, -errno.EIO) if properties else (0,))  # 0: no bytes are of no generation
    assert old.read(0, MIB) in ((1, -errno.EIO) if properties else (1,))
    new = reader(mounted)
    assert new.read(4 * MIB, 10 * MIB) == 1
    assert new.read(5 * MIB, 10) == 0


@pytest.mark.parametrize(("options", "expected"), [("auto_cache", 2), ("kernel_cache", 1), ("direct_io", 2)])
@pytest.mark.parametrize("timeout", [0, 60])
def test_kept_pages(path: Path, mounts: Mounts, reader: Readers, options: str, expected: int, timeout: int) -> None:
    """A file changed in place is read anew by who opens it with auto_cache, from the old pages with kernel_cache."""
    mounted = mounts.mount(path.parent, f"passthrough=off,attr_timeout={timeout},entry_timeout=60,{options}")
    first = reader(mounted)
    assert first.read(0, MIB) == 1
    first.close()
    mounted.closed()
    put(path, 2, in_place=True)
    assert reader(mounted).read(0, MIB) == expected
