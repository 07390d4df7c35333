"""The attempts to get the blocks of an open file: one after the other, until a worker gives the bytes.

A worker that holds a block is asked first. Its bytes are those that the file had, whatever has become of the file. Only
blocks that no worker holds are read from the under store. The under store knows a path, and another file may be at it
by now; so bytes from there count when the master, asked afterwards, says that the file is still the one that was
opened. A file that once was another is never read again.

Each worker is asked in the quick way first, which cannot say why it fails, then so that it does say why. One that
failed is asked last from then on, for this file. The patience, alluxio.user.block.read.retry.*, begins anew with each
byte that comes.

A worker that is asked for a copy of a block that it still fetches for a call makes none. So such a call is not cut off
but left, and goes with the question for the copy (workers/copies.py), or is ended when the file is closed.

Threads: `FileBlocks` is for all readers of a file; an `Effort` for one. No lock is held during a call.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.errors import SourceError, StaleVersion, forget_frames
from alluxio_jnifuse.sources import doing
from alluxio_jnifuse.sources.alluxio.metadata.status import version_of
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, Closed, NotFound, Refused, Status, Unanswered
from alluxio_jnifuse.sources.alluxio.workers.copies import Left
from alluxio_jnifuse.sources.alluxio.workers.placement import NoWorker
from alluxio_jnifuse.sources.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.sources.alluxio.metadata.status import Address, FileStatus
    from alluxio_jnifuse.sources.alluxio.workers.known import Workers
    from alluxio_jnifuse.sources.alluxio.workers.link import BlockCall
    from alluxio_jnifuse.sources.alluxio.workers.placement import Choice

log = logging.getLogger(__name__)

_MOST_LEFT = 8  # calls of an open file: of more the first ones have surely ended
_LOST_S = 10.0  # how long a block is waited for that nobody has: workers that start anew tell what they hold
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
# Statuses that say something of the worker, or the way to it; the others are about the block.
_OF_THE_WORKER = frozenset(
    {Status.UNAVAILABLE, Status.CANCELLED, Status.DEADLINE_EXCEEDED, Status.RESOURCE_EXHAUSTED, Status.UNAUTHENTICATED}
)


class Attempt(NamedTuple):
    """A way to get bytes of a block."""

    choice: Choice
    from_ufs: bool  # the worker may take them from the under store: they count after `FileBlocks.verify`
    explain: bool = False  # slower, but a failure says why

    @property
    def is_brief(self) -> bool:
        """Whether its call is for one range, and the next one is made in the quick way: that costs nothing."""
        return self.explain and not self.from_ufs


class FileBlocks:
    """The blocks of one open file.

    `ask` says what the master knows of the file now, waiting for one if need be. Raises OSError.
    """

    def __init__(self, workers: Workers, path: str, status: FileStatus, ask: Callable[[], FileStatus]) -> None:
        self.workers = workers
        self.path = path
        self.status = status  # replaced as a whole by what is newer
        self._ask = ask
        self._stale = False
        self._failed: dict[Address, float] = {}  # when workers failed last
        self._without: frozenset[tuple[Address, int]] = frozenset()  # who turned out not to hold which block; lock
        self._sources: dict[int, Choice] = {}  # blocks that came from elsewhere, and where from
        self._kept: set[tuple[Address, int]] = set()  # workers, and the blocks that they read for one call, whole
        self._left: list[Left] = []  # lock; of blocks that came from elsewhere
        self._questions = threading.Condition()
        self._asked = 0  # questions put to the master; lock
        self._answered = 0  # lock
        self._outcome: Exception | None = None  # of the last one; lock

    def attempt(self, index: int) -> Attempt:
        """The first attempt for a block. Raises StaleVersion, NoWorker, OSError."""
        if self._stale:
            raise StaleVersion(repr(self.path))
        status = self.status
        avoided = self._failed
        if self._without:
            lacking = dict.fromkeys((address for address, block in self._without if block == index), 0.0)
            if not all(holder in avoided or holder in lacking for holder in status.locations[index]):
                avoided = {**lacking, **avoided}  # as long as there is another holder
        choice = self.workers.choose(status, index, avoided)
        return Attempt(choice, status.in_ufs and (not choice.cached or (choice.address, index) in self._without))

    def is_cold(self, index: int) -> bool:
        """Whether a block is only in the under store, as far as is known."""
        status = self.status
        return status.in_ufs and all((holder, index) in self._without for holder in status.locations[index])

    def begin(self, index: int, begin: int, end: int, attempt: Attempt) -> BlockCall:
        """Begins to read the bytes [begin, end) of a block. Raises OSError."""
        doing.asking(attempt.choice.name)
        request = self.workers.read_request(self.status, index, begin, end, from_ufs=attempt.from_ufs)
        link = self.workers.link(attempt.choice)
        return (link.read_over_channel if attempt.explain else link.read)(request, begin, end)

    def note_source(self, index: int, choice: Choice) -> None:
        """Bytes of the block came from there."""
        if not (choice.local and choice.cached):
            self._sources.setdefault(index, choice)

    def note_kept(self, index: int, choice: Choice) -> None:
        """A worker has read the block from the under store for one call, from its start to its end: it keeps that."""
        self._kept.add((choice.address, index))

    def leave(self, index: int, call: BlockCall) -> None:
        """Ends a call that began at the start of a block and may take it from the under store."""
        if call.position >= call.end or index not in self._sources:
            call.finish()
            return
        call.leave()
        with self._questions:
            self._left.append(Left(index, call, time.monotonic()))
            old, self._left = self._left[:-_MOST_LEFT], self._left[-_MOST_LEFT:]
        for each in old:
            each.call.finish()

    def note_failure(self, index: int, choice: Choice, error: Exception) -> bool:
        """Remembers that a worker failed; whether that is news."""
        known = choice.address in self._failed
        self._failed[choice.address] = time.monotonic()
        if is_silent(error):
            self.workers.note_silence(choice.address)
        level = logging.DEBUG if known else logging.INFO if isinstance(error, NotFound) else logging.WARNING
        log.log(level, "%s block %d: worker %s: %s", self.path, index, choice.address.endpoint[0], error)
        return not known

    def note_absence(self, index: int, choice: Choice, error: Exception) -> None:
        """Remembers that a worker does not hold a block, so that it is asked to get it, until the master knows, too."""
        log.debug("%s block %d: worker %s: %s", self.path, index, choice.address.endpoint[0], error)
        with self._questions:
            self._without |= {(choice.address, index)}

    def verify(self) -> None:
        """Makes sure that the file still is the one that was opened, by an answer younger than the call.

        Raises StaleVersion, OSError. Of several threads one asks for all.
        """
        with self._questions:
            wanted = self._asked + 1
            while self._answered < wanted and self._asked > self._answered:
                self._questions.wait()
            if self._answered >= wanted:
                self._raise_outcome()
                return
            self._asked += 1
        outcome: Exception | None = SourceError("the master was not asked", where=repr(self.path))
        try:
            self._renew()
            outcome = None
        except CallError as error:
            outcome = error.again()  # for the others; this one has frames
            raise
        finally:
            with self._questions:
                self._answered += 1
                self._outcome = outcome
                self._questions.notify_all()
        if self._stale:
            raise StaleVersion(repr(self.path))

    def _raise_outcome(self) -> None:
        if self._stale:
            raise StaleVersion(repr(self.path))
        if self._outcome is not None:
            raise self._outcome.again() if isinstance(self._outcome, CallError) else self._outcome

    def _renew(self) -> None:
        try:
            now = self._ask()
        except FileNotFoundError as error:
            forget_frames(error)
            self._stale = True
            return
        if version_of(now) != version_of(self.status):
            self._stale = True
        else:
            self.status = now
            if self._without:  # if it is said to hold one after that, it does
                with self._questions:
                    self._without = frozenset(each for each in self._without if each[0] in now.locations[each[1]])

    def refresh(self) -> None:
        """Learns where the blocks are by now, if a master says so. Raises StaleVersion, Closed."""
        self.workers.expire()
        try:
            self.verify()
        except Closed:
            raise
        except OSError as error:
            forget_frames(error)
            log.debug("%s: no news from the master: %s", self.path, error)

    def close(self) -> None:
        """Asks for the copies that reading from elsewhere calls for."""
        with self._questions:
            left, self._left = self._left, []
        for index, choice in self._sources.items() if not self._stale else ():
            of_it = [each for each in left if each.block == index]
            if self.workers.cache(self.status, index, choice, of_it, kept=(choice.address, index) in self._kept):
                left = [each for each in left if each.block != index]
        for each in left:
            each.call.finish()


class Effort:
    """The attempts to get one range of a block. `check` raises when nobody wants it any more."""

    def __init__(self, blocks: FileBlocks, index: int, check: Callable[[], None]) -> None:
        settings = blocks.workers.settings
        self._blocks = blocks
        self._index = index
        self._check = check
        self._begun = time.monotonic()
        self._duration = settings.read_retry_max_duration_s
        self._deadline = self._begun + self._duration
        self._pauses = Backoff(settings.read_retry_base_s, settings.read_retry_max_sleep_s)
        self._explain: Attempt | None = None  # what comes next
        self._pause = False
        self._strange = False  # a worker did not know us
        self._reason: Exception | None = None

    def next(self) -> Attempt:
        """The next attempt. Raises when there is no point in another one: SourceError, StaleVersion, OSError."""
        explain, self._explain = self._explain, None
        if explain is not None:
            return explain
        while True:
            if self._pause:
                self._rest()
                self._pause = False
            try:
                return self._blocks.attempt(self._index)
            except NoWorker as error:
                forget_frames(error)
                self._reason = error
                self._pause = True

    def failed(self, attempt: Attempt, error: Exception, came: bool) -> None:
        """Says how the attempt went, and whether bytes came of it. Raises when the error is final."""
        if isinstance(error, (Closed, Refused)):
            raise error
        if isinstance(error, OSError) and error.errno == errno.ECANCELED:
            raise SourceError("the mount ends", where=repr(self._blocks.path)) from error
        if came:
            self._pauses.reset()
            self._deadline = time.monotonic() + self._duration
        self._reason = error
        doing.failed(str(error.strerror or error) if isinstance(error, OSError) else str(error))
        silent = is_silent(error)
        if not silent and not attempt.explain and not isinstance(error, (CallError, ConnectionRefusedError)):
            log.debug("%s block %d: %s; asking for the reason", self._blocks.path, self._index, error)
            self._explain = attempt._replace(explain=True)
            return
        status = error.status if isinstance(error, CallError) else None
        if status is Status.PERMISSION_DENIED:
            raise error
        if status is Status.UNAUTHENTICATED:  # the next call brings a new session
            self._pause = self._strange
            self._strange = True
        elif self._is_about_the_block(attempt, error, silent):
            self._blocks.refresh()  # before a worker reads another file's bytes, and keeps them as this one's
            self._blocks.note_absence(self._index, attempt.choice, error)
        else:
            self._pause = not self._blocks.note_failure(self._index, attempt.choice, error)

    def _is_about_the_block(self, attempt: Attempt, error: Exception, silent: bool) -> bool:
        """Whether the worker lives, but does not hold the block, and could get it."""
        if attempt.from_ufs or silent or not self._blocks.status.in_ufs:
            return False
        if isinstance(error, CallError):
            return error.status not in _OF_THE_WORKER
        return not isinstance(error, OSError)  # it sent too little, or nonsense

    def _rest(self) -> None:
        self._check()
        self._blocks.refresh()
        now = time.monotonic()
        end = self._deadline
        if isinstance(self._reason, NoWorker) and not self._blocks.status.in_ufs:
            end = min(end, self._begun + _LOST_S)
        pause = self._pauses.next()
        if now + pause > end:
            self._give_up()
        with doing.pausing():
            self._blocks.workers.sleep(pause)
        self._check()

    def _give_up(self) -> None:
        if isinstance(self._reason, NoWorker):
            raise self._reason
        raise SourceError(
            f"no worker gave block {self._index} for {self._duration:g} s: {self._reason}",
            where=repr(self._blocks.path),
        ) from self._reason


def is_silent(error: Exception) -> bool:
    """Whether a server did not answer at all, and took its time."""
    return isinstance(error, (TimeoutError, Unanswered)) or (
        isinstance(error, OSError) and not isinstance(error, CallError) and error.errno in _UNREACHABLE
    )
