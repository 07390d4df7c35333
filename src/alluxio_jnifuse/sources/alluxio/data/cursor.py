"""The position of one call of a worker in a block, and its waiting threads: see reader.py, whose lock guards it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.alluxio.data.attempts import Attempt, FileBlocks
    from alluxio_jnifuse.sources.alluxio.workers.link import BlockCall


class Cursor:
    """The call belongs to the thread whose turn it is; who ends a turn wakes the next one."""

    __slots__ = (
        "attempt", "began", "busy", "call", "dead", "index", "number", "passed", "passes", "position", "promised",
        "skips", "start", "used_at", "waiting",
    )  # fmt: skip

    def __init__(self, index: int, start: int, promised: int, *, skips: bool = False) -> None:
        self.index = index
        self.start = start
        self.position = start  # what is taken next
        self.promised = promised  # up to where ranges are promised to threads
        self.skips = skips  # a range need not begin where another one ends: what is between is set aside
        self.busy = True
        self.dead = False
        self.number = 0  # in the order in which they were made
        self.call: BlockCall | None = None
        self.began = start  # where the call begins
        self.attempt: Attempt | None = None  # that the call is of
        self.waiting: dict[int, threading.Condition] = {}  # for their turn, by where their ranges begin
        self.passes: tuple[int, int] | None = None  # the bytes that the thread whose turn it is sets aside just now
        self.passed: list[threading.Condition] = []  # of the threads that wait for some of them
        self.used_at = time.monotonic()

    def is_turn_of(self, within: int) -> bool:
        """Whether the range at `within`, for which a thread waits, is next."""
        if self.busy:
            return False
        return self.position == within or (self.skips and self.position < within == min(self.waiting))

    def wake(self) -> None:
        """Wakes the thread that is next, or one whose bytes were set aside."""
        turn = self.waiting.get(min(self.waiting) if self.skips and self.waiting else self.position)
        if turn is not None:
            turn.notify()

    def has_passed(self) -> None:
        """Wakes those that wait for what was set aside, or for what could not be."""
        self.passes = None
        for each in self.passed:
            each.notify()

    def finish(self) -> None:
        """Ends the call. Idempotent."""
        call, self.call = self.call, None
        if call is not None:
            call.finish()

    def leave(self, blocks: FileBlocks) -> None:
        """Ends the call when no more of it is wanted, or all came. Idempotent."""
        if self.call is None or self.began or self.attempt is None or not self.attempt.from_ufs:
            self.finish()
        else:
            call, self.call = self.call, None
            blocks.leave(self.index, call)


class Aside:
    """Bytes of blocks that a cursor came past before the thread came that they are for; so many at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[tuple[int, int], tuple[memoryview, bool]] = {}  # by block and place

    def has_room(self, count: int) -> bool:
        return count + sum(len(data) for data, _ in self._kept.values()) <= self._most

    def put(self, index: int, within: int, data: memoryview, unverified: bool) -> None:
        self._kept[index, within] = (data, unverified)

    def take(self, index: int, within: int, most: int) -> tuple[memoryview, bool] | None:
        """The bytes at `within`, up to `most`, and whether they are to be verified; they are not kept any longer."""
        for (block, start), (data, unverified) in self._kept.items():
            if block == index and start <= within < start + len(data):
                at, end = within - start, min(within - start + most, len(data))
                del self._kept[block, start]
                if at:
                    self._kept[block, start] = (data[:at], unverified)
                if end < len(data):
                    self._kept[block, start + end] = (data[end:], unverified)
                return data[at:end], unverified
        return None


class Racer(NamedTuple):
    """A thread that waits for a cursor of a block to be promised up to `within`."""

    block: int
    within: int
    changed: threading.Condition
