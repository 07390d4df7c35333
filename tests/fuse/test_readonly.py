"""Nothing can be changed through a mount, whatever it was asked to be."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children
from harness.mounting import CACHE, Mounts
from harness.readers import errno_of

pytestmark = [pytest.mark.fuse, pytest.mark.both_bindings]

_AT_FDCWD, _RENAME_NOREPLACE, _RENAME_EXCHANGE = -100, 1, 2  # linux/fcntl.h, linux/fs.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def rename2(source: str, target: str, flags: int) -> None:
    """renameat2(2)."""
    if _LIBC.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) < 0:
        raise OSError(ctypes.get_errno(), "renameat2")


WRITES: dict[str, Callable[[str], object]] = {
    "open for writing": lambda d: os.open(f"{d}/file", os.O_WRONLY),
    "open for both": lambda d: os.open(f"{d}/file", os.O_RDWR),
    "open for appending": lambda d: os.open(f"{d}/file", os.O_WRONLY | os.O_APPEND),
    "open and truncate": lambda d: os.open(f"{d}/file", os.O_WRONLY | os.O_TRUNC),
    "open for reading and truncate": lambda d: os.open(f"{d}/file", os.O_RDONLY | os.O_TRUNC),
    "create": lambda d: os.open(f"{d}/new", os.O_WRONLY | os.O_CREAT),
    "create for reading": lambda d: os.open(f"{d}/new", os.O_RDONLY | os.O_CREAT),
    "create exclusively": lambda d: os.open(f"{d}/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    "create below": lambda d: os.open(f"{d}/directory/new", os.O_RDWR | os.O_CREAT),
    "truncate": lambda d: os.truncate(f"{d}/file", 3),
    "lengthen": lambda d: os.truncate(f"{d}/file", 1 << 20),
    "unlink": lambda d: os.unlink(f"{d}/file"),
    "rmdir": lambda d: os.rmdir(f"{d}/directory"),
    "mkdir": lambda d: os.mkdir(f"{d}/new"),
    "mkfifo": lambda d: os.mkfifo(f"{d}/new"),
    "mknod": lambda d: os.mknod(f"{d}/new", 0o100644),
    "symlink": lambda d: os.symlink("file", f"{d}/new"),
    "link": lambda d: os.link(f"{d}/file", f"{d}/new"),
    "rename": lambda d: os.rename(f"{d}/file", f"{d}/new"),
    "rename over": lambda d: os.rename(f"{d}/file", f"{d}/other"),
    "rename into": lambda d: os.rename(f"{d}/file", f"{d}/directory/file"),
    "rename a directory": lambda d: os.rename(f"{d}/directory", f"{d}/new"),
    "rename without replacing": lambda d: rename2(f"{d}/file", f"{d}/new", _RENAME_NOREPLACE),
    "exchange": lambda d: rename2(f"{d}/file", f"{d}/other", _RENAME_EXCHANGE),
    "chmod": lambda d: os.chmod(f"{d}/file", 0o777),
    "chmod a directory": lambda d: os.chmod(f"{d}/directory", 0o777),
    "chmod the root": lambda d: os.chmod(d, 0o777),
    "chown": lambda d: os.chown(f"{d}/file", 1, 1),
    "chown a link": lambda d: os.lchown(f"{d}/link", 1, 1),
    "utime": lambda d: os.utime(f"{d}/file", (1, 1)),
    "touch": lambda d: os.utime(f"{d}/file"),
}


def tree(root: Path) -> list[tuple[str, int, int, bytes]]:
    """Everything in a directory that a write could change."""
    paths = sorted(root.rglob("*"))
    stats = [path.lstat() for path in paths]
    contents = [path.read_bytes() if path.is_file() else b"" for path in paths]
    return [(p.name, s.st_mode, s.st_mtime_ns, c) for p, s, c in zip(paths, stats, contents)]


@pytest.fixture
def source(private: Path) -> Path:
    """A directory that anybody may change."""
    root = private / "source"
    (root / "directory").mkdir(parents=True)
    for name in ("file", "other"):
        (root / name).write_text(f"contents of {name}")
    (root / "link").symlink_to("file")
    return root


@pytest.mark.parametrize("options", ["", "ro", "rw", "rw,allow_other,default_permissions", "rw,direct_io"])
@pytest.mark.parametrize("cache", [{}, CACHE], ids=["lent", "copied"])
def test_everything_is_refused(
    source: Path, mounts: Mounts, children: Children, binding: str, options: str, cache: dict[str, str]
) -> None:
    """Every operation that would change something fails with EROFS, and nothing has changed.

    With libfuse 2 the kernel itself refuses flags of renameat2 (EINVAL) where the mount is not read-only.
    """
    before = tree(source)
    mounted = mounts.mount(source, options, cache)

    def attempt() -> dict[str, int]:
        return {name: errno_of(write, mounted.path) for name, write in WRITES.items()}

    answers = children.run(attempt)
    wanted = dict.fromkeys(answers, errno.EROFS)
    if binding == "llfuse" and options.startswith("rw"):
        wanted.update({"rename without replacing": errno.EINVAL, "exchange": errno.EINVAL})
    assert answers == wanted
    assert tree(source) == before
    if options.startswith("rw"):
        assert mounted.stats()["op_refused"] > 20


@pytest.mark.parametrize("options", ["", "rw"])
def test_what_only_looks_like_writing(source: Path, mounts: Mounts, children: Children, options: str) -> None:
    """Locks and fsync work; a mapping cannot be written through, nor a nameless file made."""
    mounted = mounts.mount(source, options)

    def attempt() -> list[int]:
        fd = os.open(mounted.join("file"), os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_SH)
        fcntl.lockf(fd, fcntl.LOCK_SH)
        return [
            errno_of(os.fsync, fd),
            errno_of(mmap.mmap, fd, 4, mmap.MAP_SHARED, mmap.PROT_WRITE),
            errno_of(os.write, fd, b"x"),
            errno_of(os.ftruncate, fd, 0),
            errno_of(os.setxattr, mounted.join("file"), "user.x", b""),
            errno_of(os.removexattr, mounted.join("file"), "user.x"),
            errno_of(os.open, mounted.path, os.O_RDWR | os.O_TMPFILE),
        ]

    sync, mapping, write, truncate, *others = children.run(attempt)
    assert (sync, mapping, write, truncate) == (0, errno.EACCES, errno.EBADF, errno.EINVAL)
    assert set(others) <= {errno.EROFS, errno.ENOTSUP}


def test_programs_that_write(source: Path, mounts: Mounts, children: Children) -> None:
    """cp, mv, rm, touch, sed -i and a redirection say that the file system is read-only, and end."""
    mounted = mounts.mount(source, "rw")
    scripts = ("cp file new", "mv file new", "rm file", "rm -rf .", "touch new", "sed -i s/c/d/ file", "echo x >> file")
    for script in scripts:
        done = children.command("sh", "-c", script, cwd=mounted.path)
        assert done.returncode != 0, script
        if script != "rm -rf .":  # it refuses by itself
            assert "Read-only file system" in done.stderr, script
    assert (source / "file").read_text() == "contents of file"
