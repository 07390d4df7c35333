"""Keeps a disk that fails or hangs from failing or hanging anybody else.

Everything that touches a store goes through its guard. A kind of work that fails again and again, or any that is not
done in time, closes the store for a while: what is asked of it then is refused at once. After that time one caller at a
time tries it, and as long as that fails the pauses become longer.

With a timeout, work runs in a thread of the guard, and its caller waits no longer than that. The work must not touch
memory of a caller that may have gone by then, so callers hand in `buffers`. They are freed when the last thread has
been without work for long.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from alluxio_jnifuse.cache.buffers import Buffers
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.sources import doing
from alluxio_jnifuse.sources.backoff import Backoff
from alluxio_jnifuse.system.threads import start_thread

log = logging.getLogger(__name__)

T = TypeVar("T")

_PAUSE_S = 30.0  # how long a store that does not work is left alone at first; twice as long each time, up to
_LONGEST_PAUSE_S = 600.0
_FAILURES = 8  # of one kind in a row, after which the store does not work
_COMPLAIN_S = 60.0  # between two lines of the log
_BACKLOG_BYTES = 64 << 20  # what may wait to be written by those who do not wait
_IDLE_S = 30.0  # after which a thread without work ends


class Refused(OSError):
    """The store is closed for a while; the work was not begun."""


class Hanging(OSError):
    """The work was not done in time, and was given up. `begun`: it is still under way."""

    def __init__(self, timeout: float, begun: bool) -> None:
        super().__init__(errno.ETIMEDOUT, f"the disk did not answer for {timeout:g} s")
        self.begun = begun


def nothing(result: object = None) -> None:
    """There is nothing to undo, and nothing to do afterwards."""


class _Task(Generic[T]):
    """Work under way; `done` is released when it has a result or an error.

    Work that is given up before it is begun is not begun any more; what it results in otherwise is undone. `after` is
    called once, when the work has ended or will not begin.
    """

    def __init__(self, work: Callable[[], T], undo: Callable[[T], object], after: Callable[[], object]) -> None:
        self.done = threading.Lock()
        self.done.acquire()
        self.result: T
        self.error: BaseException | None = None
        self._work: Callable[[], T] | None = work
        self._undo = undo
        self._after = after
        self._lock = threading.Lock()  # guards what follows
        self._begun = False
        self._given_up = False
        self._ended = False

    def run(self) -> None:
        """In a thread of the guard. Raises nothing."""
        with self._lock:
            work, self._work = self._work, None
            if work is None:
                return
            self._begun = True
        try:
            self.result = work()
        except BaseException as error:  # it belongs to the caller that waits
            self.error = error
        with self._lock:
            self._ended = True
        try:
            if self._given_up and self.error is None:
                self._undo(self.result)
            self._after()
        except OSError:
            pass  # as a caller that gave it up would find
        except Exception:
            log.exception("client cache: after the end of some work")  # the thread lives on
        self.done.release()

    def give_up(self) -> bool | None:
        """Whether it was begun; None when it has ended meanwhile."""
        with self._lock:
            if self._ended:
                return None
            self._given_up = True
            self._work = None
            begun = self._begun
        if not begun:
            self._after()
        return begun


class Guard:
    """Of the store that `name` names. `timeout`: s, 0 = none, with at most `threads` threads. Any thread."""

    def __init__(self, name: str, timeout: float, threads: int) -> None:
        self.errors = 0
        self.timeouts = 0
        self._name = name
        self._where = f"the client cache in {name}"
        self._timeout = timeout
        self._max_threads = threads
        self._lock = threading.Lock()  # guards what follows
        self._done = threading.Condition(self._lock)  # nothing is pending
        self._failures: dict[str, int] = {}  # in a row, by kind of work
        self._closed_until = 0.0  # monotonic, s
        self._pauses = Backoff(_PAUSE_S, _LONGEST_PAUSE_S)
        self._pause_s = 0.0  # the last one; 0: the store works
        self._trying = False  # somebody looks whether it works again
        self._complained = -_COMPLAIN_S  # monotonic, s
        self._threads = 0
        self._free = 0  # threads without work, less those that work was put in the queue for
        self._pending = 0  # tasks in the queue or under way
        self._backlog = 0  # bytes
        self._tasks: queue.SimpleQueue[_Task[Any]] = queue.SimpleQueue()
        self.buffers = Buffers()

    @property
    def copies(self) -> bool:
        """Whether work may outlive its caller, and so needs buffers of its own."""
        return self._timeout > 0

    @property
    def is_closed(self) -> bool:
        """Whether anything would be refused now."""
        return time.monotonic() < self._closed_until or (self._pause_s > 0 and self._trying)

    def run(
        self,
        kind: str,
        work: Callable[[], T],
        undo: Callable[[T], object] = nothing,
        after: Callable[[], object] = nothing,
    ) -> T:
        """Does it. Raises OSError: of the work itself, Refused while the store is closed, Hanging.

        `kind`: failures of a kind are counted together. `undo`: takes what the work results in when nobody waits for
        that any more. `after`: called once, in any thread, when nothing is under way any more; also when this raises.
        """
        try:
            trying = self._enter()
        except Refused:
            after()
            raise
        before = doing.asking(self._where)
        try:
            if self._timeout > 0:
                result = self._run_in_time(_Task(work, undo, after))
            else:
                try:
                    result = work()
                finally:
                    after()
        except OSError as error:
            self._failed(kind, error, trying)
            raise
        except BaseException:
            self._worked(kind, trying)
            raise
        finally:
            doing.asking(before)
        self._worked(kind, trying)
        return result

    def start(self, work: Callable[[], object], size: int = 0) -> bool:
        """Has it done some time, with `size` bytes of memory until then; False when too much waits already.

        Without a timeout what needs no memory is done here and now, and its OSErrors are nobody's. Those of the others,
        which write, count as in `run`.
        """
        if not size and self._timeout <= 0:
            _quietly(work)
            return True

        def counted() -> None:
            try:
                if size:
                    self._write(work)
                else:
                    _quietly(work)
            finally:
                with self._lock:
                    self._backlog -= size

        with self._lock:
            if size and (self._backlog + size > _BACKLOG_BYTES or self.is_closed):
                return False
            self._backlog += size
        try:
            self._put(_Task(counted, nothing, nothing))
        except Refused:
            pass  # another thread comes to it
        return True

    def _write(self, work: Callable[[], object]) -> None:
        trying = self._pause_s > 0
        try:
            work()
        except OSError as error:
            self._failed("write", error, trying)
        else:
            self._worked("write", trying)

    def wait_idle(self, timeout: float) -> bool:
        """Waits up to `timeout` s until its threads have done all; whether they have. Not while the store is closed."""
        with self._done:
            self._done.wait_for(lambda: not self._pending or self.is_closed, timeout)
            return not self._pending

    # ------------------------------------------------------------------------------------------ whether it works

    def _enter(self) -> bool:
        """Whether the caller is the one who looks whether the store works again. Raises Refused."""
        if not self._pause_s:
            return False
        with self._lock:
            if self.is_closed:
                raise Refused(errno.EAGAIN, "the store is left alone for a while")
            self._trying = self._pause_s > 0
            return self._trying

    def _worked(self, kind: str, trying: bool) -> None:
        if not trying and kind not in self._failures:
            return
        with self._lock:
            self._failures.pop(kind, None)
            if trying:
                self._trying = False
                self._pause_s = 0.0
                self._pauses.reset()

    def _failed(self, kind: str, error: OSError, trying: bool) -> None:
        with self._lock:
            hung = isinstance(error, Hanging)
            self.errors += 1
            self.timeouts += hung
            self._failures[kind] = self._failures.get(kind, 0) + 1
            if trying or hung or self._failures[kind] >= _FAILURES:
                self._trying = False
                self._failures.clear()
                if trying or not self._pause_s:
                    self._pause_s = self._pauses.next()
                self._closed_until = time.monotonic() + self._pause_s
            now = time.monotonic()
            if now < self._complained + _COMPLAIN_S:
                return
            self._complained = now
        log.warning("client cache %s: %s; reads go to the storage meanwhile", self._name, error.strerror or error)

    # --------------------------------------------------------------------------------------------------- threads

    def _run_in_time(self, task: _Task[T]) -> T:
        try:
            self._put(task)
        except Refused:
            task.give_up()
            raise
        if not task.done.acquire(timeout=self._timeout):
            begun = task.give_up()
            if begun is not None:
                raise Hanging(self._timeout, begun)
        error, task.error = task.error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # or it would keep this frame, and the callers' buffers, for the garbage collector to find
        return task.result

    def _put(self, task: _Task[Any]) -> None:
        """Hands it to a thread. Raises Refused when there is none, and there may be none: it waits for the next one."""
        with self._lock:
            self._pending += 1
            self._free -= 1
            more = self._free < 0 and self._threads < self._max_threads
            self._threads += more
            self._free += more
        self._tasks.put(task)
        if not more:
            return
        try:
            start_thread("cache-disk", self._serve)
        except MountError as error:
            with self._lock:
                self._threads -= 1
                self._free -= 1
                if self._threads:
                    return
            raise Refused(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error

    def _serve(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._free <= 0:
                        continue  # something was put in the queue for this thread just now
                    self._free -= 1
                    self._threads -= 1
                    if not self._threads:
                        self.buffers.drop()
                return
            task.run()
            del task
            with self._lock:
                self._pending -= 1
                self._free += 1
                if not self._pending:
                    self._done.notify_all()


def _quietly(work: Callable[[], object]) -> None:
    try:
        work()
    except OSError:
        pass
