"""OpenLocalBlock: a worker is told of block files that are used here.

A worker counts each of these calls as a use of the block, by which it chooses what to evict, and keeps the block as
long as the call lasts. It also answers with the path of the file. If that is known already nobody waits for the answer:
the block is read at once, and the worker is told a little later (`Uses`), in a thread of its own.

    open still     the call is held until the file is closed: a connection that says nothing
    closed by now  a small file, say: calls are ended as they are begun, many in a row on one connection, and only the
                   answer to the last of them is waited for. That takes a fifth of the time of calls one by one, of the
                   worker's as well as of ours

Of a worker that is slow some uses are not told. Nothing depends on it but what it evicts: a descriptor keeps its bytes.

Threads: any. One, begun with the first use, makes the calls of `Uses`; its condition guards the queue, the state of
each Hold and the count, and is not held during a call. `close` does not wait for it: the links are closed after it,
which ends its call.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from errno import ECANCELED
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.errors import MountError, forget_frames
from alluxio_jnifuse.sources.alluxio.data.attempts import is_silent
from alluxio_jnifuse.sources.alluxio.rpc import requests
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, NotFound, Status, is_of_server
from alluxio_jnifuse.sources.alluxio.rpc.streams import begin, next_message
from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alluxio_jnifuse._wire import BlockConnection
    from alluxio_jnifuse.sources.alluxio.rpc.channel import Stream
    from alluxio_jnifuse.sources.alluxio.workers.link import WorkerLink

log = logging.getLogger(__name__)

OPEN_LOCAL_BLOCK = "/alluxio.grpc.block.BlockWorker/OpenLocalBlock"

_PATH_BYTES = 4096
_MOST_LOCKS = 256  # beyond, files are used without: each lock is a connection of the worker
_GATHER_S = 0.02  # after the first use, for others: a thread that wakes for each of them costs more than the calls
_MOST_WAITING = 4096  # uses that are not told yet
_IN_A_ROW = 32  # calls, before an answer is waited for: they fit into what is sent and received without reading


class BlockLock:
    """An OpenLocalBlock call: `path` is the answer, and the block is kept until `release`. Raises OSError when made."""

    def __init__(self, link: WorkerLink, block_id: int, promote: bool = False) -> None:
        self._link = link
        self._connection: BlockConnection | None = None
        self._stream: Stream | None = None
        self.session = link.channel.session(link.patience_s)  # in which it was asked
        request = requests.open_local_block(block_id, promote=promote).SerializeToString()
        self.path = (self._ask(request) if link.plain else "") or self._ask_over_channel(request)

    def _ask(self, request: bytes) -> str:
        """The path, or "" for any reason not to have one but silence. Raises OSError."""
        link = self._link
        patience = link.patience_s
        channel_id = self.session.channel_id
        for _ in range(2):  # a connection that had been idle may be dead
            connection, used = link.take()
            try:
                link.calls.count(OPEN_LOCAL_BLOCK, link.target)
                connection.call(OPEN_LOCAL_BLOCK, link.authority, channel_id, request, patience, nested=False)
                path = connection.read_message(_PATH_BYTES, patience)
            except BaseException as error:
                link.drop(connection)
                if not isinstance(error, OSError) or isinstance(error, TimeoutError) or error.errno == ECANCELED:
                    raise
                if not used:
                    return ""
                link.forget_idle()
                continue
            if path:
                self._connection = connection
                return os.fsdecode(path)
            link.drop(connection)
            return ""
        return ""

    def _ask_over_channel(self, request: bytes) -> str:
        from google.protobuf.message import DecodeError

        from alluxio_jnifuse.sources.alluxio.proto import worker_pb2

        patience = self._link.patience_s
        stream, _ = begin(self._link.channel, OPEN_LOCAL_BLOCK, request, patience)
        try:
            answer = next_message(stream, patience) or b""
            path = worker_pb2.OpenLocalBlockResponse.FromString(answer).path
        except DecodeError as error:
            stream.cancel()
            raise CallError(Status.INTERNAL, f"OpenLocalBlock at {self._link.target}", str(error)) from None
        except BaseException:
            stream.cancel()
            raise
        self._stream = stream
        return path

    def release(self) -> None:
        """Idempotent."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            _give_back(self._link, connection)


class Hold:
    """The use of a block file that is open: with a lock, sooner or later, or without; `release` when it is closed."""

    __slots__ = ("_lock", "_owner", "released")

    def __init__(self, owner: Uses) -> None:
        self._owner = owner
        self._lock: BlockLock | None = None  # changed with the owner's condition
        self.released = False  # set with it

    def take(self, lock: BlockLock) -> bool:
        """Holds a lock that was taken for it; False: it is not needed any more, or there are too many."""
        with self._owner.condition:
            if self.released or not self._owner.count_locked(+1):
                return False
            self._lock = lock
            return True

    def release(self) -> None:
        """Idempotent."""
        with self._owner.condition:
            self.released = True
            lock, self._lock = self._lock, None
            if lock is not None:
                self._owner.count_locked(-1)
        if lock is not None:
            lock.release()


class _Use(NamedTuple):
    link: WorkerLink
    block_id: int
    hold: Hold | None


class Uses:
    """See the module's docstring."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self._waiting: deque[_Use] = deque()  # condition
        self._running = False  # condition
        self._closed = threading.Event()  # set with the condition
        self._locks = 0  # condition

    def tell(self, link: WorkerLink, block_id: int) -> None:
        """A block file was read. Returns at once."""
        self._add(_Use(link, block_id, None))

    def hold(self, link: WorkerLink, block_id: int) -> Hold:
        """A block file is open. Returns at once."""
        hold = Hold(self)
        self._add(_Use(link, block_id, hold))
        return hold

    def keep(self, lock: BlockLock) -> Hold | None:
        """Holds a lock that is there already; None: there are too many, and it is the caller's."""
        hold = Hold(self)
        return hold if hold.take(lock) else None

    def count_locked(self, change: int) -> bool:
        """Counts a lock that is held from now on, or no longer; False: no more may be."""
        if change > 0 and (self._closed.is_set() or self._locks >= _MOST_LOCKS):
            return False
        self._locks += change
        return True

    def close(self) -> None:
        """Tells nothing any more. Idempotent."""
        with self.condition:
            self._closed.set()
            self._waiting.clear()
            self.condition.notify_all()

    def _add(self, use: _Use) -> None:
        with self.condition:
            if self._closed.is_set() or len(self._waiting) >= _MOST_WAITING:
                return
            self._waiting.append(use)
            if len(self._waiting) > 1:
                return  # the thread knows of the first one
            self.condition.notify()
            start, self._running = not self._running, True
        if start:
            try:
                start_thread("block-uses", self._run)  # it waits for the condition
            except MountError as error:
                log.debug("uses of blocks are not told: %s", error)
                with self.condition:
                    self._running = False
                    self._waiting.clear()

    def _run(self) -> None:
        while True:
            with self.condition:
                self.condition.wait_for(lambda: self._waiting or self._closed.is_set())
            if self._closed.wait(_GATHER_S):
                return
            with self.condition:
                uses = list(self._waiting)
                self._waiting.clear()
            self._tell_all(uses)

    def _tell_all(self, uses: Iterable[_Use]) -> None:
        told: dict[WorkerLink, list[int]] = {}
        away: set[WorkerLink] = set()  # each further call to one of them might wait as long
        for use in uses:
            if use.hold is None or use.hold.released or self._locks >= _MOST_LOCKS:
                told.setdefault(use.link, []).append(use.block_id)
            elif not self._closed.is_set() and use.link not in away and not _lock(use.link, use.block_id, use.hold):
                away.add(use.link)
        for link, blocks in told.items():
            left = iter(blocks)
            try:
                while not self._closed.is_set() and link not in away and (row := list(islice(left, _IN_A_ROW))):
                    _tell(link, row)
            except Exception as error:
                forget_frames(error)
                log.debug("%s does not know of all %d blocks that were read: %s", link, len(blocks), error)


def _lock(link: WorkerLink, block_id: int, hold: Hold) -> bool:
    """Locks the block of a file that is open, if the worker still has it; whether the worker answered."""
    try:
        lock = _ask_again(link, block_id)
    except Exception as error:  # gRPC may not start a thread, say; nothing depends on the lock
        forget_frames(error)
        log.debug("block %d is used without a lock: %s", block_id, error)
        return isinstance(error, CallError) and is_of_server(error) and not is_silent(error)
    if not hold.take(lock):
        lock.release()
    return True


def _ask_again(link: WorkerLink, block_id: int) -> BlockLock:
    """A lock; a worker that does not know us any more is asked in another session. Raises OSError, MountError."""
    try:
        return BlockLock(link, block_id)
    except CallError as error:
        if error.status is not Status.UNAUTHENTICATED:
            raise
        forget_frames(error)
    return BlockLock(link, block_id)


def _tell(link: WorkerLink, blocks: Sequence[int]) -> None:
    """Makes a call for each of some blocks that ends at once. Raises OSError, MountError."""
    if not link.plain:
        for block_id in blocks:
            _tell_alone(link, block_id)
        return
    channel_id = link.channel.session(link.patience_s).channel_id
    while True:
        connection, used = link.take()
        try:
            answered = _tell_in_a_row(link, connection, channel_id, blocks)
        except BaseException as error:
            link.drop(connection)
            if not used or not isinstance(error, OSError) or isinstance(error, TimeoutError):
                raise
            link.forget_idle()  # it may have been dead: once more, on a new one
        else:
            _give_back(link, connection)
            break
    if not answered:  # it does not have the block any more, or does not know us: then this call makes a new session
        _tell_alone(link, blocks[-1])


def _tell_alone(link: WorkerLink, block_id: int) -> None:
    """Nothing comes of it when the worker does not have the block any more. Raises OSError, MountError."""
    try:
        _ask_again(link, block_id).release()
    except NotFound as error:
        forget_frames(error)


def _tell_in_a_row(link: WorkerLink, connection: BlockConnection, channel_id: str, blocks: Sequence[int]) -> bool:
    """Whether the last call was answered, which is to be finished. Raises OSError."""
    for number, block_id in enumerate(blocks, start=1):
        request = requests.open_local_block(block_id).SerializeToString()
        link.calls.count(OPEN_LOCAL_BLOCK, link.target)
        connection.call(OPEN_LOCAL_BLOCK, link.authority, channel_id, request, link.patience_s, nested=False)
        if number < len(blocks):
            connection.finish(0)
    return connection.read_message(_PATH_BYTES, link.patience_s) != b""


def _give_back(link: WorkerLink, connection: BlockConnection) -> None:
    """Ends the call of a connection, which then serves others, if it can."""
    try:
        if connection.finish(0):
            link.give_back(connection)
            return
    except OSError:
        pass
    link.drop(connection)
