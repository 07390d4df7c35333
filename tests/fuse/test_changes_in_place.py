"""Files that are written in place: native semantics for lent ones, one whole version or EIO for copied ones."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from harness.children import Children
from harness.mounting import CACHE, Mounts
from harness.readers import MIB
from harness.versions import NOW, SIZE, Readers, generation_of, put

from alluxio_jnifuse.testing import pattern

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
