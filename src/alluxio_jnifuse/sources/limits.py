"""How large a listing may become while it is made: a server may never end one, a directory has any number of names.

The limit is that of one listing, and of all that are being made together. If that is not enough, the largest goes on
until it is done or refused, and the others wait for it; small ones never wait.

Threads: any. The lock is held for microseconds, except by threads that wait.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from alluxio_jnifuse.config.units import format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

OPTION = "listing_limit"
LISTING_BYTES = 512 << 20  # its default
_SMALL_BYTES = 1 << 20  # never wait: there are no more of them than threads
_LOOK_S = 0.5  # how often those who wait look whether they are wanted still


class Listings:
    """The listings of one source that are being made. `most`: bytes. `check` raises when nobody waits for this one."""

    def __init__(self, most: int, check: Callable[[], None]) -> None:
        self._most = most
        self._check = check
        self._changed = threading.Condition()  # guards what follows
        self._sizes: dict[object, int] = {}

    @contextmanager
    def one(self, path: bytes) -> Iterator[Callable[[int], None]]:
        """For a listing of `path`: what is given is told how large it has become, in bytes, each time some was added.

        That may wait, and raises what `check` raises, or OSError (EFBIG), which the log has a line for.
        """
        me = object()

        def grow(size: int) -> None:
            if size > self._most:
                log.error(
                    "the listing of %r is larger than %s; it can be raised with -o %s=SIZE",
                    os.fsdecode(path), format_size(self._most), OPTION,
                )  # fmt: skip
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
            self._grow(me, size)
            self._check()

        try:
            yield grow
        finally:
            with self._changed:
                self._sizes.pop(me, None)
                self._changed.notify_all()

    def _grow(self, me: object, size: int) -> None:
        with self._changed:
            self._sizes[me] = size
            while size > _SMALL_BYTES and not self._may_go_on(me):
                self._changed.wait(_LOOK_S)
                self._check()

    def _may_go_on(self, me: object) -> bool:
        largest = max(self._sizes, key=self._sizes.__getitem__)
        return largest is me or sum(self._sizes.values()) <= self._most
