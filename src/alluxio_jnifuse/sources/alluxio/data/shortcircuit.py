"""Block files of workers on this machine, opened instead of being sent.

A worker is asked for the path of a block file (OpenLocalBlock) and keeps the block as long as that call lasts; so the
call, one connection that says nothing, is held while the file is used. A worker has its block files in few directories:
the next ones are opened there without asking, and it is told afterwards (locks.py). It is asked again for a block that
is not there, and when the session in which it named the directory has ended: it may be another worker then. With
`direct_local_io` nobody is asked or told: the block file is opened where a worker with one tier has it. In all cases
the descriptor keeps the bytes, whatever becomes of the block; the lock only spares the worker the surprise that
evicting it frees no memory.

A file that cannot be opened, or is shorter than its block, is read through the worker. A worker whose directory cannot
be seen from here (another container) is remembered for a while, and named once in the log. So is one that has no block
files at all (alluxio.worker.block.store.type=PAGE), which says of every block that it does not have it; one that has
lent block files says so of blocks that are gone.

Threads: any. The lock guards what is remembered of workers.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.sources.alluxio.data.locks import BlockLock, Uses
from alluxio_jnifuse.sources.alluxio.rpc.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alluxio_jnifuse.sources.alluxio.data.blockfiles import BlockFiles, Place
    from alluxio_jnifuse.sources.alluxio.data.locks import Hold
    from alluxio_jnifuse.sources.alluxio.rpc.session import Session
    from alluxio_jnifuse.sources.alluxio.workers.link import WorkerLink

log = logging.getLogger(__name__)

_MOST_REFUSALS = 8  # of one worker that has lent nothing yet, before it is not asked any more
_REFUSED_S = 60.0  # for so long
_PIECE_BYTES = 1 << 20  # read at once: after each of them its progress is told
_UNSEEN_S = 600.0  # how long a worker whose files cannot be opened is not asked for them
_MOST_PLACES = 8  # of a worker that are looked into before it is asked


class LocalBlock:
    """An open block file of `length` bytes; `close` gives descriptor and lock back."""

    __slots__ = ("_hold", "fd", "length")

    def __init__(self, fd: int, length: int, hold: Hold | None) -> None:
        self.fd = fd
        self.length = length
        self._hold = hold

    def detach(self) -> int:
        """The descriptor, from now on the caller's; the lock stays."""
        fd, self.fd = self.fd, -1
        return fd

    def read_into(self, within: int, buffer: memoryview, done: int, end: int, progress: Callable[[int], None]) -> bool:
        """Fills buffer[done:end] from the byte `within` on; whether the file has so much. Raises OSError."""
        while done < end:
            count = os.preadv(self.fd, [buffer[done : min(end, done + _PIECE_BYTES)]], within)
            if not count:
                return False
            done += count
            within += count
            progress(done)
        return True

    def close(self) -> None:
        """Idempotent."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.release()


class _Named(NamedTuple):
    """The places that a worker has named in a session."""

    session: Session
    places: tuple[Place, ...]


class LocalBlocks:
    """Opens block files. `files`: which may be; `direct`: directories that are looked into before a worker is asked.

    `promote`: a worker is to move what is used to its first tier, so it is asked for each block.
    """

    def __init__(self, files: BlockFiles, promote: bool, direct: Sequence[str] = ()) -> None:
        self._files = files
        self._direct = tuple(map(files.place_in, direct))
        self._promote = promote
        self._uses = Uses()
        self._lock = threading.Lock()
        self._unseen: dict[str, float] = {}  # lock; targets of workers whose files cannot be opened here, until when
        self._refusals: dict[str, int] = {}  # lock; by target: how many there were before the first block file
        self._named: dict[str, _Named] = {}  # written with the lock; by target: of a worker that has lent block files

    def may_open(self, link: WorkerLink) -> bool:
        """Whether it is worth while to ask a worker for its files."""
        return self._unseen.get(link.target, 0.0) <= time.monotonic()

    def open_directly(self, block_id: int, length: int) -> LocalBlock | None:
        """The block file where it should lie; nobody is asked or told."""
        for place in self._direct:
            fd = place.open(block_id, length)
            if fd is not None:
                return LocalBlock(fd, length, None)
        return None

    def read_directly(self, block_id: int, length: int, offset: int, buffer: memoryview) -> bool:
        """Fills `buffer` from that file; False: there is none, or it is too short."""
        return any(place.read(block_id, length, offset, buffer) for place in self._direct)

    def read(self, link: WorkerLink, block_id: int, length: int, offset: int, buffer: memoryview) -> bool:
        """Fills `buffer` from byte `offset` of a block file that is found without asking the worker behind `link`.

        False: there is none where the worker is known to have others.
        """
        if not any(place.read(block_id, length, offset, buffer) for place in self._places(link)):
            return False
        self._uses.tell(link, block_id)
        return True

    def open(self, link: WorkerLink, block_id: int, length: int, *, ask: bool = True) -> LocalBlock | None:
        """The block file of the worker behind `link`; None: read it through the worker. Raises OSError.

        `ask`: whether the worker may be asked for one that is not where it is known to have others. Raises NotFound
        when it says that it does not have the block.
        """
        for place in self._places(link):
            fd = place.open(block_id, length)
            if fd is not None:
                return LocalBlock(fd, length, self._uses.hold(link, block_id))
        return self._ask(link, block_id, length) if ask and self.may_open(link) else None

    def close(self) -> None:
        """Tells workers nothing any more. Idempotent."""
        self._uses.close()

    def _ask(self, link: WorkerLink, block_id: int, length: int) -> LocalBlock | None:
        try:
            lock: BlockLock | None = BlockLock(link, block_id, self._promote)
        except NotFound:
            self._note_refusal(link)
            raise
        assert lock is not None
        try:
            path = lock.path
            place = self._files.place_of(path, block_id)  # none of a worker with a paged store, whose path is relative
            fd = None if place is None else place.open(block_id, length)
            if place is None or fd is None:
                self._note_unseen(link, path, place)
                return None
            self._note_place(link, lock.session, place)
            hold = self._uses.keep(lock)
            if hold is not None:
                lock = None
            return LocalBlock(fd, length, hold)
        finally:
            if lock is not None:
                lock.release()

    def _places(self, link: WorkerLink) -> tuple[Place, ...]:
        """The places that the worker has named in the session that still lasts."""
        named = self._named.get(link.target)
        if named is None or self._promote or link.channel.living_session() is not named.session:
            return ()
        return named.places

    def _note_place(self, link: WorkerLink, session: Session, place: Place) -> None:
        with self._lock:
            named = self._named.get(link.target)
            places = named.places if named is not None and named.session is session else ()
            if place not in places:
                self._named[link.target] = _Named(session, (place, *places)[:_MOST_PLACES])

    def _note_refusal(self, link: WorkerLink) -> None:
        with self._lock:
            if link.target in self._named:
                return
            number = self._refusals[link.target] = self._refusals.get(link.target, 0) + 1
            if number >= _MOST_REFUSALS:
                self._unseen[link.target] = time.monotonic() + _REFUSED_S
        if number == _MOST_REFUSALS:
            log.info("the worker %s has no block files: what it holds is read through it", link.target)

    def _note_unseen(self, link: WorkerLink, path: str, place: Place | None) -> None:
        if place is not None and place.is_seen():
            return  # the block has just gone
        with self._lock:
            known = link.target in self._unseen
            self._unseen[link.target] = time.monotonic() + _UNSEEN_S
        if not known and path.startswith("/"):
            log.warning(
                "the worker %s is on this machine, but its block files cannot be opened here (%s): they are read "
                "through the worker, slower; give this process the directory at the same path, not through symbolic "
                "links, or name it in alluxio.worker.tieredstore.level0.dirs.path",
                link.target,
                os.path.dirname(path),
            )
