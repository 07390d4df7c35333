"""Which domain sockets are a worker's.

The master says where a worker has its socket. While the worker is away, somebody else may listen there, if the path
leads through a directory in which everybody may make files; his bytes would be taken for the worker's. Such a socket is
used only if it, or what lies in that directory, belongs to root or to this user, and cannot be replaced (the sticky
bit). Elsewhere the owner of the directory was given it by a user who may, and is the worker.
"""

from __future__ import annotations

import logging
import os
import stat

from alluxio_jnifuse.system import trusted

log = logging.getLogger(__name__)

_MOST_KNOWN = 4096


class DomainSockets:
    """Any thread."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, int, int], bool]] = {}  # by path: which socket, and the verdict

    def usable(self, path: str) -> bool:
        """Whether there is a socket at an absolute path without `..`, which not just anybody can have made."""
        if not path.startswith("/") or os.path.normpath(path) != path:
            return False
        try:
            status = os.stat(path)
        except (OSError, ValueError):  # ValueError: a NUL
            return False
        if not stat.S_ISSOCK(status.st_mode):
            return False
        which = status.st_dev, status.st_ino, status.st_ctime_ns
        known = self._known.get(path)
        if known is None or known[0] != which:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[path] = which, _is_trusted(path)
        return known[1]


def _is_trusted(path: str) -> bool:
    try:
        trusted.check_place(path)
    except OSError as error:
        log.warning("the domain socket %s is not used: %s; the worker's port is", path, error.strerror)
        return False
    return True
