"""A directory of this machine, a network file system mounted on it included.

With `lend` (the client cache is off) every open file is one descriptor handed to the core, and the kernel reads it
without us: what an application sees is the file itself, also while somebody writes it in place. Its version is
(device, inode).

Without `lend` bytes are copied into the cache, so they must be of one version. The version is then (device, inode,
size, mtime, ctime), and it is compared after each piece was read and before the piece is called final: the kernel
stamps a file before it changes its bytes, so bytes of a later write always come with a later stamp. Two stamps of
one clock tick look the same; hence a file that was changed within the last ticks is opened when they are over.
Stores through a writable mapping are the exception: the kernel stamps those once per page and write-back.
A file that has another version, but the same inode and no fewer bytes, may have been appended to. If all bytes that
were read of the old version are found in the new one (seen.py), its open handles go on in the new one.

Inode numbers are the files' own, on the device of the root. File systems that are mounted below it could have the same
ones; there they are hashes of device and inode number (csrc/source/local.h).

Everything is relative to one descriptor of the root, so the source stays what it was when the path to it changes. No
symbolic link is followed on the way (csrc/source/beneath.h): a directory that was replaced by one since it was looked
up must not lead out of the tree.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING, cast

from alluxio_jnifuse import _core
from alluxio_jnifuse.errors import ConfigError, SourceError, StaleVersion
from alluxio_jnifuse.mounts import stacking
from alluxio_jnifuse.sources import setting
from alluxio_jnifuse.sources.base import Attr, Directory, Extent, Listing, OpenFile, Source, StatFs
from alluxio_jnifuse.sources.limits import LISTING_BYTES, Listings
from alluxio_jnifuse.sources.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.sources.seen import Runs

# O_NONBLOCK: a FIFO put in place of a file must not hang us. It means nothing to regular files.
_FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY

_PIECE_BYTES = 1 << 20  # large enough to hide the system call, small enough to wake readers early
_TRIES = 10  # of a file that is written while it is read again
_SETTLE_NS = 20_000_000  # two ticks of the slowest kernel clock, HZ=100


def open_uri(uri: str, config: object) -> LocalSource:
    """Opens ``/abs/path`` or ``file:///abs/path`` (percent-encoded); the setting `lend` decides how it is read."""
    lend = bool(setting(config, "lend", True))
    most = cast("int", setting(config, "listing_bytes", LISTING_BYTES))
    if uri.startswith("/"):
        return LocalSource(os.fsencode(uri), lend=lend, listing_bytes=most)
    host, slash, rest = uri[len("file://") :].partition("/")
    if not slash or host not in ("", "localhost"):
        raise ConfigError("not an absolute path of this machine", where=repr(uri), remedy="use file:///path")
    from urllib.parse import unquote_to_bytes

    return LocalSource(b"/" + unquote_to_bytes(os.fsencode(rest)), lend=lend, listing_bytes=most)


class _Handle:
    """An open file, and the attributes it had when it was last known to be the version that was opened."""

    __slots__ = ("attr", "fd", "path", "runs", "version")

    def __init__(self, fd: int, path: bytes, version: int, attr: Attr, runs: Runs) -> None:
        self.fd = fd
        self.path = path
        self.version = version  # that was opened
        self.attr = attr
        self.runs = runs


class LocalSource(Source):
    """See the module's docstring. Raises SourceError when `root` is not a directory that can be read."""

    confirms_opens = True

    def __init__(self, root: bytes, *, lend: bool, listing_bytes: int = LISTING_BYTES) -> None:
        self._name = os.fsdecode(root)
        self._lend = lend
        self.follows_growth = self.opens_files = not lend
        self._seen = Seen()
        self._hidden_device = 0
        self._listings = Listings(listing_bytes, lambda: self.check_wanted())
        self._root = _open_root(root)
        self.stack_depth = stacking.depth_over(self._root) if lend else stacking.NOTHING
        self._device = os.fstat(self._root).st_dev

    def __str__(self) -> str:
        return f"local {self._name!r}"

    def mounted(self, device: int) -> None:
        """Hides the mount `device` when it lies within the root: showing it would be asking ourselves."""
        self._hidden_device = device

    def directory(self) -> Directory:
        return Directory(self._root, not self._lend, self._device, self._hidden_device)

    def stat(self, path: bytes) -> Attr:
        """Devices, sockets and FIFOs are not there (ENOENT): there is nothing to read in them."""
        return self._attr(self._root, path[1:])

    def list(self, path: bytes) -> Listing:
        fd = _core.open_beneath(self._root, path[1:], _DIRECTORY_FLAGS)
        try:
            with self._listings.one(path) as grow:
                found = _core.scan_directory(fd, not self._lend, self._device, self._hidden_device, grow)
            listing = Listing(*found)
            if not listing.names and os.fstat(fd).st_nlink == 0:
                raise _gone(path)  # not "empty", which a program that mirrors the mount would make true elsewhere
            return listing
        finally:
            os.close(fd)

    def readlink(self, path: bytes) -> bytes:
        parent, _, name = path[1:].rpartition(b"/")
        fd = _core.open_beneath(self._root, parent, os.O_PATH | os.O_DIRECTORY)
        try:
            return os.readlink(name or b".", dir_fd=fd)
        finally:
            os.close(fd)

    def statfs(self) -> StatFs:
        s = os.fstatvfs(self._root)
        return StatFs(s.f_frsize, s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree, s.f_namemax)

    def open(self, path: bytes, version: int) -> OpenFile:
        try:
            fd = _core.open_beneath(self._root, path[1:], _FILE_FLAGS)
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link, a FIFO or a socket took its place
                raise StaleVersion(self._where(path)) from exc
            raise
        try:
            attr = self._settled(fd)
            size = attr.size
            if attr.version != version:
                known, now = self._seen.get(version), self._followed(fd, version)
                if known is None or now is None:
                    raise StaleVersion(self._where(path))
                attr, size = now, known.size
            if not stat.S_ISREG(attr.mode):
                raise StaleVersion(self._where(path))
        except FileNotFoundError as exc:  # a device or a FIFO: what is hidden is not there
            os.close(fd)
            raise StaleVersion(self._where(path)) from exc
        except BaseException:
            os.close(fd)
            raise
        if self._lend:
            return OpenFile(None, version, attr.size, (Extent(fd, 0, attr.size),), attr)
        runs = self._seen.opened(version, size, attr.ino, attr.ctime_ns)
        return OpenFile(_Handle(fd, path, version, attr, runs), version, size, (), attr)

    def grown(self, path: bytes, version: int) -> Attr | None:
        try:
            fd = _core.open_beneath(self._root, path[1:], _FILE_FLAGS)
        except OSError:
            return None
        try:
            return self._continued(fd, version)
        finally:
            os.close(fd)

    def read_into(self, handle: _Handle, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        fd = handle.fd
        filled = 0
        while filled < len(buffer):
            count = os.preadv(fd, [buffer[filled : filled + _PIECE_BYTES]], offset + filled)
            # Before the version is compared: a thread that finds another one afterwards finds this, too.
            handle.runs.add(offset + filled, buffer[filled : filled + count])
            attr = self._attr(fd, b"")
            if attr.version != handle.attr.version:
                if not _only_unlinked(handle.attr, attr):
                    touched = _may_hold_the_same(handle.attr, attr)
                    now = self._continued(fd, handle.version) if touched else self._followed(fd, handle.version)
                    if now is None:
                        raise StaleVersion(self._where(handle.path))
                    handle.attr = now
                    continue  # what was just read may be of something in between
                handle.attr = attr
            if count == 0:
                break
            filled += count
            progress(filled)
        return filled

    def close_file(self, handle: _Handle) -> None:
        os.close(handle.fd)

    def close(self) -> None:
        root, self._root = self._root, -1  # from here on every call answers EBADF
        if root >= 0:
            os.close(root)

    def _attr(self, dirfd: int, path: bytes) -> Attr:
        return Attr(*_core.stat_local(dirfd, path, not self._lend, self._device, self._hidden_device))

    def _settled(self, fd: int) -> Attr:
        """Attributes of an open file after which any write gives it another version, see above."""
        attr = self._attr(fd, b"")
        if self._lend:
            return attr
        age_ns = time.time_ns() - attr.ctime_ns
        if not 0 <= age_ns < _SETTLE_NS:
            return attr
        time.sleep((_SETTLE_NS - age_ns) / 1e9)
        return self._attr(fd, b"")

    def _followed(self, fd: int, version: int) -> Attr | None:
        """Like `_continued`, if somebody goes on in `version`; for others it is what they opened."""
        known = self._seen.get(version)
        return self._continued(fd, version) if known is not None and known.followed else None

    def _continued(self, fd: int, version: int) -> Attr | None:
        """Attributes of an open file that begins with all that was read of `version`; None when that is not known."""
        known = self._seen.get(version)
        if self._lend or known is None:
            return None
        for _ in range(_TRIES):
            attr = self._settled(fd)
            if not stat.S_ISREG(attr.mode) or attr.ino != known.number or attr.size < known.size:
                return None
            if attr.version != version:
                if self._seen.is_refuted(version, attr.version):
                    return None
                same = known.runs.are_in(lambda offset, length: _read(fd, offset, length))
                if self._attr(fd, b"").version != attr.version:
                    continue  # it changes all the time
                if not same:
                    self._seen.refute(version, attr.version)
                    return None
                self._seen.go_on(known, attr.version, attr.size, attr.ctime_ns)
            return attr
        return None

    def _where(self, path: bytes) -> str:
        return f"{self}: {os.fsdecode(path)!r}"


def _read(fd: int, offset: int, length: int) -> memoryview:
    """Returns as many bytes as there are."""
    data = memoryview(bytearray(length))
    done = 0
    while done < length:
        count = os.preadv(fd, [data[done:]], offset + done)
        if not count:
            break
        done += count
    return data[:done]


def _only_unlinked(before: Attr, after: Attr) -> bool:
    """Whether the file only lost a name: it was deleted, or another was renamed over it."""
    return after.nlink < before.nlink and _may_hold_the_same(before, after)


def _may_hold_the_same(before: Attr, after: Attr) -> bool:
    """Whether nothing but ctime tells of a change: as after chmod, chown, link, or a write whose mtime was set back."""
    return after.ino == before.ino and after.size == before.size and after.mtime_ns == before.mtime_ns


def _gone(path: bytes) -> OSError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _open_root(root: bytes) -> int:
    """A descriptor of the directory `root`, which may be reached through symbolic links."""
    where = repr(os.fsdecode(root))
    try:
        fd = os.open(root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            os.stat(b".", dir_fd=fd)  # names can be read without the right to look behind them
        except BaseException:
            os.close(fd)
            raise
    except FileNotFoundError as exc:
        raise SourceError(
            "no such directory", where=where, remedy="create it, or mount what should be there first"
        ) from exc
    except NotADirectoryError as exc:
        raise SourceError("not a directory", where=where, remedy="name the directory to show") from exc
    except PermissionError as exc:
        raise SourceError(
            "this user may not read the directory", where=where, remedy="grant it r-x, or run as its owner"
        ) from exc
    except OSError as exc:
        raise SourceError(f"cannot be opened: {exc.strerror}", where=where, remedy="see whether ls shows it") from exc
    return fd
