"""The threads that ask the source: each pulls a fetch from the core, does it, and ends it exactly once.

Threads: two at first. A thread that takes a fetch is told how many threads are missing, for queued fetches and for one
to be ready. It starts one or two of them before it turns to its fetch; those do the same. So a fetch that comes alone
never waits for a thread to be made, and a burst doubles the threads with each step. Those that stay idle end. They are
daemon threads, because a thread that hangs in a source cannot be ended: its process must be able to exit without it.
The core keeps data from taking every thread (`fetchers` and `metadata_fetchers` of its options); their sum is the
maximum here.

Order of the end: `Core.stop()`, then `Fetchers.stop()`, then `Source.close()`.

Ending a fetch: the handlers below either raise before they answered, and `_serve` fails the fetch, or answer. An
answer that the core finds malformed (ValueError) has ended the fetch with EIO.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Protocol

from alluxio_jnifuse import _core
from alluxio_jnifuse.errors import (
    AlluxioFuseError,
    CorruptContents,
    MountError,
    SourceError,
    forget_frames,
    known_errno,
)
from alluxio_jnifuse.sources import doing
from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.sources.base import Attr, OpenFile, Source

log = logging.getLogger(__name__)

_MIN_THREADS = 2  # one at work and one ready
_GROW_BY = 2  # by one it would be a chain, as slow as the scheduler at each link; by more, the fetch at hand waits
_IDLE_S = 30.0  # how long a thread beyond those waits before it ends
_RETRY_S = 1.0  # between attempts to make a thread while the process table is full

# By number, as in csrc/source/fetch.h.
KINDS = ("stat", "list", "readlink", "statfs", "open", "read", "close", "forget")


class FetchQueue(Protocol):
    """The part of `_core.Core` that is used here."""

    def next_fetch(self, timeout: float, ended: list[_core.Fetch]) -> tuple[_core.Fetch | None, int]: ...


class Fetchers:
    """The threads between one mount's core and its source: up to `maximum` at work, as many again lost in it."""

    def __init__(
        self, core: FetchQueue, source: Source, maximum: int, obey: Callable[[bytes], Attr | None] | None = None
    ) -> None:
        """`obey`: what to ask before the source about a path: attributes, if it is a command (commands.py)."""
        self._core = core
        self._source = source
        self._obey = obey
        # The core keeps no more than `maximum` at work; threads it has given up, lost in the source, come on top.
        self._maximum = max(2 * maximum, _MIN_THREADS)
        self._kinds: dict[int, Callable[[_core.Fetch], None]] = {
            _core.READ: self._read,
            _core.STAT: self._stat,
            _core.LIST: self._list,
            _core.READLINK: self._readlink,
            _core.STATFS: self._statfs,
            _core.OPEN: self._open,
            _core.CLOSE: self._close,
            _core.FORGET: self._forget,
        }

        source.check_wanted = self._check_wanted
        self._lock = threading.Lock()  # guards what follows; no call into core or source under it
        self._arrived = threading.Condition(self._lock)
        self._threads: set[threading.Thread] = set()
        self._starting = 0  # threads that are being made, and have not put themselves among the others
        self._started = 0
        self._stopping = False
        self._crowded_until = 0.0  # monotonic time before which no thread is made
        self._crowded_logged = False
        self._lacking = False  # a thread was not made that should have been
        self._handles: dict[int, object] = {}  # a lookup alone needs no lock
        self._last_handle = 0  # the core's 0 is "no handle"

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return len(self._threads) + self._starting

    def steps(self) -> list[doing.Step]:
        """Tells what each thread does now; the one that has been at it for the longest comes first."""
        with self._lock:
            idents = [thread.ident for thread in self._threads if thread.ident is not None]
        return doing.steps(idents)

    @property
    def open_handles(self) -> int:
        """How many of the source's handles the core holds."""
        return len(self._handles)

    def start(self) -> None:
        """Starts the first threads. Raises MountError when the process may not have a single one."""
        for _ in range(_MIN_THREADS):
            self._start_one(_MIN_THREADS)
        if not self.threads:
            raise MountError("no thread can be started", remedy="raise the limit of processes (ulimit -u)")

    def stop(self, timeout: float) -> int:
        """Waits up to `timeout` s for the threads to end, and returns how many are still inside the source.

        The core has been stopped before. The last thread to end closes the handles that are still open.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            self._stopping = True
            self._arrived.wait_for(lambda: not self._starting, timeout)
            threads, starting = list(self._threads), self._starting
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return sum(thread.is_alive() for thread in threads) + starting

    # ------------------------------------------------------------------------------------------------ threads

    def _grow(self, missing: int) -> None:
        """Starts some of the threads that are missing."""
        for _ in range(min(missing, _GROW_BY)):
            self._start_one(missing)

    def _start_one(self, missing: int) -> None:
        """Starts one more thread, unless as many as are missing are being made already, or there may be no more."""
        with self._lock:
            if self._stopping or self._starting >= missing or self.threads >= self._maximum:
                return
            if time.monotonic() < self._crowded_until:
                self._lacking = True
                return
            self._starting += 1
            self._started += 1
            name = f"fetcher-{self._started}"
        try:
            start_thread(name, self._run)  # waits until it runs; without the lock, so that others can start theirs
        except MountError as exc:
            self._refused(exc)

    def tend(self) -> None:
        """Makes a thread where that failed before. The others come to it only when they do not hang. Any thread."""
        with self._lock:
            lacking = self._lacking and time.monotonic() >= self._crowded_until
            if lacking:
                self._lacking = False
        if lacking:
            self._start_one(self._starting + 1)

    def _refused(self, exc: Exception) -> None:
        """There is one thread less than was meant, and for a while no more are tried."""
        with self._lock:
            self._starting -= 1
            self._arrived.notify_all()
            self._crowded_until = time.monotonic() + _RETRY_S
            self._lacking = True
            first = not self._crowded_logged
            self._crowded_logged = True
        if first:
            log.warning("no more fetcher threads than %d for now: %s", self.threads, exc)

    def _arrive(self) -> None:
        """Puts the calling thread on the list."""
        with self._lock:
            self._starting -= 1
            self._threads.add(threading.current_thread())
            self._arrived.notify_all()

    def _run(self) -> None:
        next_fetch = self._core.next_fetch
        present = doing.present()
        ended: list[_core.Fetch] = []  # the last one, which is given back when the next one is taken
        self._arrive()
        try:
            while not self._stopping:
                fetch, missing = next_fetch(_IDLE_S, ended)
                if fetch is None:
                    # However many threads there are, all others may hang in the source.
                    if not missing and self._leave(only_if_surplus=True):
                        return
                    continue
                if missing and len(self._threads) < self._maximum:
                    self._grow(missing)
                self._serve(fetch, present)
                if fetch.in_use:
                    _give_back(fetch)
                else:
                    ended.append(fetch)
                del fetch
        except _core.Stopped:
            self._stopping = True
        finally:
            ended.clear()
            doing.leave()
            self._leave()

    def _leave(self, only_if_surplus: bool = False) -> bool:
        """Takes the calling thread off the list; returns whether it is off. The last one at the end tidies up."""
        me = threading.current_thread()
        with self._lock:
            if me not in self._threads or (only_if_surplus and len(self._threads) <= _MIN_THREADS):
                return False
            self._threads.discard(me)
            orphans = [] if self.threads or not self._stopping else list(self._handles.values())
            if orphans:
                self._handles.clear()
        for handle in orphans:
            try:
                self._source.close_file(handle)
            except Exception as exc:
                log.debug("closing a handle of %s at the end: %r", self._source, exc)
        return True

    # --------------------------------------------------------------------------------------------- one fetch

    def _serve(self, fetch: _core.Fetch, present: doing.Doing) -> None:
        try:
            present.begin(fetch)
            self._kinds[fetch.kind](fetch)
        except BaseException as exc:  # whatever a source raises, its fetch is ended and this thread lives on
            err = errno.EIO
            try:
                err = self._explain(fetch, exc)
            finally:
                fetch.fail(err)
                forget_frames(exc)
        finally:
            present.fetch = None

    def _check_wanted(self) -> None:
        """For the source, between its questions; raises Cancelled. Its own threads are always wanted."""
        fetch = doing.fetch()
        if fetch is not None:
            fetch.check_wanted()

    def _explain(self, fetch: _core.Fetch, exc: BaseException) -> int:
        """The errno for a failure; leaves a log line when there is none that describes it."""
        if isinstance(exc, _core.Cancelled):
            return errno.ECANCELED
        if isinstance(exc, CorruptContents):
            self._complain(fetch, exc)
            return errno.EBADMSG  # the core drops what came before
        err = known_errno(exc)
        # The core asks again for what it has cancelled itself: a source's own ECANCELED would have it ask for ever.
        if err is None or err == errno.ECANCELED:
            self._complain(fetch, exc)
            return errno.EIO
        return err

    def _answer(self, fetch: _core.Fetch, answer: Callable[..., None], *args: object) -> bool:
        """Answers, and returns whether the core took it; if not, the fetch has been failed."""
        try:
            answer(*args)
        except ValueError as exc:
            self._complain(fetch, exc)
            return False
        return True

    def _read(self, fetch: _core.Fetch) -> None:
        offset, length = fetch.offset, fetch.length
        buffer = memoryview(fetch)
        if not fetch.handle:
            filled = self._source.read_small(fetch.path, fetch.version, fetch.size, offset, buffer, fetch.progress)
        else:
            handle = self._handles.get(fetch.handle)
            if handle is None:
                raise SourceError(f"read of a handle that is not open: {fetch.handle}")
            filled = self._source.read_into(handle, offset, buffer, fetch.progress)
        buffer.release()  # before the bytes are called final: a source that kept it cannot change them
        wanted = min(length, max(0, fetch.size - offset))
        if type(filled) is not int or not wanted <= filled <= length:
            raise SourceError(f"read_into returned {filled!r} where {wanted} to {length} bytes were due")
        if filled == length:
            fetch.complete()
        else:
            fetch.done(filled)

    def _stat(self, fetch: _core.Fetch) -> None:
        answer = self._obey(fetch.path) if self._obey is not None else None
        if answer is None:
            answer = self._source.stat(fetch.path)
            if fetch.version and fetch.version != answer.version:  # of a file that is open
                grown = self._source.grown(fetch.path, fetch.version)
                if grown is not None:
                    self._answer(fetch, fetch.answer_grown, grown)
                    return
        self._answer(fetch, fetch.answer_attr, answer)

    def _list(self, fetch: _core.Fetch) -> None:
        fetch.check_wanted()  # it may have been waiting for long
        listing = self._source.list(fetch.path)
        self._answer(fetch, fetch.answer_list, listing.entries, listing.names)

    def _readlink(self, fetch: _core.Fetch) -> None:
        self._answer(fetch, fetch.answer_link, self._source.readlink(fetch.path))

    def _statfs(self, fetch: _core.Fetch) -> None:
        self._answer(fetch, fetch.answer_statfs, *self._source.statfs())

    def _open(self, fetch: _core.Fetch) -> None:
        opened = self._source.open(fetch.path, fetch.version)
        handle, version, size, extents, attr = opened
        if version != fetch.version:
            self._discard(opened)
            self._answer(fetch, fetch.answer_opened, 0, version, size, ())  # the core makes it ESTALE
            return
        handle_id = 0 if handle is None else self._remember(handle)
        answered = False
        try:
            answered = self._answer(fetch, fetch.answer_opened, handle_id, version, size, extents, attr)
        finally:
            if not answered and handle is not None:
                with self._lock:
                    self._handles.pop(handle_id, None)
                self._source.close_file(handle)

    def _forget(self, fetch: _core.Fetch) -> None:
        self._source.forget(fetch.path)
        fetch.done()

    def _close(self, fetch: _core.Fetch) -> None:
        with self._lock:
            handle = self._handles.pop(fetch.handle, None)
        if handle is not None:
            self._source.close_file(handle)
        fetch.done()

    # ----------------------------------------------------------------------------------------------- helpers

    def _remember(self, handle: object) -> int:
        with self._lock:
            self._last_handle += 1
            self._handles[self._last_handle] = handle
            return self._last_handle

    def _discard(self, opened: OpenFile) -> None:
        """Gives back what was opened and is not wanted."""
        for extent in opened.extents:
            os.close(extent.fd)
        if opened.handle is not None:
            self._source.close_file(opened.handle)

    def _complain(self, fetch: _core.Fetch, exc: BaseException) -> None:
        """The one log line of a failure that no errno describes."""
        kind = KINDS[fetch.kind]
        path = os.fsdecode(fetch.path)  # as repr: a name may hold line breaks
        what = str(exc) if isinstance(exc, AlluxioFuseError) else f"{type(exc).__name__}: {exc}"
        what = what.replace("\n", " ")
        log.error("%s %r offset %d, %s: %s%s", kind, path, fetch.offset, self._source, what, _raised_at(exc))


def _give_back(fetch: _core.Fetch) -> None:
    """Lets the core use the range again, though there may still be references to the fetch."""
    try:
        fetch.release()
    except BufferError:
        log.warning("%r: the source kept the buffer of a read; its range stays reserved until it lets go", fetch.path)


def _raised_at(exc: BaseException) -> str:
    """Returns where an exception came from, as `` (file.py:12)``."""
    traceback = exc.__traceback__
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f" ({os.path.basename(traceback.tb_frame.f_code.co_filename)}:{traceback.tb_lineno})"
