"""A directory of ours within a cache directory: one mount's at a time, and nobody else's files are touched.

`<cache directory>/alluxio-jnifuse/<STORE>/` holds `lock` (locked while a mount uses it, with its process id) and
`format`; the rest is the store's. A directory of another format is emptied: it is all ours, and only a cache.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.logs import LOGGER

NAME = "alluxio-jnifuse"
_PROPERTY = "alluxio.user.client.cache.dirs"
_LOCK, _FORMAT = "lock", "format"


class CacheDirectory:
    """The locked directory `path`; `fd` is open on it until `close`.

    Raises MountError when it cannot be made or written, or another mount uses it.
    """

    def __init__(self, parent: str, store: str, form: str) -> None:
        self.path = os.path.join(parent, NAME, store)
        self._lock = -1
        try:
            os.makedirs(self.path, 0o700, exist_ok=True)
            self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unusable(parent, error) from error
        try:
            self._take(parent)
            self._prepare(form)
        except OSError as error:
            self.close()
            raise _unusable(parent, error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets others use it; idempotent."""
        for fd in (self._lock, self.fd):
            if fd >= 0:
                os.close(fd)
        self._lock = self.fd = -1

    def _take(self, parent: str) -> None:
        self._lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip()
            raise MountError(
                f"the client cache in it is used by another mount (process {holder or 'unknown'})",
                where=parent,
                remedy=f"give each mount a directory of its own ({_PROPERTY})",
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _prepare(self, form: str) -> None:
        """Empties the directory unless it is of this format; tries to write in any case."""
        found = self._read_format()
        if found != form:
            names = [name for name in os.listdir(self.fd) if name not in (_LOCK, _FORMAT)]
            if found or names:
                LOGGER.warning("%s: of another version (%r), emptied", self.path, found.strip())
            for name in names:
                _remove(os.path.join(self.path, name))
        with open(self._at(_FORMAT + ".new"), "w", encoding="ascii") as file:
            file.write(form)
        os.replace(self._at(_FORMAT + ".new"), self._at(_FORMAT))

    def _read_format(self) -> str:
        try:
            with open(self._at(_FORMAT), encoding="ascii", errors="replace") as file:
                return file.read(256)
        except FileNotFoundError:
            return ""

    def _at(self, name: str) -> str:
        return os.path.join(self.path, name)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _unusable(parent: str, error: OSError) -> MountError:
    return MountError(
        f"cannot be used for the client cache: {error.strerror or error}",
        where=parent,
        remedy=f"set {_PROPERTY} to a directory that can be written, or the store to MEMORY",
    )
