"""What an application does with a tree, one method per operation; the results are plain values to be compared.

The same class runs in the worker process on the mount and in the test process on the directory that is shown.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any

Result = tuple[str, Any]  # ("ok", value) or ("error", name of the errno)

_FIELDS = ("mode", "ino", "nlink", "uid", "gid", "size", "blocks", "mtime_ns", "ctime_ns")


class Operations:
    """`root`: the tree; paths are relative to it. `hide`: FIFOs are not there, which is what a mount promises."""

    def __init__(self, root: bytes, *, hide: bool = False) -> None:
        self._root = root
        self._hide = hide
        self._files: dict[int, int] = {}  # slot: descriptor
        self._maps: dict[int, mmap.mmap] = {}
        self._listings: dict[int, Any] = {}  # slot: iterator of os.scandir

    def run(self, name: str, *args: Any) -> Result:
        """Runs one operation."""
        try:
            return "ok", getattr(self, name)(*args)
        except OSError as error:
            return "error", errno.errorcode.get(error.errno or 0, str(error))

    def _at(self, path: bytes, *, follow: bool = True) -> bytes:
        """The absolute path. Raises FileNotFoundError for what a mount hides."""
        full = os.path.join(self._root, path) if path else self._root
        if self._hide:
            parts = path.split(b"/")
            for count in range(1, len(parts) + 1):
                look = os.stat if follow or count < len(parts) else os.lstat
                if _is_fifo(look, os.path.join(self._root, *parts[:count])):
                    raise FileNotFoundError(errno.ENOENT, "hidden", path)
        return full

    # ------------------------------------------------------------------------------------------------ metadata

    def stat(self, path: bytes) -> dict[str, int]:
        """Attributes, through symbolic links."""
        return _fields(os.stat(self._at(path)))

    def lstat(self, path: bytes) -> dict[str, int]:
        """Attributes of a symbolic link itself."""
        return _fields(os.lstat(self._at(path, follow=False)))

    def readlink(self, path: bytes) -> bytes:
        """The target of a symbolic link."""
        return os.readlink(self._at(path, follow=False))

    def names(self, path: bytes) -> list[bytes]:
        """What a directory holds."""
        return sorted(entry.name for entry in self._scan(path))

    def scandir(self, path: bytes) -> list[tuple[bytes, int, str]]:
        """What a directory says of its entries without asking them: name, inode number, type."""
        return sorted((entry.name, entry.inode(), _type(entry)) for entry in self._scan(path))

    def walk(self, path: bytes) -> dict[bytes, dict[str, int]]:
        """The attributes of everything in and below a directory, by path."""
        found = {}
        for entry in self._scan(path):
            inner = os.path.join(path, entry.name)
            found[inner] = self.lstat(inner)
            if entry.is_dir(follow_symlinks=False):
                found.update(self.walk(inner))
        return found

    def statvfs(self, path: bytes) -> tuple[int, ...]:
        """The figures of the file system that do not change by themselves."""
        s = os.statvfs(self._at(path))
        return s.f_frsize, s.f_blocks, s.f_files, s.f_namemax

    def _scan(self, path: bytes) -> Iterator[os.DirEntry[bytes]]:
        with os.scandir(self._at(path)) as entries:
            for entry in entries:
                if not self._hide or _type(entry) != "other":
                    yield entry

    # ------------------------------------------------------------------------------------------------ contents

    def read(self, path: bytes, chunk: int) -> bytes:
        """The whole file, `chunk` bytes at a time."""
        with _opened(self._at(path)) as fd:
            pieces = []
            while piece := os.read(fd, chunk):
                pieces.append(piece)
            return b"".join(pieces)

    def pread(self, path: bytes, ranges: list[tuple[int, int]]) -> list[bytes]:
        """Ranges (offset, length) of a file, in the order given."""
        with _opened(self._at(path)) as fd:
            return [_pread(fd, offset, length) for offset, length in ranges]

    def seek(self, path: bytes, offset: int) -> tuple[int, int, bytes, int]:
        """Where SEEK_END, SEEK_SET and SEEK_CUR lead."""
        with _opened(self._at(path)) as fd:
            end = os.lseek(fd, 0, os.SEEK_END)
            at = os.lseek(fd, min(offset, end), os.SEEK_SET)
            return end, at, os.read(fd, 100), os.lseek(fd, -min(at, 10), os.SEEK_CUR)

    def sendfile(self, path: bytes) -> bytes:
        """The whole file, as servers and cp read it."""
        with _opened(self._at(path)) as fd, _memory() as to:
            while os.sendfile(to, fd, None, 1 << 20):
                pass
            return _pread(to, 0, os.fstat(to).st_size)

    def mmap(self, path: bytes, page: int, length: int) -> bytes:
        """A part of the file through a mapping that begins with `page`."""
        with _opened(self._at(path)) as fd:
            size = os.fstat(fd).st_size
            start = min(page * mmap.PAGESIZE, size // mmap.PAGESIZE * mmap.PAGESIZE)
            length = min(length, size - start)
            if not length:
                return b""
            with mmap.mmap(fd, length, prot=mmap.PROT_READ, offset=start) as mapped:
                return _copy(mapped, 0, length)

    def open(self, path: bytes, flags: int) -> str:
        """Opens and closes."""
        with _opened(self._at(path, follow=not flags & os.O_NOFOLLOW), flags):
            return "opened"

    # ------------------------------------------------------------------------------- handles that stay open

    def hold(self, slot: int, path: bytes, mapped: bool) -> dict[str, int]:
        """Opens a file, and maps it; returns its attributes."""
        fd = os.open(self._at(path), os.O_RDONLY)
        self._files[slot] = fd
        got = os.fstat(fd)
        if mapped and got.st_size:
            self._maps[slot] = mmap.mmap(fd, got.st_size, prot=mmap.PROT_READ)
        return _fields(got)

    def held_pread(self, slot: int, offset: int, length: int) -> bytes:
        """A range of a held file."""
        return _pread(self._files[slot], offset, length)

    def held_map(self, slot: int, offset: int, length: int) -> bytes:
        """A range of a held mapping; b"" when there is none."""
        mapped = self._maps.get(slot)
        return _copy(mapped, min(offset, len(mapped)), length) if mapped is not None else b""

    def held_end(self, slot: int) -> int:
        """The length of a held file, as SEEK_END says."""
        return os.lseek(self._files[slot], 0, os.SEEK_END)

    def held_stat(self, slot: int) -> dict[str, int]:
        """The attributes of a held file."""
        return _fields(os.fstat(self._files[slot]))

    def drop(self, slot: int) -> None:
        """Closes what is held."""
        if slot in self._maps:
            self._maps.pop(slot).close()
        if slot in self._files:
            os.close(self._files.pop(slot))
        if slot in self._listings:
            self._listings.pop(slot).close()

    def drop_all(self) -> None:
        """Closes everything that is held."""
        for slot in {*self._files, *self._listings}:
            self.drop(slot)

    def begin_listing(self, slot: int, path: bytes) -> None:
        """Opens a directory."""
        self._listings[slot] = os.scandir(self._at(path))

    def continue_listing(self, slot: int, count: int) -> list[bytes]:
        """The next names of an open directory."""
        return [entry.name for _, entry in zip(range(count), self._listings[slot])]

    # ----------------------------------------------------------------------------------------------- refusals

    def change(self, kind: str, path: bytes) -> None:
        """Tries to change something."""
        _CHANGES[kind](os.path.join(self._root, path))


class _opened:
    """A descriptor in a with statement."""

    def __init__(self, path: bytes, flags: int = os.O_RDONLY) -> None:
        self._fd = os.open(path, flags | os.O_CLOEXEC)

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class _memory(_opened):
    def __init__(self) -> None:
        self._fd = os.memfd_create("model")


def _fields(s: os.stat_result) -> dict[str, int]:
    return {name: getattr(s, f"st_{name}") for name in _FIELDS}


def _is_fifo(look: Callable[[bytes], os.stat_result], path: bytes) -> bool:
    try:
        return stat.S_ISFIFO(look(path).st_mode)
    except OSError:
        return False


def _type(entry: os.DirEntry[bytes]) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "directory"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


def _pread(fd: int, offset: int, length: int) -> bytes:
    """As much of a range as there is."""
    pieces = []
    while length and (piece := os.pread(fd, length, offset)):
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return b"".join(pieces)


def _copy(mapped: mmap.mmap, offset: int, length: int) -> bytes:
    """A range of a mapping, copied by the kernel: a page that cannot be had is EFAULT then, not SIGBUS."""
    with memoryview(mapped) as whole, whole[offset : offset + length] as view, _memory() as to:
        done = 0
        while done < len(view):
            done += os.pwrite(to, view[done:], done)
        return _pread(to, 0, done)


def _open_as(flags: int) -> Callable[[bytes], None]:
    def change(path: bytes) -> None:
        os.close(os.open(path, flags, 0o600))

    return change


def _beside(path: bytes) -> bytes:
    return os.path.join(os.path.dirname(path), b"new")


_CHANGES: dict[str, Callable[[bytes], Any]] = {
    # of a file
    "write": _open_as(os.O_WRONLY),
    "read and write": _open_as(os.O_RDWR),
    "append": _open_as(os.O_WRONLY | os.O_APPEND),
    "open and truncate": _open_as(os.O_RDONLY | os.O_TRUNC),
    "truncate": lambda path: os.truncate(path, 1),
    "link": lambda path: os.link(path, _beside(path)),
    # of anything
    "chmod": lambda path: os.chmod(path, 0o700),
    "utime": lambda path: os.utime(path, (1, 1)),
    "chown": lambda path: os.chown(path, os.getuid(), os.getgid(), follow_symlinks=False),
    "rename": lambda path: os.rename(path, _beside(path)),
    # of what is no directory, and of a directory
    "unlink": os.unlink,
    "rmdir": os.rmdir,
    # of a name that is free
    "create": _open_as(os.O_RDWR | os.O_CREAT),
    "create exclusively": _open_as(os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    "mkdir": os.mkdir,
    "symlink": lambda path: os.symlink(b"target", path),
    "mknod": lambda path: os.mknod(path, stat.S_IFREG | 0o600),
}
OF_A_FILE = ("write", "read and write", "append", "open and truncate", "truncate", "link")
OF_ANYTHING = ("chown", "rename")
OF_NO_LINK = ("chmod", "utime")
OF_A_FREE_NAME = ("create", "create exclusively", "mkdir", "symlink", "mknod")
