"""Checks of the directories of the client cache: whose they are, what room they have, and how fast they are.

Nothing is made in them that has a name. Speed is measured with a file without one, which goes when it is closed.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from shlex import quote

from alluxio_jnifuse.cache.directory import NAME
from alluxio_jnifuse.config.units import format_size
from alluxio_jnifuse.doctor.finding import ERROR, NOTE, OK, WARNING, Finding
from alluxio_jnifuse.doctor.subject import Subject
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.system import trusted

_DIRS = "alluxio.user.client.cache.dirs"
_SIZE = "alluxio.user.client.cache.size"
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "lustre", "9p", "virtiofs")
_IN_MEMORY = ("tmpfs", "ramfs")
_PIECE_BYTES, _PIECES = 4 << 20, 3
_SLOW_BYTES_S = 20 << 20  # a storage is faster; the fastest piece counts, so that a busy machine does not look slow


def cache_directories(subject: Subject) -> Iterator[Finding]:
    """Each directory of the client cache, where that is on a disk."""
    config = subject.config
    if config is None or not config.caching or config.cache_store == "MEM":
        return
    for path, size in config.cache_directories():
        yield from _directory(path, size, subject)


def _directory(path: str, size: int, subject: Subject) -> Iterator[Finding]:
    there = path
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    try:
        os.close(trusted.open_directory(there))
    except trusted.UntrustedPath as error:
        who, _, remedy = str(error.strerror).rpartition(": ")
        yield Finding(ERROR, f"is not safe to use: {who}", path, f"{remedy} ({_DIRS})", _line_for(error.filename))
        return
    except OSError as error:
        yield Finding(ERROR, f"cannot be used: {error.strerror}", path, f"set {_DIRS}", f"-D {_DIRS}=DIRECTORY")
        return
    inner = os.path.join(path, NAME)
    if os.path.isdir(inner) and os.stat(inner).st_uid != os.geteuid():
        what = f"{NAME}/ in it belongs to user {os.stat(inner).st_uid}"
        yield Finding(
            ERROR,
            what,
            path,
            "change its owner, or choose another directory",
            f"chown -R {os.geteuid()} {quote(inner)}",
        )
        return
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(ERROR, "this user may not write to it", path, "choose another", f"-D {_DIRS}=DIRECTORY")
        return
    yield from _user(os.path.join(inner, str(subject.config and subject.config.cache_store)), path, subject)
    yield from _room(path, there, size)
    yield from _kind(path, there)
    yield from _speed(path, there)


def _line_for(path: str) -> str:
    status = os.stat(path)
    if status.st_uid not in (0, os.geteuid()):
        return f"chown {os.geteuid()} {quote(path)}"
    return f"chmod go-w {quote(path)}" if status.st_mode & 0o022 else f"-D {_DIRS}=DIRECTORY"


def _user(directory: str, path: str, subject: Subject) -> Iterator[Finding]:
    """Whether another mount has it."""
    try:
        fd = os.open(os.path.join(directory, "lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # nobody ever had it
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        if subject.record is None or holder != str(subject.record.pid):
            what = f"is used by another mount (process {holder or 'unknown'})"
            yield Finding(ERROR, what, path, "give each mount a directory of its own", f"-D {_DIRS}=DIRECTORY")
    finally:
        os.close(fd)


def _room(path: str, there: str, size: int) -> Iterator[Finding]:
    figures = os.statvfs(there)
    free, used = figures.f_bavail * figures.f_frsize, _used(os.path.join(path, NAME))
    if free + used >= size:
        yield Finding(OK, f"has room for {format_size(size)} ({format_size(free)} are free)", path)
        return
    room = max(1 << 20, (free + used) * 9 // 10)
    yield Finding(
        WARNING,
        f"the cache may take {format_size(size)}, and {format_size(free)} are free beside the {format_size(used)} "
        "that it has",
        path,
        "free some, or make the cache smaller",
        f"-D {_SIZE}={room >> 20}MB",
    )


def _used(directory: str) -> int:
    """Bytes on disk below a directory; as many as can be counted in a second."""
    until, total = time.monotonic() + 1.0, 0
    for where, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
            except OSError:
                pass  # evicted meanwhile
        if time.monotonic() > until:
            break
    return total


def _kind(path: str, there: str) -> Iterator[Finding]:
    device = os.stat(there).st_dev
    kinds = [entry.fstype for entry in table.read() if os.makedev(entry.major, entry.minor) == device]
    kind = kinds[-1] if kinds else "unknown"
    if kind in _REMOTE or kind.startswith("fuse."):
        what = f"lies on {kind}: what is cached there crosses the network again, and locks may not hold"
        yield Finding(WARNING, what, path, "choose a directory on a disk of this machine", f"-D {_DIRS}=DIRECTORY")
    elif kind in _IN_MEMORY:
        what = f"lies in memory ({kind}): the store MEM does so on huge pages, and without copies"
        yield Finding(NOTE, what, path, "use it", "-D alluxio.user.client.cache.store.type=MEM")
    else:
        yield Finding(OK, f"lies on {kind}", path)


def _speed(path: str, there: str) -> Iterator[Finding]:
    best = 0.0
    try:
        fd = os.open(there, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return  # this file system has no files without names
    try:
        with mmap.mmap(-1, _PIECE_BYTES) as piece:
            for number in range(_PIECES):
                began = time.monotonic()
                os.pwrite(fd, piece, number * _PIECE_BYTES)
                os.fdatasync(fd)
                best = max(best, _PIECE_BYTES / max(1e-9, time.monotonic() - began))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        what = f"is full: {error.strerror}"
        yield Finding(ERROR, what, path, "free some, or choose another directory", f"df -h {quote(there)}")
        return
    finally:
        os.close(fd)
    rate = f"{format_size(best)}/s"
    if best < _SLOW_BYTES_S:
        what = f"writes {rate}: a storage may be faster than its cache"
        yield Finding(WARNING, what, path, "choose a faster disk", f"-D {_DIRS}=DIRECTORY")
    else:
        yield Finding(OK, f"writes {rate}", path)
