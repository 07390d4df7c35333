"""One open file: the bytes of its blocks, from wherever they are.

The core asks for ranges from many threads, ahead of the readers and not in order. What continues a read goes on in a
*cursor*: one call of a worker that sends a block in order from some place to its end, so that a block is read once
and from start to end however it is asked for. A range that a cursor has been promised to is waited for; a range
that continues nothing is a call of its own, for as many bytes as were asked. While a block is streamed the calls for
the next ones are begun: their first bytes come while nobody waits for them.

    read_into(range) ── local block? ── pread
                     └─ a cursor ends where the range begins? ── wait for the turn, take it from the cursor
                     └─ long, or goes on from another block?  ── a new cursor
                     └─ else a positioned read

When a worker fails, whatever was received stays; the rest is asked of another one, see `_attempts`. A worker that
failed once is asked last from then on, for this file.

Threads: any number in `read_into`. The condition's lock guards the cursors and the sets; no call is made under it.
A cursor's call belongs to the thread whose turn it is. `close` comes when no thread is inside.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import SourceError, StaleVersion
from alluxio_jnifuse.sources.alluxio.errors import CallError, Closed, NotFound, Status
from alluxio_jnifuse.sources.alluxio.streams import MalformedChunk, ShortStream

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.alluxio.link import BlockCall
    from alluxio_jnifuse.sources.alluxio.placement import Choice
    from alluxio_jnifuse.sources.alluxio.shortcircuit import LocalBlock
    from alluxio_jnifuse.sources.alluxio.status import Address, FileStatus
    from alluxio_jnifuse.sources.alluxio.workers import Workers

log = logging.getLogger(__name__)

_STREAM_BYTES = 512 << 10  # a range of this length is the begin of a stream
_NEAR_BYTES = 16 << 20  # a range that far behind a cursor's promises is likely to be reached by it: fetchers race
_RACE_S = 0.03  # how long it is waited for
_AHEAD = 2  # blocks whose calls are begun before they are wanted
_AHEAD_FROM_BYTES = 4 << 20  # of a block streamed before the next ones are begun
_MOST_CURSORS = 8
_IDLE_S = 15.0  # a cursor that nobody went on with is closed when the next one is made
_LOCAL_PIECE_BYTES = 1 << 20


class _Cursor:
    __slots__ = ("busy", "call", "dead", "index", "position", "promised", "start", "used_at", "worker")

    def __init__(self, index: int, start: int, promised: int) -> None:
        self.index = index
        self.start = start
        self.position = start  # what is taken next
        self.promised = promised  # up to where ranges are promised to threads
        self.busy = False
        self.dead = False
        self.call: BlockCall | None = None
        self.worker: Choice | None = None
        self.used_at = time.monotonic()


class FileReader:
    """See the module's docstring. `local`: block files that are open already, by index; they become the reader's."""

    def __init__(
        self, workers: Workers, path: str, status: FileStatus, local: dict[int, LocalBlock] | None = None
    ) -> None:
        self.status = status
        self._workers = workers
        self._path = path
        self._turn = threading.Condition()
        self._cursors: list[_Cursor] = []  # lock
        self._local = local or {}
        self._failed: dict[Address, float] = {}  # when a worker failed last; entries are only added
        self._remote: dict[int, Choice] = {}  # by index: block read from elsewhere, for passive caching

    def read_into(self, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        """`Source.read_into`, of the version that `status` describes."""
        status = self.status
        done, size = 0, len(buffer)
        while done < size and offset + done < status.length:
            index, within = divmod(offset + done, status.block_size)
            if index >= len(status.block_ids):
                raise SourceError("the master knows fewer blocks than the file's length needs", where=repr(self._path))
            end = min(size, done + status.block_lengths[index] - within)
            if end <= done:
                raise SourceError(f"block {index} is shorter than the file says", where=repr(self._path))
            block = self._local.get(index)
            if block is not None:
                self._read_local(block, within, buffer, done, end, progress)
            else:
                self._read_block(index, within, buffer, done, end, progress)
            done = end
        return done

    def close(self) -> None:
        """Ends what is under way, and asks for the copies that reading from elsewhere calls for."""
        with self._turn:
            cursors, self._cursors = self._cursors, []
        for cursor in cursors:
            _finish(cursor)
        for block in self._local.values():
            block.close()
        for index, choice in self._remote.items():
            self._workers.cache(self.status, index, choice)

    # ---------------------------------------------------------------------------------------------- a local block

    def _read_local(
        self, block: LocalBlock, within: int, buffer: memoryview, done: int, end: int, progress: Callable[[int], None]
    ) -> None:
        while done < end:
            piece = buffer[done : min(end, done + _LOCAL_PIECE_BYTES)]
            count = os.preadv(block.fd, [piece], within)
            if not count:
                raise SourceError("a block file has lost its end", where=repr(self._path))
            done += count
            within += count
            progress(done)

    # ------------------------------------------------------------------------------------------- a worker's block

    def _read_block(
        self, index: int, within: int, buffer: memoryview, done: int, end: int, progress: Callable[[int], None]
    ) -> None:
        length = end - done
        cursor = self._take_turn(index, within, length)
        if cursor is None:
            self._read_positioned(index, within, buffer, done, end, progress)
            return
        try:
            self._go_on(cursor, buffer, done, end, progress)
        except BaseException:
            with self._turn:
                self._drop_locked(cursor)
            _finish(cursor)
            raise
        self._give_turn(cursor)

    def _take_turn(self, index: int, within: int, length: int) -> _Cursor | None:
        """A cursor that stands at `within`, for this thread alone; None: nothing is streamed there."""
        deadline = time.monotonic() + _RACE_S
        stale: list[_Cursor] = []
        with self._turn:
            while True:
                cursor = self._find_locked(index, within)
                if cursor is not None and self._wait_locked(cursor, within, length):
                    return cursor
                left = deadline - time.monotonic()
                if left <= 0 or not self._is_near_locked(index, within):
                    break
                self._turn.wait(left)
            if length < _STREAM_BYTES and not self._continues_locked(index, within):
                return None
            cursor = _Cursor(index, within, within + length)
            cursor.busy = True
            stale = self._make_room_locked()
            self._cursors.append(cursor)
        for old in stale:
            _finish(old)
        return cursor

    def _find_locked(self, index: int, within: int) -> _Cursor | None:
        """The cursor whose promises end at `within`."""
        for cursor in self._cursors:
            if cursor.index == index and cursor.promised == within and not cursor.dead:
                return cursor
        return None

    def _wait_locked(self, cursor: _Cursor, within: int, length: int) -> bool:
        """Has the range promised by the cursor, and waits for its turn; False when the cursor died before."""
        cursor.promised = within + length
        while not cursor.dead and (cursor.busy or cursor.position != within):
            self._turn.wait()
        if cursor.dead:
            return False
        cursor.busy = True
        return True

    def _is_near_locked(self, index: int, within: int) -> bool:
        return any(c.index == index and c.promised < within <= c.promised + _NEAR_BYTES for c in self._cursors)

    def _continues_locked(self, index: int, within: int) -> bool:
        """Whether a range at the begin of a block goes on from the block before."""
        return within == 0 and any(c.index == index - 1 for c in self._cursors)

    def _make_room_locked(self) -> list[_Cursor]:
        """Takes cursors that are of no use out of the list; the caller ends them."""
        now = time.monotonic()
        idle = sorted((c for c in self._cursors if not c.busy and c.promised == c.position), key=lambda c: c.used_at)
        excess = len(self._cursors) + 1 - _MOST_CURSORS
        old = [c for i, c in enumerate(idle) if i < excess or now - c.used_at > _IDLE_S]
        for cursor in old:
            self._drop_locked(cursor)
        return old

    def _drop_locked(self, cursor: _Cursor) -> None:
        cursor.dead = True
        if cursor in self._cursors:
            self._cursors.remove(cursor)
        self._turn.notify_all()

    def _give_turn(self, cursor: _Cursor) -> None:
        at_end = cursor.position >= self.status.block_lengths[cursor.index]
        with self._turn:
            cursor.busy = False
            cursor.used_at = time.monotonic()
            if at_end:
                self._drop_locked(cursor)
            self._turn.notify_all()
        if at_end:
            _finish(cursor)

    def _go_on(
        self, cursor: _Cursor, buffer: memoryview, done: int, end: int, progress: Callable[[int], None]
    ) -> None:
        """Fills buffer[done:end] from the cursor's call, or from those that take its place when it fails."""
        index = cursor.index
        goal = cursor.position + end - done
        length = self.status.block_lengths[index]
        for choice, explain in self._attempts(index, lambda: cursor.position):
            try:
                if cursor.call is None or cursor.worker is not choice:
                    _finish(cursor)
                    stop = goal if explain else length
                    cursor.call = self._begin(index, cursor.position, stop, choice, explain)
                    cursor.worker = choice
                call = cursor.call
                try:
                    call.read_into(buffer, end - (goal - cursor.position), end, progress)
                finally:
                    cursor.position = call.position
                if explain:
                    _finish(cursor)  # it was good for this piece only
                break
            except (OSError, ShortStream, MalformedChunk) as error:
                _finish(cursor)
                self._note_failure(index, choice, error, explain)
        if cursor.position - cursor.start >= _AHEAD_FROM_BYTES or cursor.position == length:
            self._begin_ahead(index, cursor.worker)

    def _begin_ahead(self, index: int, worker: Choice | None) -> None:
        """Begins the calls of the blocks behind `index`, where the worker that streams it has them too."""
        for ahead in range(index + 1, min(index + 1 + _AHEAD, len(self.status.block_ids))):
            with self._turn:
                if ahead in self._local or any(c.index == ahead for c in self._cursors):
                    continue
                if len(self._cursors) >= _MOST_CURSORS:
                    return
                cursor = _Cursor(ahead, 0, 0)
                cursor.busy = True
                self._cursors.append(cursor)
            try:
                choice = self._workers.choose(self.status, ahead, self._failed)
                cursor.call = self._begin(ahead, 0, self.status.block_lengths[ahead], choice, False)
                cursor.worker = choice
            except (OSError, SourceError) as error:
                log.debug("%s block %d cannot be begun ahead: %s", self._path, ahead, error)
                with self._turn:
                    self._drop_locked(cursor)
                return
            self._give_turn(cursor)

    def _read_positioned(
        self, index: int, within: int, buffer: memoryview, done: int, end: int, progress: Callable[[int], None]
    ) -> None:
        goal = within + end - done
        position = within
        for choice, explain in self._attempts(index, lambda: position):
            try:
                call = self._begin(index, position, goal, choice, explain)
                try:
                    call.read_into(buffer, end - (goal - position), end, progress)
                finally:
                    position = call.position
                    call.finish()
                return
            except (OSError, ShortStream, MalformedChunk) as error:
                self._note_failure(index, choice, error, explain)

    # ------------------------------------------------------------------------------------------------- attempts

    def _begin(self, index: int, begin: int, end: int, choice: Choice, explain: bool) -> BlockCall:
        status = self.status
        if not choice.local:
            self._remote.setdefault(index, choice)
        link = self._workers.link(choice)
        request = self._workers.read_request(status, index, begin, end)
        return (link.read_over_channel if explain else link.read)(request, begin, end)

    def _attempts(self, index: int, position: Callable[[], int]) -> Iterator[tuple[Choice, bool]]:
        """Workers to try, until the caller stops asking; raises when there is no point any more.

        Each is tried twice: at first the quick way, which cannot say why it fails; then so that it does (True).
        The patience (alluxio.user.block.read.retry.*) begins anew with each byte that comes.
        """
        settings = self._workers.settings
        sleep = settings.read_retry_base_s
        reached = position()
        deadline = time.monotonic() + settings.read_retry_max_duration_s
        while True:
            seen = len(self._failed)
            choice = self._workers.choose(self.status, index, self._failed)
            yield choice, False
            if choice.address not in self._failed:
                yield choice, True
            now = time.monotonic()
            if position() > reached:
                reached, sleep = position(), settings.read_retry_base_s
                deadline = now + settings.read_retry_max_duration_s
            if len(self._failed) > seen:
                continue  # another worker may have it
            self.status = self._workers.refresh(self._path, self.status, index)
            if now + sleep > deadline:
                raise SourceError(
                    f"no worker gave block {index} for {settings.read_retry_max_duration_s:.0f} s", where=repr(self._path)
                )
            self._workers.sleep(sleep)
            sleep = min(2 * sleep, settings.read_retry_max_sleep_s)

    def _note_failure(self, index: int, choice: Choice, error: Exception, explained: bool) -> None:
        """Remembers a worker that failed. Raises when the error is not the worker's."""
        if isinstance(error, Closed):
            raise error
        if isinstance(error, CallError) and error.status in (Status.PERMISSION_DENIED, Status.INVALID_ARGUMENT):
            self._workers.check_version(self._path, self.status)  # a block of a deleted file is an invalid argument
            raise error
        unreachable = isinstance(error, (ConnectionRefusedError, TimeoutError)) or getattr(error, "errno", 0) == 113
        if not explained and not unreachable:
            log.debug("%s block %d from %s: %s; asking for the reason", self._path, index, choice.address.host, error)
            return
        if isinstance(error, CallError) and error.status is Status.UNAUTHENTICATED:
            return  # the next call brings a new session
        known = choice.address in self._failed
        self._failed[choice.address] = time.monotonic()
        level = logging.DEBUG if known else logging.INFO if isinstance(error, NotFound) else logging.WARNING
        log.log(level, "%s block %d: worker %s: %s", self._path, index, choice.address.endpoint[0], error)
        if isinstance(error, NotFound):
            self._workers.check_version(self._path, self.status)


def _finish(cursor: _Cursor) -> None:
    call, cursor.call = cursor.call, None
    if call is not None:
        call.finish()


__all__ = ["FileReader", "StaleVersion"]
