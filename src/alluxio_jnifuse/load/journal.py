"""Which files a job has read to their ends, so that it goes on there after it was interrupted.

A job is a set of paths of one running mount. Its journal is one file of the runtime directory, to which records of
eight bytes are appended: a hash of path, size and times of a file. So a million files are 8 MB, a file that changed is
one that was not read, and several processes may append at once. It goes with the record of its mount, beside which it
lies; the next load removes the journals of mounts that died, or that another process serves.

A hash that happens to be that of another file would leave one unread: one chance in 10^7 for a million files.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from alluxio_jnifuse.mounts.registry import JOURNAL_SUFFIX, Record, file_stem, pid_namespace, start_time

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from alluxio_jnifuse.load.walk import File

_NAME_PATTERN = re.compile(r".*\.(\d+)-(\d+)-(\d+)-[0-9a-f]+" + re.escape(JOURNAL_SUFFIX))
_RECORD_BYTES = 8


class Journal:
    """The journal of one job; `in` and `add` may be called from any thread."""

    def __init__(self, path: str, *, restart: bool = False) -> None:
        """Opens or makes the file `path`; with `restart`, forgets what it says. Raises OSError."""
        self._path = path
        if restart:
            self.remove()
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._known = _read(self._fd)

    def __contains__(self, file: File) -> bool:
        """Whether this version of `file` had been read before this journal was opened."""
        if self._known is None:
            return False
        record = int.from_bytes(_record(file), "little")
        at = int(self._known.searchsorted(self._known.dtype.type(record)))
        return at < len(self._known) and int(self._known[at]) == record

    def add(self, file: File) -> None:
        """Notes that `file` has been read. Raises OSError."""
        os.write(self._fd, _record(file))  # one write at the end of a file is not mixed with others

    def remove(self) -> None:
        """Removes the file. Processes that have it open may go on."""
        _unlink(self._path)


def journal_path(directory: str, record: Record, paths: Iterable[str]) -> str:
    """Returns where the journal of a job lies in the runtime directory."""
    job = hashlib.blake2b(b"\0".join(sorted({os.fsencode(path) for path in paths})), digest_size=8).hexdigest()
    process = f"{record.pid_namespace}-{record.pid}-{record.start_time}"
    return os.path.join(directory, f"{file_stem(record.mountpoint)}.{process}-{job}{JOURNAL_SUFFIX}")


def remove_stale(directory: str) -> None:
    """Removes the journals of mounts that have ended. Raises OSError."""
    own = pid_namespace()
    for name in os.listdir(directory):
        match = _NAME_PATTERN.fullmatch(name)
        if match is None or int(match[1]) != own:  # the pids of another container mean nothing here
            continue
        if start_time(int(match[2])) != int(match[3]):
            _unlink(os.path.join(directory, name))


def _record(file: File) -> bytes:
    text = b"%d %d %d %s" % (file.size, file.mtime_ns, file.ctime_ns, os.fsencode(file.path))
    return hashlib.blake2b(text, digest_size=_RECORD_BYTES).digest()


def _read(fd: int) -> NDArray[np.uint64] | None:
    """The records, sorted; None when there are none."""
    with open(fd, "rb", closefd=False) as file:
        data = file.read()
    if len(data) < _RECORD_BYTES:
        return None
    import numpy as np  # dozens of milliseconds, and a job that begins has no use for it

    return np.sort(np.frombuffer(data[: len(data) // _RECORD_BYTES * _RECORD_BYTES], "<u8"))


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # somebody else was first
