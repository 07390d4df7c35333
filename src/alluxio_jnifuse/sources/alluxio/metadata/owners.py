"""The owners of files of the cluster on this machine.

Threads: everything here may be called from any thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable

UNKNOWN_ID = 65534  # uid and gid of names that this machine does not know

_MOST_NAMES = 4096  # remembered: a master may send a new one with each file
_UNKNOWN_FOR_S = 60.0  # how long a name stays unknown: the name service may have been out of order


class Owners:
    """Owners as this machine knows them. `uid`, `gid`: what everything shows; -1: whom the cluster's name means here.

    A name service may block; nothing is locked meanwhile.
    """

    def __init__(self, uid: int = -1, gid: int = -1, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._uid = uid
        self._gid = gid
        self._clock = clock
        self._uids: dict[str, tuple[int, float]] = {}  # by name: id, and until when it counts
        self._gids: dict[str, tuple[int, float]] = {}

    def ids(self, owner: str, group: str) -> tuple[int, int]:
        """The uid and gid to show for the cluster's `owner` and `group`."""
        uid, gid = self._uid, self._gid
        if uid < 0:
            uid = self._look_up(self._uids, owner, _uid_of)
        if gid < 0:
            gid = self._look_up(self._gids, group, _gid_of)
        return uid, gid

    def _look_up(self, known: dict[str, tuple[int, float]], name: str, find: Callable[[str], int]) -> int:
        found, until = known.get(name, (UNKNOWN_ID, 0.0))
        now = self._clock()
        if now >= until:
            try:
                found, until = find(name), float("inf")
            except (KeyError, OSError, ValueError):  # ValueError: a NUL in the name
                found, until = UNKNOWN_ID, now + _UNKNOWN_FOR_S
            if len(known) >= _MOST_NAMES:
                known.clear()
            known[name] = found, until
        return found


def _uid_of(name: str) -> int:
    import pwd

    return pwd.getpwnam(name).pw_uid


def _gid_of(name: str) -> int:
    import grp

    return grp.getgrnam(name).gr_gid
