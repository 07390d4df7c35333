"""A store and its guard: what can be asked of a store without ever failing. Any thread.

A store that fails, hangs or is left alone looks as if nothing were stored. Each method is one
piece of work for the guard, since each may cost a change of threads. Work has a hold of its own on the file that it is
about: it may outlive its caller.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from alluxio_jnifuse.cache.guard import Guard, Hanging, nothing
from alluxio_jnifuse.cache.store import Store, StoredFile
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.system.threads import start_thread

log = logging.getLogger(__name__)

T = TypeVar("T")

READ_AT_ONCE_BYTES = 1 << 20  # large enough to hide the change of threads
_KEPT_AT_ONCE_BYTES = 4 << 20  # written in one go: a copy of them may lie in memory meanwhile
_FULL_TRIES = 2  # of a write on a full disk, before the last one
_STORE_CLOSING_S = 2.0  # at least, for the store's own end
_CLOSING_S = 10.0  # for what waits to be written; a slow disk takes that in a few seconds


class Found(NamedTuple):
    """A file that is stored as a whole: held, and lent as `fd` if that can be done."""

    held: StoredFile
    fd: int | None


class Place:
    """See the module's docstring. `writers`: of those who do not wait for what they store."""

    def __init__(self, store: Store, guard: Guard, writers: Guard | None = None) -> None:
        self.store = store
        self.guards = (guard, writers) if writers else (guard,)
        self._guard = guard
        self._writers = writers
        self._making_space = threading.Lock()

    # --------------------------------------------------------------------------------------------- files that are open

    def find(self, digest: bytes, lend: bool) -> Found | None:
        """A file that is stored as a whole, lent if `lend`. `let_go` it."""

        def work() -> Found | None:
            held = self.store.hold(digest)
            try:
                if held.is_complete():
                    return Found(held, held.lend() if lend else None)
            except BaseException:
                held.release()
                raise
            held.release()
            return None

        def undo(found: Found | None) -> None:
            if found is not None:
                if found.fd is not None:
                    os.close(found.fd)
                _release(found.held, found.fd is not None)

        return self._attempt("find", work, undo)

    def hold(self, digest: bytes, size: int) -> StoredFile | None:
        """See Store.hold. `let_go` it."""
        return self._attempt("hold", lambda: self.store.hold(digest, size), lambda held: held.release())

    def let_go(self, held: StoredFile, lent: bool = False) -> None:
        """Releases a file, taking it back if it was lent. Does not wait."""
        self._guard.start(lambda: _release(held, lent))

    def read(self, held: StoredFile, offset: int, buffer: memoryview) -> int | None:
        """How many bytes from the start of `buffer` on, READ_AT_ONCE_BYTES at most, were found; None: that failed."""
        if held.is_empty:
            return 0
        return self._read(held.read_into, offset, buffer, held)

    def gap_end(self, held: StoredFile, offset: int, end: int) -> int:
        """See StoredFile.gap_end; `end` when that fails."""
        if held.is_empty:
            return end
        found = self._attempt("look", lambda: held.gap_end(offset, end), held=held)
        return end if found is None else found

    def keep(self, held: StoredFile, offset: int, data: memoryview, generation: int) -> None:
        """See StoredFile.write."""
        self._keep(lambda at, piece: held.write(at, piece, generation), offset, data, held)

    # ------------------------------------------------------------------------------------------------------ small files

    def read_small(self, digest: bytes, size: int, offset: int, buffer: memoryview) -> int:
        """`hold`, `read` and `let_go` in one."""

        def read_into(at: int, into: memoryview) -> int:
            held = self.store.hold(digest, size)
            try:
                return held.read_into(at, into)
            finally:
                held.release()

        return self._read(read_into, offset, buffer) or 0

    def keep_small(self, digest: bytes, size: int, offset: int, data: memoryview, generation: int) -> None:
        """`hold`, `keep` and `let_go` in one."""

        def write(at: int, piece: memoryview) -> None:
            held = self.store.hold(digest, size)
            try:
                held.write(at, piece, generation)
            finally:
                held.release()

        self._keep(write, offset, data)

    # --------------------------------------------------------------------------------------------------------- all

    def disown(self, digest: bytes) -> None:
        """Marks the stored bytes of a file as wrong. From now on neither they nor earlier reads of them are used."""
        self.store.disown(digest)
        self._guard.start(lambda: self.store.drop_disowned(digest))

    def expire(self, age: float) -> None:
        """See Store.expire, of all of them."""
        while self._attempt("expire", lambda: self.store.expire(age)):
            pass

    def close(self) -> None:
        """Waits for what is going on there. Should that not end, the directory stays locked until the process does."""
        until = time.monotonic() + _CLOSING_S
        if all(guard.wait_idle(max(0.0, until - time.monotonic())) for guard in self.guards):
            try:
                closing = start_thread("cache-close", self.store.close)
            except MountError:
                return  # as after a kill
            closing.join(max(_STORE_CLOSING_S, until - time.monotonic()))
            if closing.is_alive():
                log.warning("client cache %s: it does not answer; it is left as it is", self.store)

    # ------------------------------------------------------------------------------------------------------ work

    def _attempt(
        self,
        kind: str,
        work: Callable[[], T],
        undo: Callable[[T], object] = nothing,
        held: StoredFile | None = None,
    ) -> T | None:
        """Returns the result of `work`, or None if the store does not do it."""
        try:
            return self._guard.run(kind, work, undo, _holding(held))
        except OSError:
            return None

    def _read(
        self,
        read_into: Callable[[int, memoryview], int],
        offset: int,
        buffer: memoryview,
        held: StoredFile | None = None,
    ) -> int | None:
        piece = buffer[:READ_AT_ONCE_BYTES]
        if not self._guard.copies:
            return self._attempt("read", lambda: read_into(offset, piece), held=held)
        if self._guard.is_closed:
            return None
        scratch = self._guard.buffers.take(len(piece))
        into = scratch[: len(piece)]
        found: int | None = None
        try:
            found = self._guard.run("read", lambda: read_into(offset, into), after=_holding(held))
            piece[:found] = scratch[:found]
        except Hanging as error:
            if error.begun:
                return None  # and the buffer is lost: the thread that hangs may still write to it
        except OSError:
            pass
        self._guard.buffers.give_back(scratch)
        return found

    def _keep(
        self,
        write: Callable[[int, memoryview], None],
        offset: int,
        data: memoryview,
        held: StoredFile | None = None,
    ) -> None:
        copies = self._guard.copies or self._writers is not None
        for at in range(0, len(data), _KEPT_AT_ONCE_BYTES):
            if self._guard.is_closed:
                return
            piece = data[at : at + _KEPT_AT_ONCE_BYTES]
            if copies:
                work = self._writing_a_copy(write, offset + at, piece)
            else:
                work = self._writing(write, offset + at, piece)
            if not self._start_writing(work, len(piece), held) and self._attempt("write", work, held=held) is None:
                return

    def _start_writing(self, work: Callable[[], bool], size: int, held: StoredFile | None) -> bool:
        """Whether it is left to writers who nobody waits for."""
        if self._writers is None:
            return False
        if held is None:
            return self._writers.start(work, size)
        held.retain()

        def holding() -> None:
            try:
                work()
            finally:
                held.release()

        if self._writers.start(holding, size):
            return True
        self.let_go(held)
        return False

    def _writing_a_copy(
        self, write: Callable[[int, memoryview], None], at: int, piece: memoryview
    ) -> Callable[[], bool]:
        """Like `_writing`, when `piece` may be gone by then."""
        buffers = (self._writers or self._guard).buffers
        copy = buffers.take(len(piece))
        copy[: len(piece)] = piece
        write_copy = self._writing(write, at, copy[: len(piece)])

        def work() -> bool:
            try:
                return write_copy()
            finally:
                buffers.give_back(copy)

        return work

    def _writing(self, write: Callable[[int, memoryview], None], at: int, piece: memoryview) -> Callable[[], bool]:
        def fits() -> bool:
            try:
                write(at, piece)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                return False
            return True

        def work() -> bool:
            if fits():
                return True
            with self._making_space:  # others have filled the disk: one at a time, or each evicts what another wrote
                for _ in range(_FULL_TRIES):
                    if fits():
                        return True
                    self.store.give_space(2 * len(piece))
                write(at, piece)
            return True

        return work


def _holding(held: StoredFile | None) -> Callable[[], object]:
    """Takes a hold of a file for work that is to begin; what to call after it."""
    if held is None:
        return nothing
    held.retain()
    return held.release


def _release(held: StoredFile, lent: bool) -> None:
    try:
        if lent:
            held.take_back()
    finally:
        held.release()
