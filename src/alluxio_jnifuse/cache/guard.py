"""Keeps a disk that fails or hangs from failing or hanging anybody else.

Everything that touches a store goes through its guard. Work that fails again and again, or that is not done in time,
closes the store for a while: what is asked of it then is refused at once. With a timeout, work runs in a thread of the
guard, and whoever wants it waits no longer than that; it must not touch memory of whoever may have gone by then, so
callers hand in buffers of their own (`scratch`).
"""

from __future__ import annotations

import errno
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.logs import LOGGER
from alluxio_jnifuse.threads import start_thread

T = TypeVar("T")

SCRATCH_BYTES = 1 << 20  # what is read at once: large enough to hide the hand-over

_PAUSE_S = 30.0  # how long a store that does not work is left alone
_FAILURES = 8  # in a row, after which it does not work
_COMPLAIN_S = 60.0  # between two lines of the log
_BACKLOG_BYTES = 64 << 20  # what may wait to be written by those who do not wait
_IDLE_S = 30.0  # after which a thread without work ends


class Refused(OSError):
    """The store is closed for a while; the work was not begun."""


class Hanging(OSError):
    """The work was not done in time, and was given up."""


class _Task(Generic[T]):
    """Work under way; `done` is released when it has a result or an error.

    Work that is given up is not begun any more, unless it `must`; what it results in nevertheless is undone.
    """

    def __init__(self, work: Callable[[], T], undo: Callable[[T], object] | None, must: bool) -> None:
        self.done = threading.Lock()
        self.done.acquire()
        self.result: T
        self.error: BaseException | None = None
        self._work = work
        self._undo = undo
        self._must = must
        self._lock = threading.Lock()  # guards what follows
        self._given_up = False
        self._ended = False

    def run(self) -> None:
        """In a thread of the guard."""
        if self._given_up and not self._must:
            return
        try:
            self.result = self._work()
        except BaseException as error:  # it belongs to whoever waits
            self.error = error
        with self._lock:
            self._ended = True
        if self._given_up and self.error is None and self._undo is not None:
            self._undo(self.result)
        self.done.release()

    def give_up(self) -> bool:
        """Whether it is given up: False when it has ended meanwhile."""
        with self._lock:
            self._given_up = not self._ended
        return self._given_up


class Guard:
    """Of the store that `name` names. `timeout`: s, 0 = none, with at most `threads` threads. Any thread."""

    def __init__(self, name: str, timeout: float, threads: int) -> None:
        self.errors = 0
        self.timeouts = 0
        self._name = name
        self._timeout = timeout
        self._max_threads = threads
        self._lock = threading.Lock()  # guards what follows
        self._failures = 0  # in a row
        self._closed_until = 0.0  # monotonic, s
        self._complained = -_COMPLAIN_S  # monotonic, s
        self._threads = 0
        self._idle = 0
        self._backlog = 0  # bytes
        self._tasks: queue.SimpleQueue[_Task[Any]] = queue.SimpleQueue()
        self._scratch: list[memoryview] = []

    @property
    def copies(self) -> bool:
        """Whether work may outlive its caller, and so needs buffers of its own."""
        return self._timeout > 0

    def run(self, work: Callable[[], T], undo: Callable[[T], object] | None = None, must: bool = False) -> T:
        """Does it. Raises OSError: of the work itself, Refused while the store is closed, Hanging.

        `undo`: takes what the work results in when nobody waits for that any more. `must`: work that was accepted is
        done however long it waits.
        """
        if time.monotonic() < self._closed_until:
            raise Refused(errno.EAGAIN, "the store is left alone for a while")
        if self._timeout <= 0:
            return self.run_here(work)
        return self.run_here(lambda: self._run_in_time(_Task(work, undo, must)))

    def run_here(self, work: Callable[[], T]) -> T:
        """Does it in this thread, however long it takes. Raises OSError."""
        try:
            result = work()
        except OSError as error:
            self._failed(error)
            raise
        self._failures = 0
        return result

    def start(self, work: Callable[[], object], size: int) -> bool:
        """Has it done some time, with `size` bytes of memory until then; False when too much waits already."""

        def counted() -> None:
            try:
                self.run_here(work)
            except OSError:
                pass
            finally:
                with self._lock:
                    self._backlog -= size

        with self._lock:
            if self._backlog + size > _BACKLOG_BYTES or time.monotonic() < self._closed_until:
                return False
            self._backlog += size
        self._tasks.put(_Task(counted, None, must=True))
        try:
            self._have_thread()
        except Refused:
            pass  # another thread comes to it
        return True

    def scratch(self) -> memoryview:
        """A buffer of SCRATCH_BYTES; `give_back` it when nobody else can be using it."""
        try:
            return self._scratch.pop()
        except IndexError:
            return memoryview(bytearray(SCRATCH_BYTES))

    def give_back(self, scratch: memoryview) -> None:
        """A buffer is free again. One that work was given up with is not given back."""
        self._scratch.append(scratch)

    def complain(self, error: OSError) -> None:
        """Tells the log, unless it was told a moment ago."""
        with self._lock:
            now = time.monotonic()
            if now < self._complained + _COMPLAIN_S:
                return
            self._complained = now
        LOGGER.warning("client cache %s: %s; reads go to the storage meanwhile", self._name, error.strerror or error)

    def _failed(self, error: OSError) -> None:
        hung = isinstance(error, Hanging)
        with self._lock:
            self.errors += 1
            self.timeouts += hung
            self._failures += 1
            if hung or self._failures >= _FAILURES:
                self._failures = 0
                self._closed_until = time.monotonic() + _PAUSE_S
        self.complain(error)

    def _run_in_time(self, task: _Task[T]) -> T:
        self._tasks.put(task)
        self._have_thread()
        if not task.done.acquire(timeout=self._timeout) and task.give_up():
            raise Hanging(errno.ETIMEDOUT, f"did not answer for {self._timeout:g} s")
        if task.error is not None:
            raise task.error
        return task.result

    def _have_thread(self) -> None:
        with self._lock:
            if self._idle >= self._tasks.qsize() or self._threads >= self._max_threads:
                return
            self._threads += 1
        try:
            start_thread("cache-disk", self._serve)
        except MountError as error:
            with self._lock:
                self._threads -= 1
                if self._threads:
                    return
            raise Refused(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            try:
                task = self._tasks.get(timeout=_IDLE_S)
            except queue.Empty:
                task = None
            with self._lock:
                self._idle -= 1
                if task is None and self._tasks.empty():
                    self._threads -= 1
                    return
            if task is not None:
                task.run()
            del task
