"""A store and its guard: what can be asked of a store without ever failing. Any thread.

What the store does not do, because it fails, hangs or is left alone, is as if nothing were stored. Each method is one
piece of work for the guard, since each may cost a change of threads.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from alluxio_jnifuse.cache.guard import SCRATCH_BYTES, Guard, Refused
from alluxio_jnifuse.cache.store import Store, StoredFile

T = TypeVar("T")

_KEPT_AT_ONCE_BYTES = 4 << 20  # written in one go: a copy of them may lie in memory meanwhile


class Found(NamedTuple):
    """A file that is stored as a whole: held, and lent as `fd` if that can be done."""

    held: StoredFile
    fd: int | None


class Place:
    """See the module's docstring."""

    def __init__(self, store: Store, guard: Guard, writers: Guard | None = None) -> None:
        self.store = store
        self.guard = guard
        self._writers = writers  # of those who do not wait
        self._unreleased: list[Callable[[], None]] = []  # what was refused

    def find(self, digest: bytes) -> Found | None:
        """A file that is stored as a whole. `let_go` it."""

        def work() -> Found | None:
            held = self.store.hold(digest)
            try:
                if held.is_complete():
                    return Found(held, held.lend())
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

        return self._attempt(work, undo)

    def hold(self, digest: bytes, size: int) -> StoredFile | None:
        """As Store.hold. `let_go` it."""
        return self._attempt(lambda: self.store.hold(digest, size), undo=lambda held: held.release())

    def let_go(self, held: StoredFile, lent: bool = False) -> None:
        """Releases a file, taking it back if it was lent; later if the store does nothing now."""
        self._release_by(lambda: _release(held, lent))

    def read(self, held: StoredFile, offset: int, buffer: memoryview) -> int:
        """How many bytes from the start of `buffer` on, SCRATCH_BYTES at most, were found."""
        return self._read(held.read_into, offset, buffer)

    def next_stored(self, held: StoredFile, offset: int, end: int) -> int:
        """As StoredFile.next_stored."""
        return self._attempt(lambda: held.next_stored(offset, end)) or end

    def keep(self, held: StoredFile, offset: int, data: memoryview) -> None:
        """As StoredFile.write."""
        if self._writers:
            self.keep_small(held.digest, held.size, offset, data)  # `held` may be let go before
        else:
            self._keep(held.write, offset, data)

    def drop(self, held: StoredFile) -> None:
        """As StoredFile.drop."""
        self._attempt(held.drop)

    def read_small(self, digest: bytes, size: int, offset: int, buffer: memoryview) -> int:
        """`hold`, `read` and `let_go` in one."""

        def read_into(at: int, into: memoryview) -> int:
            held = self.store.hold(digest, size)
            try:
                return held.read_into(at, into)
            finally:
                held.release()

        return self._read(read_into, offset, buffer)

    def keep_small(self, digest: bytes, size: int, offset: int, data: memoryview) -> None:
        """`hold`, `keep` and `let_go` in one."""

        def write(at: int, piece: memoryview) -> None:
            held = self.store.hold(digest, size)
            try:
                held.write(at, piece)
            finally:
                held.release()

        self._keep(write, offset, data)

    # ------------------------------------------------------------------------------------------------------ work

    def _attempt(self, work: Callable[[], T], undo: Callable[[T], object] | None = None) -> T | None:
        try:
            result = self.guard.run(work, undo)
        except OSError:
            return None
        while self._unreleased:
            try:
                release = self._unreleased.pop()
            except IndexError:
                break
            self._release_by(release)
        return result

    def _release_by(self, release: Callable[[], None]) -> None:
        try:
            self.guard.run(release, must=True)
        except Refused:
            self._unreleased.append(release)
        except OSError:
            pass

    def _read(self, read_into: Callable[[int, memoryview], int], offset: int, buffer: memoryview) -> int:
        piece = buffer[:SCRATCH_BYTES]
        if not self.guard.copies:
            return self._attempt(lambda: read_into(offset, piece)) or 0
        scratch = self.guard.scratch()
        into = scratch[: len(piece)]
        found = self._attempt(lambda: read_into(offset, into))
        if found is None:
            return 0  # and the buffer is lost: whoever hangs may still write to it
        piece[:found] = scratch[:found]
        self.guard.give_back(scratch)
        return found

    def _keep(self, write: Callable[[int, memoryview], None], offset: int, data: memoryview) -> None:
        for at in range(0, len(data), _KEPT_AT_ONCE_BYTES):
            piece = data[at : at + _KEPT_AT_ONCE_BYTES]
            if self.guard.copies or self._writers:
                piece = memoryview(bytes(piece))
            work = self._writing(write, offset + at, piece)
            if self._writers and self._writers.start(work, len(piece)):
                continue
            if self._attempt(work) is None:
                return

    def _writing(self, write: Callable[[int, memoryview], None], at: int, piece: memoryview) -> Callable[[], bool]:
        def work() -> bool:
            try:
                write(at, piece)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                self.store.give_space(2 * len(piece))  # others have filled the disk
                write(at, piece)
            return True

        return work


def _release(held: StoredFile, lent: bool) -> None:
    try:
        if lent:
            held.take_back()
    finally:
        held.release()
