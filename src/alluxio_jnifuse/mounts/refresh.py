"""Has a running mount ask its storage again: for attributes and listings of a path and everything below it."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

from alluxio_jnifuse import _core
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import table

if TYPE_CHECKING:
    from collections.abc import Iterator

_ELSEWHERE = (errno.ENOTTY, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def refresh(path: str) -> None:
    """Returns once every look at `path`, or below it, is told what the storage says; a link is followed, too.

    Open files, working directories and what is mounted below stay what they are. Any user who may read the directory
    that `path` is in may do this. Raises MountError and OSError.
    """
    refreshed = False
    for directory, name in _steps(path):
        refreshed = _refresh(directory, name) or refreshed
    if not refreshed:
        raise MountError(
            "is not on a mount of ours", where=path, remedy="name files and directories of a running mount"
        )


def _steps(path: str) -> Iterator[tuple[str, str]]:
    """Returns the steps to `path`, each a directory and a name in it: every link, and the file at the end."""
    for _ in range(40):  # as many links as the kernel follows
        parent, name = os.path.split(os.path.abspath(path))
        parent = os.path.realpath(parent)
        whole = os.path.join(parent, name)
        if not name or table.top_at(whole) is not None:
            yield whole, ""
            return
        yield parent, name
        if not os.path.islink(whole):
            return
        path = os.path.join(parent, os.readlink(whole))


def _refresh(directory: str, name: str) -> bool:
    """Whether `directory` is on a mount of ours."""
    argument = os.fsencode(name)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _core.IOC_REFRESH, argument.ljust(_core.IOC_REFRESH_BYTES, b"\0"))
    except OSError as error:
        if error.errno in _ELSEWHERE:
            return False
        error.filename = os.path.join(directory, name)
        raise
    finally:
        os.close(fd)
    return True
