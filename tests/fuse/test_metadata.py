"""Names and attributes of a mount are those of the directory it shows."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children
from harness.mounting import CACHE, Mounts
from harness.readers import errno_of
from harness.remote import RemoteSource

from alluxio_jnifuse.testing import Link

pytestmark = [pytest.mark.fuse, pytest.mark.both_bindings]

LONG = b"n" * 255
NAMES = (b"plain", b"with space", b"new\nline", b"\xff\xfe\x80", "größe-文件".encode(), b"..hidden", b"-rf", LONG)


@pytest.fixture
def source(private: Path) -> Path:
    """A directory of files, directories and links of all sorts."""
    root = private / "source"
    root.mkdir()
    base = os.fsencode(root)
    for i, name in enumerate(NAMES):
        path = os.path.join(base, name)
        with open(path, "wb") as file:
            file.write(name * i)
        os.chmod(path, (0o644, 0o600, 0o755, 0o4755, 0o444, 0o000, 0o2711, 0o1777)[i])
        os.utime(path, ns=(10**18 + i, 10**18 + 123456789 * i + i))
    os.link(os.path.join(base, b"plain"), os.path.join(base, b"second name"))
    os.makedirs(os.path.join(base, b"d", LONG, b"e", b"\xff"))
    os.chmod(root / "d", 0o1770)
    (root / "d" / "inside").write_text("inside")
    for name, target in (
        ("relative", b"d/inside"),
        ("absolute", b"/etc/hostname"),
        ("dangling", b"nowhere/\xff\xfe"),
        ("loop", b"loop"),
        ("up", b".."),
        ("long", b"t" * 4095),
    ):
        os.symlink(target, os.path.join(base, os.fsencode(name)))
    return root


def describe(root: str) -> dict[bytes, tuple[object, ...]]:
    """Every name beneath a directory with its attributes, and its target when it is a link."""
    found: dict[bytes, tuple[object, ...]] = {}
    base = os.fsencode(root)
    for directory, directories, files in os.walk(base):
        for name in (b".", *directories, *files):
            path = os.path.join(directory, name)
            s = os.lstat(path)
            # Looking at links and directories changes their access times.
            times = (s.st_mtime_ns, s.st_ctime_ns, s.st_atime_ns if stat.S_ISREG(s.st_mode) else 0)
            target = os.readlink(path) if stat.S_ISLNK(s.st_mode) else None
            key = os.path.relpath(path, base)
            found[key] = (s.st_mode, s.st_size, s.st_nlink, s.st_uid, s.st_gid, s.st_ino, s.st_blocks, times, target)
    return found


@pytest.mark.parametrize("cache", [{}, CACHE], ids=["lent", "copied"])
def test_attributes(source: Path, mounts: Mounts, children: Children, cache: dict[str, str]) -> None:
    """stat says of everything what it says in the directory: type, mode, size, links, owner, inode, blocks, times."""
    native = describe(str(source))
    mounted = mounts.mount(source, "", cache)
    seen = children.run(describe, mounted.path)
    assert seen.keys() == native.keys()
    different = {name: (seen[name], native[name]) for name in native if seen[name] != native[name]}
    assert not different
    assert len(native) > 15


def test_times_before_1970(private: Path, mounts: Mounts, children: Children) -> None:
    """A file that is older than the epoch keeps its date, with fractions of a second too."""
    (private / "source").mkdir()
    times = {"whole": -5 * 10**9, "fraction": -15 * 10**8, "just": -1, "future": 5 * 10**18}
    for name, when in times.items():
        (private / "source" / name).touch()
        os.utime(private / "source" / name, ns=(when, when))
    native = {name: os.stat(private / "source" / name).st_mtime_ns for name in times}
    mounted = mounts.mount(private / "source")
    assert children.run(lambda: {name: os.stat(mounted.join(name)).st_mtime_ns for name in times}) == native


def test_names_are_found_without_a_listing(source: Path, mounts: Mounts, children: Children) -> None:
    """Every name is opened directly, whatever bytes it is made of, and has the contents it has in the directory."""
    mounted = mounts.mount(source)

    def read(root: str) -> list[bytes]:
        contents = []
        for name in NAMES:
            with open(os.path.join(os.fsencode(root), name), "rb") as file:
                contents.append(file.read())
        with open(os.path.join(root, "relative"), "rb") as file:
            contents.append(file.read())
        return contents

    assert children.run(read, mounted.path) == read(str(source))
    assert mounted.stats()["fetch_list"] == 0


def test_missing_names(source: Path, mounts: Mounts, children: Children) -> None:
    """A name that is not there, that is too long, or that leads through a file, fails with the errno for that."""
    mounted = mounts.mount(source)

    def ask(name: str) -> tuple[int, int]:
        path = mounted.join(name)
        return errno_of(os.stat, path), errno_of(os.open, path, os.O_RDONLY)

    expected = {
        "missing": errno.ENOENT,
        "d/missing": errno.ENOENT,
        "missing/below": errno.ENOENT,
        "n" * 256: errno.ENAMETOOLONG,
        "d/" + "n" * 1000: errno.ENAMETOOLONG,
        "plain/below": errno.ENOTDIR,
        "dangling": errno.ENOENT,
        "loop": errno.ELOOP,
    }
    assert children.run(lambda: {name: ask(name) for name in expected}) == {n: (e, e) for n, e in expected.items()}
    assert children.run(errno_of, os.listdir, mounted.join("plain")) == errno.ENOTDIR
    assert children.run(errno_of, os.readlink, mounted.join("plain")) == errno.EINVAL


def test_what_cannot_be_read_is_hidden(source: Path, mounts: Mounts, children: Children) -> None:
    """Sockets, FIFOs and devices are neither listed nor found."""
    hidden = ["fifo", "socket"]
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "socket"))
        if os.geteuid() == 0:
            os.mknod(source / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            hidden.append("device")
        mounted = mounts.mount(source)
        listed = children.run(os.listdir, mounted.path)
        assert "plain" in listed
        assert not set(hidden) & set(listed)
        for name in hidden:
            assert children.run(errno_of, os.lstat, mounted.join(name)) == errno.ENOENT
            assert children.run(errno_of, os.open, mounted.join(name), os.O_RDONLY) == errno.ENOENT


def test_the_mount_inside_its_source(source: Path, mounts: Mounts, children: Children) -> None:
    """A mount that lies within the directory it shows is not in it, however one looks, and nothing hangs."""
    inner = source / "d" / "deep" / "mnt"
    mounted = mounts.mount(source, at=inner)
    for _ in range(2):
        found = children.command("find", mounted.path, timeout=120).stdout
        assert f"{mounted.path}/d/deep\n" in found
        assert f"{mounted.path}/d/deep/mnt" not in found
    assert children.run(errno_of, os.stat, mounted.join("d/deep/mnt")) == errno.ENOENT
    assert children.run(errno_of, os.open, mounted.join("d/deep/mnt/plain"), os.O_RDONLY) == errno.ENOENT
    assert children.run(os.listdir, mounted.join("d/deep")) == []
    assert children.command("ls", str(inner.parent)).stdout == "mnt\n"


def test_statfs(source: Path, mounts: Mounts, children: Children) -> None:
    """The figures of the file system are those of the directory's, read-only."""
    mounted = mounts.mount(source)
    seen, native = children.run(os.statvfs, mounted.path), os.statvfs(source)
    for name in ("f_bsize", "f_frsize", "f_blocks", "f_files", "f_namemax"):
        assert getattr(seen, name) == getattr(native, name), name
    for name in ("f_bfree", "f_bavail", "f_ffree"):
        assert getattr(seen, name) == pytest.approx(getattr(native, name), rel=0.05), name
    assert seen.f_flag & os.ST_RDONLY
    assert children.command("df", mounted.path).stdout.splitlines()[1].startswith("alluxio-fuse ")


def test_extended_attributes(source: Path, mounts: Mounts, children: Children) -> None:
    """Extended attributes are not supported, and a listing that looks for them costs no request for each file."""
    mounted = mounts.mount(source)
    for call in (os.listxattr, lambda path: os.getxattr(path, "user.name")):
        assert children.run(errno_of, call, mounted.join("plain")) == errno.ENOTSUP
    assert children.run(errno_of, os.setxattr, mounted.join("plain"), "user.name", b"") in (errno.EROFS, errno.ENOTSUP)
    assert children.command("ls", "-l", mounted.path).returncode == 0


def test_links_of_a_source_in_memory(
    mounts: Mounts, children: Children, remote: Callable[..., RemoteSource], binding: str
) -> None:
    """A link is read from the source once and then remembered; one that a loop leads through fails."""
    source = remote({b"file": b"contents", b"link": Link(b"file"), b"loop": Link(b"loop")})
    mounted = mounts.mount(source)

    def read() -> str:
        with open(mounted.join("link")) as file:
            return file.read()

    assert [children.run(read) for _ in range(3)] == ["contents"] * 3
    assert source.calls()["readlink"] == (1 if binding == "core" else 3)  # libfuse 2 lets the kernel keep no target
    assert children.run(errno_of, os.stat, mounted.join("loop")) == errno.ELOOP


def test_deep_paths(private: Path, mounts: Mounts, children: Children) -> None:
    """A path that is too long for one system call is walked step by step as far as the source can follow."""
    directory = private / "source"
    directory.mkdir()
    above = os.open(directory, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 100, dir_fd=above)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    mounted = mounts.mount(directory)

    def descend() -> tuple[int, int]:
        fd, depth = os.open(mounted.path, os.O_RDONLY), 0
        try:
            while True:
                fd = os.open("d" * 100, os.O_RDONLY, dir_fd=fd)
                depth += 1
        except OSError as error:
            return depth, error.errno or 0

    depth, error = children.run(descend)
    assert depth >= 40
    assert (depth, error) == (60, errno.ENOENT) or error == errno.ENAMETOOLONG
    assert len(children.run(os.listdir, mounted.path)) == 1
