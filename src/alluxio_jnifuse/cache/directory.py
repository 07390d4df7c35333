"""A directory of ours within a cache directory: one mount's at a time, and nobody else's files are touched.

`<cache directory>/alluxio-jnifuse/<STORE>/` holds `lock` (locked while a mount uses it, with its process id) and
`format`; the rest is the store's. A directory whose format is another one of ours is emptied: it is only a cache. One
that holds something and no format of ours is left alone.

Nobody but root and this user can change what the path means (trusted.py), and what is in the directory is for this user
alone: names in it may be relied on.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.system import trusted

log = logging.getLogger(__name__)

NAME = "alluxio-jnifuse"
_PROPERTY = "alluxio.user.client.cache.dirs"
_LOCK, _FORMAT = "lock", "format"
_NEW_FORMAT = f"{_FORMAT}.new"
_ANY_FORMAT = "alluxio-jnifuse client cache, "  # how the formats of all versions begin
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


class CacheDirectory:
    """The locked directory `path`; `fd` is open on it until `close`. `form`: what `format` holds.

    Raises MountError when it cannot be made or written, is not ours, could be replaced by somebody else, or is used by
    another mount.
    """

    def __init__(self, parent: str, store: str, form: str) -> None:
        self.path = os.path.join(parent, NAME, store)
        self.fd = self._lock = -1
        try:
            outer = trusted.open_directory(parent, make=True)
            try:
                ours = _own_directory(NAME, outer)
            finally:
                os.close(outer)
            try:
                self.fd = _own_directory(store, ours)
            finally:
                os.close(ours)
            found = self._look()
            os.fchmod(self.fd, 0o700)
            self._take(parent)
            if found != form:
                self._prepare(form, found)
        except OSError as error:
            self.close()
            raise unusable(parent, error) from error
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
        self._lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600, dir_fd=self.fd)
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

    def _look(self) -> str:
        """The format of the directory; "" when it is a new one. Raises MountError when it is none of ours."""
        found = self._read_format()
        names = self._names()
        if names and not found.startswith(_ANY_FORMAT):
            raise MountError(
                f"holds {names[0]!r} and no {_FORMAT} of a client cache: it is not emptied",
                where=self.path,
                remedy=f"remove it if nobody needs it, or set {_PROPERTY} to another directory",
            )
        return found

    def _names(self) -> list[str]:
        return sorted(name for name in os.listdir(self.fd) if name not in (_LOCK, _FORMAT, _NEW_FORMAT))

    def _prepare(self, form: str, found: str) -> None:
        """Makes it an empty directory of the format `form`."""
        if found:
            log.warning("%s: of another version (%r), emptied", self.path, found.strip())
        for name in self._names():
            remove(os.path.join(self.path, name))
        fd = os.open(_NEW_FORMAT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS, 0o600, dir_fd=self.fd)
        try:
            os.write(fd, form.encode())
            os.fsync(fd)  # or after a loss of power there might be a name without contents
        finally:
            os.close(fd)
        os.rename(_NEW_FORMAT, _FORMAT, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def _read_format(self) -> str:
        try:
            fd = os.open(_FORMAT, os.O_RDONLY | _FLAGS, dir_fd=self.fd)
        except FileNotFoundError:
            return ""
        try:
            return os.read(fd, 256).decode("ascii", "replace")
        finally:
            os.close(fd)


def _own_directory(name: str, parent: int) -> int:
    """Opens a directory that nobody else may write to, and makes it if need be. Raises OSError."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        pass
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _FLAGS, dir_fd=parent)
    status = os.fstat(fd)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        os.close(fd)
        raise PermissionError(errno.EPERM, f"{name}/ in it belongs to another user, or others may write to it")
    return fd


def remove(path: str) -> None:
    """Removes a file, or a directory with all that is in it. Raises OSError."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def unusable(parent: str, error: OSError) -> MountError:
    """Returns the error for a user whose cache directory fails at the mount."""
    return MountError(
        f"cannot be used for the client cache: {error.strerror or error}",
        where=parent,
        remedy=f"set {_PROPERTY} to a directory that can be written, or the store to MEMORY",
    )
