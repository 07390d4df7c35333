"""The second binding alone: how it is chosen, what it tells, and where it differs (docs/TUNING.md)."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children, until
from harness.mounting import CACHE, Mounts
from harness.readers import errno_of
from harness.remote import RemoteSource

from alluxio_jnifuse.mounts import stats as mount_stats

pytestmark = pytest.mark.fuse

LLFUSE = {"alluxio.fuse.jnifuse.enabled": "false"}


@pytest.fixture
def source(private: Path) -> Path:
    made = private / "source"
    (made / "d").mkdir(parents=True)
    (made / "d" / "file").write_bytes(b"contents")
    return made


def test_the_log_says_which(mounts: Mounts, source: Path) -> None:
    assert mounts.mount(source).lines("binding: the C core, libfuse 3")
    assert mounts.mount(source, "", LLFUSE).lines("binding: llfuse ", "libfuse 2")


def test_where_it_is_not_installed(mounts: Mounts, source: Path, private: Path, children: Children) -> None:
    """The C core is used, and the log says why."""
    (private / "broken").mkdir()
    (private / "broken" / "llfuse.py").write_text("raise ImportError('not here')\n")
    mounted = mounts.mount(source, "", LLFUSE, environ={"PYTHONPATH": str(private / "broken")})
    assert mounted.lines("WARN", "llfuse cannot be imported (not here): the C core is the binding")
    assert mounted.lines("binding: the C core")
    assert children.run(Path(mounted.join("d/file")).read_bytes) == b"contents"


def test_settings_of_the_core_are_named(mounts: Mounts, source: Path) -> None:
    mounted = mounts.mount(source, "busy_poll=5,direct_io", {**LLFUSE, **CACHE})
    for name in ("busy_poll", "direct_io"):
        assert mounted.lines(f"ignored: {name} (-o): it is for the C core"), name
    assert mounted.lines("there is no client cache: one in memory is the C core's")


def test_what_is_counted_and_timed(mounts: Mounts, source: Path, children: Children) -> None:
    mounted = mounts.mount(source, "", LLFUSE)
    before = mounted.stats()
    assert children.run(Path(mounted.join("d/file")).read_bytes) == b"contents"
    assert children.run(errno_of, os.stat, mounted.join("d/none")) == errno.ENOENT
    found = mounted.since(before)
    assert found["op_lookup"] >= 3
    assert found["op_open"] == found["fetch_open"] == 1
    assert found["op_read_bytes"] == len(b"contents")
    times = mount_stats.request(mounted.path).times
    assert times["op_lookup"]["errors"]["ENOENT"] == 1
    assert times["op_open"]["count"] == 1


def test_a_slow_request_is_logged(mounts: Mounts, remote: Callable[..., RemoteSource], children: Children) -> None:
    held = remote({b"file": b"contents"}, rules=[("stat", "stat", b"/file")])
    mounted = mounts.mount(held, "", {**LLFUSE, "alluxio.fuse.logging.threshold": "100ms"})
    held.hold("stat", 1)
    waiting = children.start(os.stat, mounted.join("file"))
    until(lambda: held.waiting("stat"), "the request to wait")
    children.run(os.statvfs, mounted.path)  # another thread answers meanwhile
    children.run(time.sleep, 0.2)
    held.release("stat")
    waiting.result()
    assert until(lambda: mounted.lines("WARN", "Fuse.Lookup(path="), "the line")


def test_a_listing_that_is_rewound(mounts: Mounts, source: Path, children: Children) -> None:
    """It is listed anew, as rewinddir(3) says."""
    mounted = mounts.mount(source, "", LLFUSE)

    def twice() -> list[list[str]]:
        fd = os.open(mounted.join("d"), os.O_RDONLY | os.O_DIRECTORY)
        first = sorted(os.listdir(fd))
        (source / "d" / "new").touch()
        os.lseek(fd, 0, os.SEEK_SET)
        return [first, sorted(os.listdir(fd))]

    assert children.run(twice) == [["file"], ["file", "new"]]


def test_a_name_that_is_a_command(mounts: Mounts, source: Path, children: Children) -> None:
    """It makes mount and kernel look again, though they trust what they know for an hour."""
    options = "attr_timeout=3600,entry_timeout=3600"
    mounted = mounts.mount(source, options, {**LLFUSE, "alluxio.fuse.special.command.enabled": "true"})
    assert children.run(os.stat, mounted.join("d/file")).st_size == len(b"contents")
    (source / "d" / "file").write_bytes(b"other contents")
    children.run(os.stat, mounted.join("d/.alluxiocli.metadatacache.drop"))

    def size() -> int:
        return int(children.run(os.stat, mounted.join("d/file")).st_size)

    until(lambda: size() == len(b"other contents"), "the kernel to ask again")


def test_a_command_about_many_files(mounts: Mounts, source: Path, children: Children) -> None:
    """llfuse's queue of what the kernel shall forget is limited; requests must be answered meanwhile."""
    names = [f"d/{number}" for number in range(1500)]
    for name in names:
        (source / name).touch()
    options = "attr_timeout=3600,entry_timeout=3600"
    mounted = mounts.mount(source, options, {**LLFUSE, "alluxio.fuse.special.command.enabled": "true"})

    def look_up() -> int:
        return sum(os.stat(mounted.join(name)).st_size for name in names)

    assert children.run(look_up) == 0
    for name in names:
        (source / name).write_bytes(b"x")
    children.run(os.stat, mounted.join("d/.alluxiocli.metadatacache.drop"))
    until(lambda: children.run(look_up) == len(names), "the kernel to ask again")


def test_a_source_that_hangs_at_a_close(
    mounts: Mounts, remote: Callable[..., RemoteSource], children: Children
) -> None:
    """It holds up one thread and nothing else."""
    held = remote({b"file": b"contents", b"other": b"more"}, rules=[("close", "close", b"/file")])
    mounted = mounts.mount(held, "", LLFUSE)
    held.hold("close", 1)
    assert children.run(Path(mounted.join("file")).read_bytes) == b"contents"
    until(lambda: held.waiting("close"), "the close to wait")
    try:
        assert children.run(Path(mounted.join("other")).read_bytes) == b"more"
        assert mounted.stats()["op_release"] >= 1
    finally:
        held.release("close")


def test_a_link_whose_other_name_is_gone(mounts: Mounts, source: Path, children: Children) -> None:
    """A file with several names is found by those that are left."""
    os.link(source / "d" / "file", source / "d" / "link")
    mounted = mounts.mount(source, "attr_timeout=0,entry_timeout=3600", LLFUSE)
    for name in ("d/file", "d/link"):
        children.run(os.stat, mounted.join(name))
    (source / "d" / "file").unlink()
    assert children.run(os.stat, mounted.join("d/link")).st_nlink == 1
    assert children.run(Path(mounted.join("d/link")).read_bytes) == b"contents"
