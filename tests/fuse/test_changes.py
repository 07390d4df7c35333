"""Files that are replaced or deleted: who has one open keeps his version or gets EIO, who opens it gets the new one.

Contents are patterns of a generation, so that a mixture of two is found out.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.children import Children
from harness.mounting import CACHE, Mounts
from harness.readers import MIB, check, errno_of
from harness.remote import RemoteSource
from harness.versions import NOW, SIZE, Readers, put

from alluxio_jnifuse.testing import Pattern

pytestmark = pytest.mark.fuse

LENT = ("", "passthrough=off")
LOCAL = [*(pytest.param(o, {}, id=f"lent-{o}") for o in LENT), pytest.param("prefetch_window=1MB", CACHE, id="copied")]


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
