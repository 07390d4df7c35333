"""Cancels calls that keep silent: gRPC knows the end of a whole call, and waits for each of its messages for ever.

Threads: any. One daemon thread, which exists while there is something to watch; the lock is not held when it cancels.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Watch:
    """One wait for a message; `expired`: it was cancelled."""

    __slots__ = ("cancel", "deadline", "expired")

    def __init__(self, cancel: Callable[[], None], deadline: float) -> None:
        self.cancel = cancel
        self.deadline = deadline
        self.expired = False


class Watchdog:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._watches: set[Watch] = set()  # lock
        self._looks_at = 0.0  # when the thread looks next; lock
        self._running = False  # lock

    @contextmanager
    def watch(self, cancel: Callable[[], None], patience: float) -> Iterator[Watch]:
        """Calls `cancel` unless it is left within `patience` seconds."""
        watch = Watch(cancel, time.monotonic() + patience)
        with self._change:
            if not self._running:
                start_thread("watchdog", self._run)  # it waits for the lock
                self._running = True
            elif watch.deadline < self._looks_at:
                self._change.notify()
            self._watches.add(watch)
        try:
            yield watch
        finally:
            with self._change:
                self._watches.discard(watch)

    def _run(self) -> None:
        while True:
            with self._change:
                now = time.monotonic()
                silent = [watch for watch in self._watches if watch.deadline <= now]
                self._watches.difference_update(silent)
                if not silent:
                    if not self._watches:
                        self._running = False
                        return
                    self._looks_at = min(watch.deadline for watch in self._watches)
                    self._change.wait(self._looks_at - now)
            for watch in silent:
                watch.expired = True
                watch.cancel()
