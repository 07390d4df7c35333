"""A source that fails or answers nonsense: an errno for who asked, a line in the log, and the next one is served."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from harness.children import Children, until
from harness.mounting import CACHE, Mounted, Mounts
from harness.readers import MIB, check, check_ranges, errno_of
from harness.remote import RemoteSource

from alluxio_jnifuse.errors import StaleVersion
from alluxio_jnifuse.sources.base import ENTRY_DTYPE, Listing
from alluxio_jnifuse.testing import Link, Pattern

pytestmark = pytest.mark.fuse

SIZE = 3 * MIB
TREE = {b"file": Pattern(SIZE), b"d": {b"name": b"contents"}, b"link": Link(b"file")}
KINDS = ("stat", "list", "open", "read", "readlink", "statfs")
# What the errno of an OSError becomes; 0 and those the kernel would refuse are EIO.
NUMBERS = {
    errno.EIO: errno.EIO,
    errno.ENOENT: errno.ENOENT,
    errno.EACCES: errno.EACCES,
    errno.EPERM: errno.EPERM,
    errno.ETIMEDOUT: errno.ETIMEDOUT,
    errno.ENOMEM: errno.ENOMEM,
    errno.ENOSYS: errno.EOPNOTSUPP,
    errno.EHOSTUNREACH: errno.EHOSTUNREACH,
    0: errno.EIO,
    -errno.EPERM: errno.EIO,
    512: errno.EIO,
    1 << 40: errno.EIO,
}
EXCEPTIONS = ("ValueError", "KeyError", "SystemExit", "KeyboardInterrupt", "StopIteration", "RecursionError", "OSError")


def ask(mounted: Mounted, kind: str) -> int:
    """Does what makes the source be asked for a kind of thing; returns the errno."""
    if kind == "stat":
        return errno_of(os.lstat, mounted.join("file"))
    if kind == "list":
        return errno_of(os.listdir, mounted.join("d"))
    if kind == "open":
        return errno_of(os.open, mounted.join("file"), os.O_RDONLY)
    if kind == "readlink":
        return errno_of(os.readlink, mounted.join("link"))
    if kind == "statfs":
        return errno_of(os.statvfs, mounted.path)
    fd = os.open(mounted.join("file"), os.O_RDONLY)
    return errno_of(os.pread, fd, 4096, MIB)


@pytest.fixture
def source(remote: Callable[..., RemoteSource]) -> RemoteSource:
    """A source with a switch for each kind of call."""
    return remote(TREE, rules=[(kind, kind, None) for kind in KINDS])


@pytest.fixture
def mounted(mounts: Mounts, source: RemoteSource) -> Mounted:
    """The source, mounted so that it is asked each time."""
    return mounts.mount(source, "attr_timeout=0,entry_timeout=0,direct_io")


def fresh(source: RemoteSource) -> None:
    """The kernel remembers what a link says; of a new link it knows nothing."""
    source.replace(b"/link", Link(b"file"))


def served(mounted: Mounted, children: Children) -> None:
    """Everything works."""
    assert children.run(lambda: [ask(mounted, kind) for kind in KINDS]) == [0] * len(KINDS)
    children.run(check, mounted.join("file"), SIZE)


@pytest.mark.parametrize("kind", KINDS)
def test_errnos(mounted: Mounted, source: RemoteSource, children: Children, kind: str) -> None:
    """The errno of a source reaches the application, without a line in the log, and the next request is served."""
    for number, expected in NUMBERS.items():
        fresh(source)
        source.act(kind, "raising", OSError(number, "planted"))
        if kind in ("open", "list") and number == errno.ENOENT:
            continue  # "no such file" of a name that was just looked up: the kernel asks for the name again
        assert children.run(ask, mounted, kind) == expected, number
        source.release(kind)
        assert children.run(ask, mounted, kind) == 0, number
    served(mounted, children)


@pytest.mark.parametrize("kind", KINDS)
def test_exceptions(mounted: Mounted, source: RemoteSource, children: Children, kind: str) -> None:
    """Any other exception is EIO and one line of the log with what was asked and what was raised; nothing dies."""
    for name in EXCEPTIONS:
        fresh(source)
        source.act(kind, "raising_class", name)
        for _ in range(3):
            assert children.run(ask, mounted, kind) == errno.EIO, name
        source.release(kind)
        assert children.run(ask, mounted, kind) == 0, name
        lines = mounted.lines("ERROR", f"{kind} '/", f"planted {name}", "(factories.py:")
        assert len(lines) == 1, name
    served(mounted, children)


def test_memory_error(mounted: Mounted, source: RemoteSource, children: Children) -> None:
    """A source without memory is ENOMEM."""
    source.act("read", "raising_class", "MemoryError")
    assert children.run(ask, mounted, "read") == errno.ENOMEM
    source.release("read")
    served(mounted, children)


@pytest.mark.parametrize("properties", [{}, CACHE], ids=["window", "cached"])
@pytest.mark.parametrize(
    "action",
    [
        ("short",),
        ("short", MIB),
        ("too_much",),
        ("too_much", 1 << 40),
        ("returning", None),
        ("returning", -1),
        ("returning", 1 << 70),
        ("returning", 4096.0),
        ("returning", "all of it"),
        ("returning", True),
        ("raising", StaleVersion("planted")),
    ],
    ids=lambda action: "-".join(map(str, action)),
)
def test_reads_that_are_wrong(
    mounts: Mounts, source: RemoteSource, children: Children, properties: dict[str, str], action: tuple[Any, ...]
) -> None:
    """A read that returns short, too much or nonsense is EIO, one line of the log, and never bytes; the next works."""
    mounted = mounts.mount(source, "", properties)
    source.act("read", *action)
    for _ in range(2):
        assert children.run(ask, mounted, "read") == errno.EIO
    if action[0] != "raising":
        assert len(mounted.lines("ERROR", "read '/file'", "read_into returned")) >= 1
    source.release("read")
    children.run(check, mounted.join("file"), SIZE)


def listing(*names: bytes, offset: int = 0, nlink: int = 1) -> Listing:
    """A listing of files by their names, whatever these are, which begin at `offset` of the blob."""
    import numpy as np

    entries = np.zeros(len(names), ENTRY_DTYPE)
    entries["mode"], entries["nlink"], entries["name_len"] = 0o100644, nlink, [len(name) for name in names]
    entries["name_off"] = np.cumsum([0, *map(len, names)])[:-1] + offset
    return Listing(entries.tobytes(), b"".join(names))


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("stat", ("returning", None)),
        ("stat", ("returning", (1, 2, 3))),
        ("stat", ("altered", {"mode": 0o140644})),
        ("stat", ("altered", {"mode": 0})),
        ("stat", ("altered", {"size": -1})),
        ("stat", ("altered", {"size": "large"})),
        ("stat", ("altered", {"ino": 1 << 64})),
        ("list", ("returning", None)),
        ("list", ("returning", Listing(b"rubbish", b""))),
        ("list", ("returning", Listing(b"", "text"))),
        ("list", ("returning", listing(b"name", offset=1))),
        ("list", ("returning", listing(b"name", offset=(1 << 32) - 8))),
        ("readlink", ("returning", None)),
        ("readlink", ("returning", b"")),
        ("readlink", ("returning", "text")),
        ("readlink", ("returning", b"a\0b")),
        ("readlink", ("returning", b"x" * 5000)),
        ("statfs", ("returning", None)),
        ("statfs", ("altered", {"blocks": -1})),
        ("open", ("returning", None)),
        ("open", ("altered", {"size": -1})),
        ("open", ("altered", {"extents": "rubbish"})),
    ],
)
def test_answers_that_are_malformed(
    mounted: Mounted, source: RemoteSource, children: Children, kind: str, action: tuple[Any, ...]
) -> None:
    """An answer that is malformed is EIO and a line in the log, and the next one is taken."""
    source.act(kind, *action)
    assert children.run(ask, mounted, kind) == errno.EIO
    until(lambda: mounted.lines("ERROR"), "a line in the log", 60.0)  # the core refuses the answer, then Python is told
    source.release(kind)
    served(mounted, children)


def test_names_that_cannot_be(mounted: Mounted, source: RemoteSource, children: Children) -> None:
    """Names that no file can have, and second ones of a kind, are left out of a listing, with a line in the log."""
    names = (b"", b".", b"..", b"a/b", b"a\0b", b"n" * 256, b"n" * 255, b"good", b"good")
    source.act("list", "returning", listing(*names))
    assert sorted(children.run(os.listdir, mounted.join("d"))) == ["good", "n" * 255]
    assert mounted.lines("WARN", "6 entries")


def test_entries_without_attributes(mounted: Mounted, source: RemoteSource, children: Children) -> None:
    """Entries of which a listing knows name and type alone are listed; for more of them the source is asked."""
    source.act("list", "returning", listing(b"name", b"other", nlink=0))
    assert sorted(children.run(os.listdir, mounted.join("d"))) == ["name", "other"]
    assert children.run(os.stat, mounted.join("d/name")).st_size == 8
    assert children.run(errno_of, os.stat, mounted.join("d/other")) == errno.ENOENT


@pytest.mark.parametrize("properties", [{}, CACHE], ids=["window", "cached"])
def test_huge_sizes(
    mounts: Mounts, remote: Callable[..., RemoteSource], children: Children, properties: dict[str, str]
) -> None:
    """A terabyte can be read anywhere; who claims exabytes fails, costs no memory, and hurts no other file."""
    sizes = {"tera": 1 << 40, "exa": (1 << 60) + 1, "most": (1 << 63) - 1}
    tree = {os.fsencode(name): Pattern(size) for name, size in sizes.items()}
    mounted = mounts.mount(remote({**tree, b"file": Pattern(SIZE)}), "", properties)
    children.run(check_ranges, mounted.join("tera"), 1 << 40, [(0, 4096), (1 << 39, MIB), ((1 << 40) - 10, 100)])

    def read(name: str) -> None:
        fd = os.open(mounted.join(name), os.O_RDONLY)
        os.pread(fd, 4096, sizes[name] // 2)

    for name in ("exa", "most"):
        assert children.run(errno_of, read, name) in (errno.EIO, errno.ENOMEM, errno.EFBIG)
        children.run(check, mounted.join("file"), SIZE)
    assert mounted.settled()["cache_used_bytes"] < 16 * MIB


def test_another_version_each_time(mounted: Mounted, source: RemoteSource, children: Children) -> None:
    """A source that opens another version than it showed cannot be opened, and can be when it comes to its senses."""
    source.act("open", "flip_version")
    assert children.run(ask, mounted, "open") in (errno.ESTALE, errno.EIO)
    source.release("open")
    served(mounted, children)


def test_a_close_that_fails(mounts: Mounts, remote: Callable[..., RemoteSource], children: Children) -> None:
    """A source that cannot close a file is logged, and nobody else hears of it."""
    source = remote(TREE, rules=[("close", "close", None)])
    mounted = mounts.mount(source)
    source.act("close", "raising_class", "ValueError")
    for _ in range(3):
        children.run(check, mounted.join("file"), SIZE)
        mounted.settled()
    assert mounted.lines("ERROR", "close '/file'", "planted ValueError")
