"""The running mounts: one JSON file for each in a runtime directory, so that `stat` and `umount` find the daemons.

A record is believed while its process lives: same pid and same start time, because pids are used again. Each process
removes the records of dead ones that it meets. Everybody sees root's mounts; a user also sees the user's own.
"""

from __future__ import annotations

import binascii
import json
import os
import signal
import stat
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from alluxio_jnifuse.errors import MountError

ROOT_DIRECTORY = "/run/alluxio-jnifuse"
_SUFFIX = ".json"
STATS_SUFFIX = ".stats"  # NAME.stats lies beside NAME.json; stats.py
JOURNAL_SUFFIX = ".journal"  # so does NAME.JOB.journal; load/journal.py


class Record(NamedTuple):
    """One running mount. `start_time` is in clock ticks since boot; `log` is "" when the log goes to a terminal.

    `cache_bytes`: the budget of the client cache, 0 when it is off.
    """

    pid: int
    start_time: int
    pid_namespace: int
    mountpoint: str
    alluxio_path: str
    ufs: str
    log: str
    cache_bytes: int = 0


_KINDS = (int, int, int, str, str, str, str, int)  # of a record's values


def record_of_this_process(mountpoint: str, alluxio_path: str, ufs: str, log: str, cache_bytes: int = 0) -> Record:
    """The record of a mount that the calling process serves."""
    pid = os.getpid()
    return Record(pid, start_time(pid) or 0, pid_namespace(), mountpoint, alluxio_path, ufs, log, cache_bytes)


def start_time(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot; None when there is none, or only a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name in brackets may hold anything
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def is_alive(record: Record) -> bool:
    """Whether the daemon of `record` still runs."""
    return start_time(record.pid) == record.start_time


def send_signal(record: Record, number: signal.Signals) -> None:
    """Sends a signal to the daemon of `record`, and never to a process that got its number since.

    Raises ProcessLookupError, PermissionError.
    """
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        raise
    except OSError:  # Linux < 5.3, or no descriptor left
        if not is_alive(record):
            raise ProcessLookupError from None
        os.kill(record.pid, number)
        return
    try:
        if start_time(record.pid) not in (None, record.start_time):
            raise ProcessLookupError
        signal.pidfd_send_signal(pidfd, number)
    finally:
        os.close(pidfd)


def file_stem(mountpoint: str) -> str:
    """A short file name for a mount point, readable and different for each."""
    readable = os.fsencode(mountpoint).decode("utf-8", "replace").strip("/").replace("/", "-")
    readable = readable.encode("ascii", "replace").decode().replace("?", "_")
    return f"{readable[-80:] or 'root'}-{binascii.crc32(os.fsencode(mountpoint)):08x}"


def candidates(uid: int) -> list[str]:
    """Returns where the records of user `uid` may lie, the preferred directory first."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    found = [ROOT_DIRECTORY] if uid == 0 else []
    if uid != 0:
        found += [os.path.join(base, "alluxio-jnifuse") for base in (runtime, f"/run/user/{uid}") if base]
    # The last is in memory, and writable in a container whose root file system is not.
    return [*dict.fromkeys(found), *(f"{base}/alluxio-jnifuse-{uid}" for base in ("/tmp", "/dev/shm"))]


class Registry:
    """The records in `directories`, of which the first usable one takes new ones."""

    def __init__(self, directories: Sequence[str] | None = None) -> None:
        self._own = list(candidates(os.geteuid()) if directories is None else directories)
        self._others = [ROOT_DIRECTORY] if directories is None and os.geteuid() != 0 else []

    def add(self, record: Record) -> str:
        """Writes a record; returns the path of its file. Raises MountError when no directory can be used."""
        path = os.path.join(self.writable_directory(), file_stem(record.mountpoint) + _SUFFIX)
        write_atomically(path, json.dumps({name: _to_file(value) for name, value in record._asdict().items()}))
        return path

    def remove(self, path: str, record: Record) -> None:
        """Removes what `add` wrote, and the counters and journals beside it, unless another mount took its place."""
        import glob

        found = _read(path)
        if found != record and (found is not None or os.path.lexists(path)):
            return
        journals = glob.glob(f"{glob.escape(path[: -len(_SUFFIX)])}.*{JOURNAL_SUFFIX}")
        for name in (path, stats_path(path), *journals):
            try:
                os.unlink(name)
            except FileNotFoundError:
                pass

    def running(self) -> list[Record]:
        """The running mounts, by mount point; removes the records of dead ones."""
        return [record for _, record in self._live()]

    def find(self, mountpoint: str) -> Record | None:
        """The running mount on the resolved path `mountpoint`."""
        found = self.locate(mountpoint)
        return found[1] if found else None

    def only_one(self) -> str:
        """The mount point of the only running mount. Raises MountError when there is none, or there are several."""
        found = [record.mountpoint for record in self.running()]
        if len(found) == 1:
            return found[0]
        if found:
            raise MountError(f"there are {len(found)} mounts: {', '.join(found)}", remedy="name one of them")
        raise MountError("nothing is mounted", remedy="mount something: alluxio-jnifuse mount")

    def locate(self, mountpoint: str) -> tuple[str, Record] | None:
        """Like `find`, with the path of the record's file."""
        return next(((path, record) for path, record in self._live() if record.mountpoint == mountpoint), None)

    def writable_directory(self) -> str:
        """Returns where this user's files about running mounts lie. Raises MountError when no directory can be used."""
        for directory in self._own:
            try:
                os.makedirs(directory)
                os.chmod(directory, 0o755)  # whatever the umask: everybody may look into root's
            except FileExistsError:
                pass
            except OSError:
                continue
            if is_trusted(directory, os.geteuid()) and os.access(directory, os.W_OK):
                return directory
        raise MountError(
            "no directory for the list of running mounts can be used",
            where=" or ".join(self._own),
            remedy="create one that belongs to this user and that nobody else may write to",
        )

    # --------------------------------------------------------------------------------------------------- files

    def _live(self) -> list[tuple[str, Record]]:
        namespace = pid_namespace()
        found = []
        for path, record in self._records():
            if record.pid_namespace != namespace:
                continue  # of another container that shares the directory: its pids mean nothing here
            if is_alive(record):
                found.append((path, record))
            else:
                try:
                    self.remove(path, record)
                except OSError:
                    pass  # root's; root will
        return sorted(found, key=lambda item: item[1].mountpoint)

    def _records(self) -> Iterator[tuple[str, Record]]:
        for directory in [*self._own, *self._others]:
            if not is_trusted(directory, 0 if directory in self._others else os.geteuid()):
                continue
            for name in sorted(os.listdir(directory)):
                path = os.path.join(directory, name)
                record = _read(path) if name.endswith(_SUFFIX) else None
                if record is not None:
                    yield path, record


def stats_path(record_path: str) -> str:
    """Returns where the counters of a mount lie, given the path of its record."""
    return record_path[: -len(_SUFFIX)] + STATS_SUFFIX


def write_atomically(path: str, text: str) -> None:
    """Replaces `path`, so that a reader sees the old file or the new one."""
    temporary = f"{path}.{os.getpid()}~"
    with open(temporary, "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)
    os.replace(temporary, path)


def is_trusted(directory: str, owner: int) -> bool:
    """Whether `directory` belongs to `owner` and nobody else may write to it."""
    try:
        status = os.lstat(directory)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == owner and not status.st_mode & 0o022


def _read(path: str) -> Record | None:
    try:
        with open(path, encoding="ascii") as file:
            record = Record(**{name: _of_file(value) for name, value in json.load(file).items()})
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None  # removed meanwhile, or written by another release
    return record if all(type(value) is kind for value, kind in zip(record, _KINDS)) else None


def _to_file(value: object) -> object:
    """A path is UTF-8 in the file, with surrogates for other bytes, whatever the locale of writer and reader."""
    return os.fsencode(value).decode("utf-8", "surrogateescape") if isinstance(value, str) else value


def _of_file(value: Any) -> Any:
    return os.fsdecode(value.encode("utf-8", "surrogateescape")) if isinstance(value, str) else value


def pid_namespace() -> int:
    """The inode number of the namespace that the pids of this process belong to."""
    return os.stat("/proc/self/ns/pid").st_ino
