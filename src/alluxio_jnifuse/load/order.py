"""The order of a run: a file of paths, as `trace --record` writes it and `load --order` reads it.

Paths are bytes, not text, and relative to a directory of the mount, or absolute. Each ends with a newline (or with a
carriage return and a newline); empty lines, and those that begin with `#` or `;`, say nothing, as for rsync
--files-from. `./` before a name that begins so makes a path of it. With --null each path ends with a NUL instead, as
`find -print0` writes it and `xargs -0` reads it, and any name can be told.

A path may lead through symbolic links that stay on the mount. Nothing outside of it is looked at. The order is read as
it is needed, so neither its length nor that of a line counts for memory, and it may come from a pipe.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial

from alluxio_jnifuse.errors import MountError, in_words
from alluxio_jnifuse.load.links import follow
from alluxio_jnifuse.load.targets import Target, find, is_beneath
from alluxio_jnifuse.load.walk import Fail, File, Look, file_of
from alluxio_jnifuse.mounts.registry import Record, Registry

STDIN = "-"

_READ_BYTES = 1 << 16
_LONGEST = 8192  # of a path that can be told of; the kernel takes none that is longer than 4095


def lines(read: Callable[[int], bytes], *, null: bool) -> Iterator[bytes]:
    """Yields the paths; of one that is longer than any path can be, the beginning. `read` returns b"" at the end."""
    separator = b"\0" if null else b"\n"
    rest, cut = b"", False
    while chunk := read(_READ_BYTES):
        *whole, rest = (rest + chunk).split(separator)
        for line in whole:
            if not cut:
                yield from _path_in(line[:_LONGEST], null)
            cut = False
        if len(rest) > _LONGEST:
            if not cut:
                yield from _path_in(rest[:_LONGEST], null)
            rest, cut = b"", True
    if rest and not cut:
        yield from _path_in(rest, null)


def line_of(path: bytes, *, null: bool) -> bytes | None:
    """The line that says `path`; None for a name that no line can say."""
    if null:
        return path + b"\0"
    if b"\n" in path or path.endswith(b"\r"):
        return None
    return (b"./" if path.startswith((b"#", b";")) else b"") + path + b"\n"


def _path_in(line: bytes, null: bool) -> tuple[bytes, ...]:
    if not null:
        line = line[:-1] if line.endswith(b"\r") else line
        if line.startswith((b"#", b";")):
            return ()
    return (line,) if line else ()


class Order:
    """The files that `name` lists, "-" is stdin: what there is to load (reading.py), and in which order."""

    def __init__(self, name: str, base: str | None, *, null: bool) -> None:
        """Relative paths begin at `base`; without it, at the one mount that runs. Raises MountError."""
        self._name = name
        self._base = base
        self._null = null
        try:
            self._fd = os.dup(0) if name == STDIN else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            mode = os.fstat(self._fd).st_mode
        except OSError as error:
            raise MountError(error.strerror or str(error), where=name) from error
        if stat.S_ISDIR(mode):
            raise MountError(os.strerror(errno.EISDIR), where=name)
        self.countable = stat.S_ISREG(mode)
        self._start = os.lseek(self._fd, 0, os.SEEK_CUR) if self.countable else 0
        self._prefixes: tuple[str, ...] = ()
        self._target: Target | None = None

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def find(self) -> list[Target]:
        """The directory that relative paths begin at. Raises MountError."""
        if self._base is None:
            mounts = [record.mountpoint for record in Registry().running()]
            if len(mounts) != 1:
                raise MountError(
                    "several mounts are running" if mounts else "nothing is mounted",
                    remedy="name the directory that the paths are relative to, behind --order FILE",
                )
            self._base = mounts[0]
        (self._target,) = find([self._base])
        self._prefixes = (os.path.abspath(self._base), self._target.mountpoint)
        return [self._target]

    def job(self, record: Record) -> list[str]:
        """Names the job for its journal."""
        assert self._target is not None
        return ["--order", self._name if self._name == STDIN else os.path.abspath(self._name), self._target.path]

    def looks(self, fail: Fail) -> Iterator[Look]:
        """Yields each path as a function that looks at it, and tells `fail` why there is nothing to load."""
        for path in lines(self._reader(), null=self._null):
            yield partial(self._look, path, fail)

    def _reader(self) -> Callable[[int], bytes]:
        """Returns what reads the order: from its beginning each time, unless it can be read but once."""
        at = self._start

        def read(count: int) -> bytes:
            nonlocal at
            try:
                data = os.pread(self._fd, count, at) if self.countable else os.read(self._fd, count)
            except OSError as error:
                raise MountError(in_words(error), where=self._name) from error
            at += len(data)
            return data

        return read

    def _look(self, line: bytes, fail: Fail) -> File | None:
        target = self._target
        assert target is not None
        path = os.fsdecode(line)
        try:
            path = self._place(line, path, target)
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                raise _refusal(errno.EISDIR, os.strerror(errno.EISDIR))
            if not stat.S_ISREG(status.st_mode):
                raise _refusal(errno.EINVAL, "is no regular file")
            if status.st_dev != target.device:
                raise _refusal(errno.EXDEV, "is on another mount")
        except OSError as error:
            fail(os.path.join(target.path, path), target, error)
            return None
        return file_of(path, status, target)

    def _place(self, line: bytes, path: str, target: Target) -> str:
        """Returns the file that the path leads to. Raises OSError."""
        if b"\0" in line:
            raise _refusal(errno.EINVAL, "holds a NUL; --null reads names that end with one")
        if len(line) >= _LONGEST:
            raise _refusal(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        directory, top = target.path, target.mountpoint
        if path.startswith("/"):
            at = next((prefix for prefix in self._prefixes if is_beneath(path, prefix)), None)
            if at is None:
                raise _refusal(errno.EXDEV, f"is not on {top}")
            directory = target.path if at == self._prefixes[0] else top
            path = path[len(at) :]
        leads_to = follow(directory, path, top)
        if not leads_to:
            raise _refusal(errno.EXDEV, f"leads out of {top}")
        return leads_to


def _refusal(number: int, reason: str) -> OSError:
    return OSError(number, reason)
