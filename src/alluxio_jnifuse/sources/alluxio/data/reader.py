"""One open file: the bytes of its blocks, from wherever they are.

The core asks for ranges from many threads, ahead of the readers and not in order. A range that continues a read goes on
in a *cursor*: one call of a worker that sends a block in order from some place to its end, so that a block is read once
and from start to end however it is asked for. A range that a cursor has been promised to is waited for; a range that
continues nothing is a call of its own, for as many bytes as were asked. Near the end of a block the calls for the next
ones are begun: their first bytes come while nobody waits for them.

    read_into(range) ── local block? ── pread
                     └─ a cursor ends where the range begins? ── wait for the turn, take it from the cursor
                     └─ goes on, or begins a block?           ── a new cursor
                     └─ else a call for the range

A block that no worker holds is *cold*. For each call the under store is asked for the rest of the block, however
little of it is wanted, and the worker keeps it if one call took all of it; if it is ended before, it is asked for a
copy, which it makes when it has let go of that call (`FileBlocks.leave`). So even a short read of its start begins a
cursor, and a range a little ahead of a cursor does not wait for those before it, which may be other threads': the
cursor goes there, and what it comes past is set aside for them. That takes memory, but depends on nobody's speed.

When a worker fails, whatever was received stays; the rest is asked of another one (attempts.py).

Threads: any number in `read_into`. The lock guards the cursors; no call is made under it. A cursor's call belongs to
the thread whose turn it is. A thread that ends its turn wakes the next one alone: the others would only get in its way.
`close` comes when no thread is inside.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import SourceError, forget_frames
from alluxio_jnifuse.sources.alluxio.data.attempts import FileBlocks, is_silent
from alluxio_jnifuse.sources.alluxio.data.cursor import Aside, Cursor, Racer
from alluxio_jnifuse.sources.alluxio.data.filling import fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.sources.alluxio.data.shortcircuit import LocalBlock

log = logging.getLogger(__name__)

_STREAM_BYTES = 512 << 10  # a range of this length begins a stream, at the start of a block or behind another range
_MOST_ENDS = 8  # of ranges that may be gone on with
_NEAR_BYTES = 16 << 20  # a piece that far behind a cursor's promises is likely to be reached by it: fetchers race
_RACE_S = 0.03  # how long it is waited for, at first; half as long after each time that it was in vain, but
_SHORTEST_RACE_S = 0.002  # no less than most races take
_SKIP_BYTES = 32 << 20  # of a cold block that a cursor may come past for a piece, and that an open file sets aside
_SHORT_SKIP_BYTES = 2 << 20  # at the start of a block, for a shorter range: as far as the kernel reads ahead
_AHEAD = 2  # at most so many calls of next blocks are begun before their bytes are wanted
# They are begun no further before a block than this: a worker fetches all of a cold block once its call is begun.
_AHEAD_BYTES = 32 << 20
_AHEAD_FROM_BYTES = 4 << 20  # of the block before them is streamed first
_MOST_CURSORS = 8
_IDLE_S = 15.0  # a cursor that nobody went on with is closed when the next one is made


class FileReader:
    """See the module's docstring. `local`: block files that are open already, by index; they become the reader's."""

    def __init__(self, blocks: FileBlocks, local: dict[int, LocalBlock] | None = None) -> None:
        self._blocks = blocks
        self._lock = threading.Lock()
        self._cursors: list[Cursor] = []  # lock
        self._made = 0  # cursors so far; lock
        self._ends: deque[tuple[int, int]] = deque(maxlen=_MOST_ENDS)  # of ranges read alone, block and place; lock
        self._begun: dict[int, int] = {}  # by block: number of the last cursor at its start; lock
        self._racing: list[Racer] = []  # who waits for a cursor to be promised up to his range; lock
        self._aside = Aside(_SKIP_BYTES)  # lock
        self._hope = 1.0  # that a race is worth waiting for: halved by each that was in vain; lock
        self._local = local or {}

    def read_into(self, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        """`Source.read_into`, of the version that was opened."""
        status = self._blocks.status
        done, size = 0, len(buffer)
        while done < size and offset + done < status.length:
            index, within = divmod(offset + done, status.block_size)
            if index >= len(status.block_ids):
                raise SourceError("the master knows fewer blocks than the file's length needs", where=self._where)
            length = min(status.block_lengths[index], status.block_size)
            end = min(size, done + length - within)
            if end <= done:
                raise SourceError(f"block {index} is shorter than the file says", where=self._where)
            block = self._local.get(index)
            if block is not None:
                if not block.read_into(within, buffer, done, end, progress):
                    raise SourceError("a block file has lost its end", where=self._where)
            else:
                self._read_block(index, within, buffer, done, end, progress)
            done = end
        return done

    def close(self) -> None:
        """Ends what is under way, and asks for the copies that reading from elsewhere calls for."""
        with self._lock:
            cursors, self._cursors = self._cursors, []
        for cursor in cursors:
            cursor.leave(self._blocks)
        for block in self._local.values():
            block.close()
        self._blocks.close()

    @property
    def _where(self) -> str:
        return repr(self._blocks.path)

    # ------------------------------------------------------------------------------------------- a worker's block

    def _read_block(
        self, index: int, within: int, buffer: memoryview, done: int, end: int, progress: Callable[[int], None]
    ) -> None:
        length = self._blocks.status.block_lengths[index]
        while done < end:
            taken = self._take_turn(index, within, end - done)
            if not isinstance(taken, tuple):
                break
            data, unverified = taken
            buffer[done : done + len(data)] = data
            done += len(data)
            within += len(data)
            self._report(unverified, done, progress)
        else:
            return
        cursor = taken
        if cursor is None:
            cursor = Cursor(index, within, within + end - done)
            try:
                unverified = fill(self._blocks, cursor, cursor.promised, buffer, done, end, progress)
            finally:
                cursor.finish()
            self._report(unverified, end, progress)
            return
        try:
            if cursor.position < within:
                self._set_aside(cursor, within, length, lambda _: progress(done))
            unverified = fill(self._blocks, cursor, length, buffer, done, end, progress)
        except BaseException:
            self._drop(cursor)
            raise
        position = cursor.position
        self._give_turn(cursor)
        self._report(unverified, end, progress)
        if position - cursor.start >= _AHEAD_FROM_BYTES or position == length:
            self._begin_ahead(cursor, length - position)

    def _set_aside(self, cursor: Cursor, within: int, length: int, progress: Callable[[int], None]) -> None:
        """Takes the bytes before `within` from the cursor, for a thread that comes for them."""
        start = cursor.position
        data = memoryview(bytearray(within - start))
        unverified = fill(self._blocks, cursor, length, data, 0, len(data), progress)
        with self._lock:
            self._aside.put(cursor.index, start, data, unverified)
            cursor.has_passed()

    def _take_turn(self, index: int, within: int, length: int) -> Cursor | tuple[memoryview, bool] | None:
        """A cursor for this thread alone, which must set aside what is before `within`; or what was set aside for it.

        None: nothing is streamed there.
        """
        with self._lock:
            raced = False
            while True:
                kept = self._aside.take(index, within, length)
                if kept is not None:
                    return kept
                passing = self._find_passing_locked(index, within)
                if passing is not None:
                    self._wait_passed_locked(passing)
                    continue
                cursor = self._find_locked(index, within) or self._find_before_locked(index, within)
                if cursor is None and not raced and self._may_race_locked(index, within, length):
                    raced = True
                    cursor = self._race_locked(index, within)
                if cursor is None:
                    break
                if self._wait_locked(cursor, within, length):
                    return cursor
            start = 0 if self._is_first_locked(index, within, length) else within
            if not self._is_stream_locked(index, start, length):
                self._ends.append((index, within + length))
                return None
            cursor = Cursor(index, start, within + length, skips=self._blocks.is_cold(index))
            old = self._make_room_locked()
            self._add_locked(cursor)
        for each in old:
            each.leave(self._blocks)
        return cursor

    def _may_race_locked(self, index: int, within: int, length: int) -> bool:
        """Whether a range looks like a piece of a stream whose piece before is another thread's, who is not here yet.

        Short reads beside a stream are not held up.
        """
        if self._blocks.is_cold(index):
            return False  # it has been set aside, or is too far away
        return self._is_piece(index, within, length) and self._is_near_locked(index, within)

    def _race_locked(self, index: int, within: int) -> Cursor | None:
        """Waits for a cursor to be promised up to `within`."""
        came = time.monotonic()
        racer = Racer(index, within, threading.Condition(self._lock))
        self._racing.append(racer)
        try:
            while self._is_near_locked(index, within):
                left = came + max(_RACE_S * self._hope, _SHORTEST_RACE_S) - time.monotonic()
                if left <= 0:
                    self._hope /= 2
                    return None
                racer.changed.wait(left)
                cursor = self._find_locked(index, within)
                if cursor is not None:
                    self._hope = 1.0
                    return cursor
        finally:
            self._racing.remove(racer)
        return None

    def _add_locked(self, cursor: Cursor) -> None:
        self._made += 1
        cursor.number = self._made
        self._cursors.append(cursor)
        self._promised_locked(cursor)
        if not cursor.start:
            self._begun[cursor.index] = cursor.number

    def _promised_locked(self, cursor: Cursor) -> None:
        for racer in self._racing:
            if racer.block == cursor.index and racer.within == cursor.promised:
                racer.changed.notify()

    def _find_locked(self, index: int, within: int) -> Cursor | None:
        """The cursor whose promises end at `within`."""
        for cursor in self._cursors:
            if cursor.index == index and cursor.promised == within:
                return cursor
        return None

    def _find_passing_locked(self, index: int, within: int) -> Cursor | None:
        """The cursor whose thread sets aside what is at `within` just now."""
        for cursor in self._cursors:
            if cursor.index == index and cursor.passes and cursor.passes[0] <= within < cursor.passes[1]:
                return cursor
        return None

    def _wait_passed_locked(self, cursor: Cursor) -> None:
        """Waits until what a cursor comes past is set aside, or the cursor has failed."""
        passed = threading.Condition(self._lock)
        cursor.passed.append(passed)
        while cursor.passes:
            passed.wait()
        cursor.passed.remove(passed)

    def _find_before_locked(self, index: int, within: int) -> Cursor | None:
        """The cursor of a cold block that may come past what is before `within`."""
        if not self._blocks.is_cold(index):
            return None
        found: Cursor | None = None
        for cursor in self._cursors:
            if cursor.index != index or not cursor.skips or within in cursor.waiting:
                continue
            gap = within - cursor.position
            if (
                0 <= gap <= _SKIP_BYTES
                and self._aside.has_room(gap)
                and (found is None or cursor.position > found.position)
            ):
                found = cursor
        return found

    def _wait_locked(self, cursor: Cursor, within: int, length: int) -> bool:
        """Has the range promised by the cursor, and waits for its turn; False when it does not come there any more."""
        cursor.promised = max(cursor.promised, within + length)
        self._promised_locked(cursor)
        turn = cursor.waiting[within] = threading.Condition(self._lock)
        while not cursor.dead and cursor.position <= within and not cursor.is_turn_of(within):
            turn.wait()
        del cursor.waiting[within]
        if cursor.dead or cursor.position > within:
            if not cursor.busy:
                cursor.wake()
            return False
        cursor.busy = True
        if cursor.position < within:
            cursor.passes = (cursor.position, within)
        return True

    def _is_piece(self, index: int, within: int, length: int) -> bool:
        """Whether a range looks like a piece of a stream. Those are long, but for the last one of a block."""
        return length >= _STREAM_BYTES or within + length >= self._blocks.status.block_lengths[index]

    def _is_first_locked(self, index: int, within: int, length: int) -> bool:
        """Whether a range of a cold block is likely to be one of those that the block is read with from its start."""
        if not self._blocks.is_cold(index) or index in self._begun or not self._aside.has_room(within):
            return False
        piece = length >= _STREAM_BYTES or index - 1 in self._begun
        return within <= (_NEAR_BYTES if piece else _SHORT_SKIP_BYTES)

    def _is_near_locked(self, index: int, within: int) -> bool:
        """Whether a cursor is likely to come there."""
        return any(c.index == index and c.promised < within <= c.promised + _NEAR_BYTES for c in self._cursors)

    def _is_stream_locked(self, index: int, within: int, length: int) -> bool:
        """Whether more is likely to be wanted behind a range."""
        goes_on = (index, within) in self._ends
        if self._blocks.is_cold(index):
            return not within or length >= _STREAM_BYTES or goes_on
        if within:
            return length >= _STREAM_BYTES and goes_on
        return length >= _STREAM_BYTES or any(cursor.index == index - 1 for cursor in self._cursors)

    def _make_room_locked(self) -> list[Cursor]:
        """Takes cursors that are of no use out of the list; the caller ends them."""
        now = time.monotonic()
        idle = sorted((c for c in self._cursors if not c.busy and c.promised == c.position), key=lambda c: c.used_at)
        excess = len(self._cursors) + 1 - _MOST_CURSORS
        old = [c for i, c in enumerate(idle) if i < excess or now - self._last_use_locked(c, now) > _IDLE_S]
        for cursor in old:
            self._drop_locked(cursor)
        return old

    def _last_use_locked(self, cursor: Cursor, now: float) -> float:
        """When a cursor was used last, or one of the blocks before, from which a reader is to come to it."""
        used = [now if c.busy else c.used_at for c in self._cursors if 0 < cursor.index - c.index <= _AHEAD]
        return max(cursor.used_at, *used) if cursor.position == cursor.start and used else cursor.used_at

    def _drop(self, cursor: Cursor) -> None:
        with self._lock:
            self._drop_locked(cursor)
        cursor.leave(self._blocks)

    def _drop_locked(self, cursor: Cursor) -> None:
        cursor.dead = True
        cursor.has_passed()
        if cursor in self._cursors:
            self._cursors.remove(cursor)
        for turn in cursor.waiting.values():
            turn.notify()
        for racer in self._racing:
            racer.changed.notify()

    def _give_turn(self, cursor: Cursor) -> None:
        if cursor.position >= self._blocks.status.block_lengths[cursor.index]:
            self._drop(cursor)
            return
        with self._lock:
            cursor.busy = False
            cursor.used_at = time.monotonic()
            cursor.wake()

    def _report(self, unverified: bool, done: int, progress: Callable[[int], None]) -> None:
        if unverified:
            self._blocks.verify()
            progress(done)

    def _begin_ahead(self, behind: Cursor, way: int) -> None:
        """Begins the calls of the blocks that follow, but for those that were begun since the call of this one was.

        The next block begins `way` bytes ahead.
        """
        blocks = self._blocks
        first = behind.index + 1
        for ahead in range(first, min(first + _AHEAD, len(blocks.status.block_ids))):
            if way > _AHEAD_BYTES:
                return
            way += blocks.status.block_lengths[ahead]
            with self._lock:
                if ahead in self._local or self._begun.get(ahead, 0) > behind.number:
                    continue
                if len(self._cursors) >= _MOST_CURSORS:
                    return
                cursor = Cursor(ahead, 0, 0, skips=blocks.is_cold(ahead))
                self._add_locked(cursor)
            attempt = None
            try:
                attempt = cursor.attempt = blocks.attempt(ahead)
                cursor.call = blocks.begin(ahead, 0, blocks.status.block_lengths[ahead], attempt)
            except (OSError, SourceError) as error:
                forget_frames(error)
                log.debug("%s block %d cannot be begun ahead: %s", blocks.path, ahead, error)
                if attempt is not None and is_silent(error):
                    blocks.note_failure(ahead, attempt.choice, error)
                self._drop(cursor)
                return
            except BaseException:
                self._drop(cursor)
                raise
            self._give_turn(cursor)
