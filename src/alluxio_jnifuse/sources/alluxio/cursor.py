"""Where one call of a worker stands in a block, and who waits for it: see reader.py, whose lock guards it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.alluxio.attempts import Attempt
    from alluxio_jnifuse.sources.alluxio.link import BlockCall


class Cursor:
    """The call belongs to the thread whose turn it is; who ends a turn wakes the next one."""

    __slots__ = (
        "attempt", "busy", "call", "dead", "index", "number", "position", "promised", "start", "used_at", "waiting",
    )  # fmt: skip

    def __init__(self, index: int, start: int, promised: int) -> None:
        self.index = index
        self.start = start
        self.position = start  # what is taken next
        self.promised = promised  # up to where ranges are promised to threads
        self.busy = True
        self.dead = False
        self.number = 0  # in the order in which they were made
        self.call: BlockCall | None = None
        self.attempt: Attempt | None = None  # that the call is of
        self.waiting: dict[int, threading.Condition] = {}  # for their turn, by where their ranges begin
        self.used_at = time.monotonic()

    def finish(self) -> None:
        """Ends the call. Idempotent."""
        call, self.call = self.call, None
        if call is not None:
            call.finish()


class Racer(NamedTuple):
    """Who waits for a cursor of a block to be promised up to `within`."""

    block: int
    within: int
    changed: threading.Condition
