"""Files that change behind the mount: who has one open keeps his version or gets EIO, who opens it gets the new one.

Contents are patterns of a generation, so that a mixture of two is found out. NOW makes the kernel ask about every
name and attribute each time.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from harness.children import Child, Children
from harness.mounting import CACHE, Mounted, Mounts
from harness.readers import MIB, check, errno_of
from harness.remote import RemoteSource

from alluxio_jnifuse.testing import Pattern, pattern

pytestmark = pytest.mark.fuse

SIZE = 24 * MIB
NOW = "attr_timeout=0,entry_timeout=0"
LENT = ("", "passthrough=off")
LOCAL = [*(pytest.param(o, {}, id=f"lent-{o}") for o in LENT), pytest.param("prefetch_window=1MB", CACHE, id="copied")]


class Reader:
    """A child that has a file open and reads ranges of it when told to."""

    def __init__(self, children: Children, path: str) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        self._child: Child = children.start(obey, theirs, path)
        theirs.close()
        self._answer()

    def read(self, offset: int, length: int) -> int:
        """The generation of the bytes there; -errno, or 0 for bytes of none or of several."""
        self._ours.send((offset, length))
        return self._answer()

    def close(self) -> None:
        """Ends the child and with it its handle."""
        if not self._ours.closed:
            self._ours.send(None)
            self._ours.close()
            self._child.result(10)

    def _answer(self) -> int:
        assert self._ours.poll(10), "the reader does not answer"
        return self._ours.recv()


def obey(orders: Connection, path: str) -> None:
    """The child of a Reader."""
    fd = os.open(path, os.O_RDONLY)
    orders.send(0)
    while wanted := orders.recv():
        orders.send(generation_of(fd, *wanted))


def generation_of(fd: int, offset: int, length: int) -> int:
    """See Reader.read."""
    try:
        data = os.pread(fd, length, offset)
    except OSError as error:
        return -(error.errno or 0)
    return next((g for g in range(1, 9) if data and data == pattern(b"/file", g, offset, len(data))), 0)


def put(path: Path, generation: int, size: int = SIZE, *, in_place: bool = False) -> None:
    """Writes a generation: into a new file that replaces `path` at once, or over the old bytes."""
    target = path if in_place else path.with_name("unfinished")
    with open(target, "r+b" if in_place else "wb") as file:
        file.write(pattern(b"/file", generation, 0, size))
        file.truncate(size)
    if not in_place:
        target.replace(path)


@pytest.fixture
def path(private: Path) -> Path:
    """A file of the first generation, alone in the source."""
    (private / "source").mkdir()
    put(private / "source" / "file", 1)
    return private / "source" / "file"


@pytest.fixture
def reader(children: Children) -> Iterator[Callable[[Mounted], Reader]]:
    """A factory of readers of the file."""
    made = []

    def make(mounted: Mounted) -> Reader:
        made.append(Reader(children, mounted.join("file")))
        return made[-1]

    yield make
    for one in made:
        one.close()


Readers = Callable[[Mounted], Reader]


@pytest.mark.parametrize(("options", "properties"), LOCAL)
def test_replaced_while_open(
    path: Path, mounts: Mounts, children: Children, reader: Readers, options: str, properties: dict[str, str]
) -> None:
    """A file that is replaced at once: the old handle keeps the old bytes or fails, a new one has the new bytes."""
    mounted = mounts.mount(path.parent, f"{NOW},{options}", properties)
    old = reader(mounted)
    assert old.read(0, MIB) == 1
    put(path, 2, SIZE + 5)
    new = reader(mounted)
    assert new.read(0, MIB) == 2
    assert new.read(SIZE, 100) == 2
    for offset in (0, SIZE // 2, SIZE - MIB):
        assert old.read(offset, MIB) in ((1, -errno.EIO) if properties else (1,))
    children.run(check, mounted.join("file"), SIZE + 5, MIB, 2)


@pytest.mark.parametrize(("options", "properties"), LOCAL)
def test_replaced_while_closed(
    path: Path, mounts: Mounts, children: Children, options: str, properties: dict[str, str]
) -> None:
    """A file that is replaced between two opens is read anew; lent files at once, whatever the timeouts."""
    mounted = mounts.mount(path.parent, f"{NOW},{options}" if properties else options, properties)
    for generation in (1, 2, 3):
        put(path, generation, SIZE + generation)
        children.run(check, mounted.join("file"), SIZE + generation, MIB, generation)
        mounted.closed()


@pytest.mark.parametrize("options", LENT)
def test_lent_file_written_in_place(
    path: Path, mounts: Mounts, reader: Readers, options: str
) -> None:
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

    def read() -> list[int]:
        seen: list[list[int]] = []
        for _ in range(60):
            try:
                fd = os.open(mounted.join("file"), os.O_RDONLY)
            except OSError as error:
                assert error.errno in (errno.ESTALE, errno.EIO)
                continue
            seen.append([generation_of(fd, at, size // 8) for at in range(0, size, size // 8)])
            os.close(fd)
        return [parts for parts in seen if len(set(parts) - {-errno.EIO}) > 1 or 0 in parts]

    readers = [children.start(read) for _ in range(2)]
    children.run(overwrite)
    assert [one.result() for one in readers] == [[], []]


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


@pytest.mark.parametrize(("options", "properties"), LOCAL)
def test_deleted_while_open(
    path: Path, mounts: Mounts, children: Children, reader: Readers, options: str, properties: dict[str, str]
) -> None:
    """A file that is deleted can be read by who has it open, and is gone for everybody else."""
    mounted = mounts.mount(path.parent, f"{NOW},{options}", properties)
    old = reader(mounted)
    assert old.read(0, MIB) == 1
    path.unlink()
    assert children.run(errno_of, os.open, mounted.join("file"), os.O_RDONLY) == errno.ENOENT
    assert children.run(os.listdir, mounted.path) == []
    for offset in (0, SIZE - MIB):
        assert old.read(offset, MIB) in ((1, -errno.EIO) if properties else (1,))


def test_version_of_a_source_changes(
    mounts: Mounts, children: Children, remote: Callable[..., RemoteSource], reader: Readers
) -> None:
    """An object that is replaced in a store: old bytes or EIO for the old handle, the new ones for a new one."""
    source = remote({b"file": Pattern(SIZE)})
    mounted = mounts.mount(source, f"{NOW},prefetch_window=1MB")
    old = reader(mounted)
    assert old.read(0, MIB) == 1
    source.replace(b"/file", Pattern(SIZE))
    assert old.read(SIZE - MIB, MIB) == -errno.EIO
    children.run(check, mounted.join("file"), SIZE, MIB, 2)
    assert old.read(SIZE // 2, MIB) == -errno.EIO
    source.remove(b"/file")
    assert children.run(errno_of, os.open, mounted.join("file"), os.O_RDONLY) == errno.ENOENT


@pytest.mark.parametrize("properties", [{}, CACHE], ids=["lent", "copied"])
def test_directory_replaced(private: Path, mounts: Mounts, children: Children, properties: dict[str, Any]) -> None:
    """A directory that another one takes the place of shows that one's names and files."""
    for name, text in (("source/d", "old"), ("other", "new")):
        (private / name).mkdir(parents=True)
        (private / name / "file").write_text(text)
        (private / name / text).touch()
    mounted = mounts.mount(private / "source", NOW, properties)

    def look() -> tuple[list[str], str]:
        with open(mounted.join("d/file")) as file:
            return sorted(os.listdir(mounted.join("d"))), file.read()

    assert children.run(look) == (["file", "old"], "old")
    (private / "source" / "d").rename(private / "gone")
    (private / "other").rename(private / "source" / "d")
    assert children.run(look) == (["file", "new"], "new")
    (private / "source" / "d").rename(private / "gone too")
    (private / "source" / "d").write_text("a file now")
    assert children.run(errno_of, os.listdir, mounted.join("d")) == errno.ENOTDIR


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
