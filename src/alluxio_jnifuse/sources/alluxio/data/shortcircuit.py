"""Block files of workers on this machine, opened instead of being sent.

A worker is asked for the path (OpenLocalBlock) and keeps the block as long as that call lasts; so the call, one
connection that says nothing, is held while the file is used. With `direct_local_io` nobody is asked: the block file
is opened where a worker with one tier has it. In both cases the descriptor keeps the bytes, whatever becomes of the
block; the lock only spares the worker the surprise that evicting it frees no memory.

A file that cannot be opened, or is shorter than its block, is read through the worker. A worker whose directory cannot
be seen from here (another container) is remembered for a while, and named once in the log. So is one that has no block
files at all (alluxio.worker.block.store.type=PAGE), which says of every block that it does not have it; one that has
lent block files says so of blocks that are gone.

Threads: any. The lock guards what is remembered of workers, and the count.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from errno import ECANCELED
from typing import TYPE_CHECKING

from alluxio_jnifuse.sources.alluxio.rpc import requests
from alluxio_jnifuse.sources.alluxio.rpc.errors import NotFound
from alluxio_jnifuse.sources.alluxio.rpc.streams import begin, next_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alluxio_jnifuse._wire import BlockConnection
    from alluxio_jnifuse.sources.alluxio.data.blockfiles import BlockFiles
    from alluxio_jnifuse.sources.alluxio.rpc.channel import Stream
    from alluxio_jnifuse.sources.alluxio.workers.link import WorkerLink

log = logging.getLogger(__name__)

OPEN_LOCAL_BLOCK = "/alluxio.grpc.block.BlockWorker/OpenLocalBlock"

_PATH_BYTES = 4096
_MOST_LOCKS = 256  # beyond, files are used without: each lock is a connection of the worker
_MOST_REFUSALS = 8  # of one worker that has lent nothing yet, before it is not asked any more
_REFUSED_S = 60.0  # for so long
_PIECE_BYTES = 1 << 20  # read at once: after each of them its progress is told
_UNSEEN_S = 600.0  # how long a worker whose files cannot be opened is not asked for them


class LocalBlock:
    """An open block file of `length` bytes; `close` gives descriptor and lock back."""

    __slots__ = ("_lock", "fd", "length")

    def __init__(self, fd: int, length: int, lock: _Lock | None) -> None:
        self.fd = fd
        self.length = length
        self._lock = lock

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
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


class LocalBlocks:
    """Opens block files. `files`: which may be; `direct`: directories that are looked into before a worker is asked."""

    def __init__(self, files: BlockFiles, promote: bool, direct: Sequence[str] = ()) -> None:
        self._files = files
        self._direct = tuple(direct)
        self._promote = promote
        self._lock = threading.Lock()
        self._unseen: dict[str, float] = {}  # lock; targets of workers whose files cannot be opened here, until when
        self._refusals: dict[str, int] = {}  # lock; by target: how many there were before the first block file
        self._lenders: set[str] = set()  # lock; targets of workers that have block files
        self._locks = 0  # lock

    def may_open(self, link: WorkerLink) -> bool:
        """Whether it is worth while to ask a worker for its files."""
        return self._unseen.get(link.target, 0.0) <= time.monotonic()

    def open_directly(self, block_id: int, length: int) -> LocalBlock | None:
        """The block file where it should lie, without asking anybody."""
        for directory in self._direct:
            fd = self._files.open_in(directory, block_id, length)
            if fd is not None:
                return LocalBlock(fd, length, None)
        return None

    def open(self, link: WorkerLink, block_id: int, length: int) -> LocalBlock | None:
        """The block file of the worker behind `link`; None: read it through the worker. Raises OSError.

        Raises NotFound when the worker says that it does not have the block.
        """
        block = self.open_directly(block_id, length)
        if block is not None or not self.may_open(link):
            return block
        try:
            lock = _Lock(self, link, block_id, self._promote)
        except NotFound:
            self._note_refusal(link)
            raise
        try:
            path = lock.path
            fd = self._files.open(path, block_id, length)  # a worker with a paged store has none, and no absolute path
            if fd is None:
                self._note_unseen(link, path, block_id)
                return None
            with self._lock:
                self._lenders.add(link.target)
                keep = self._locks < _MOST_LOCKS
                self._locks += keep
            if not keep:
                return LocalBlock(fd, length, None)
            lock.counted = True
            block, lock = LocalBlock(fd, length, lock), None  # type: ignore[assignment]
            return block
        finally:
            if lock is not None:
                lock.release()

    def uncount(self) -> None:
        with self._lock:
            self._locks -= 1

    def _note_refusal(self, link: WorkerLink) -> None:
        with self._lock:
            if link.target in self._lenders:
                return
            number = self._refusals[link.target] = self._refusals.get(link.target, 0) + 1
            if number >= _MOST_REFUSALS:
                self._unseen[link.target] = time.monotonic() + _REFUSED_S
        if number == _MOST_REFUSALS:
            log.info("the worker %s has no block files: what it holds is read through it", link.target)

    def _note_unseen(self, link: WorkerLink, path: str, block_id: int) -> None:
        directory = os.path.dirname(path)
        if self._files.is_seen(path, block_id):
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
                directory,
            )


class _Lock:
    """An OpenLocalBlock call: `path` is the answer."""

    def __init__(self, owner: LocalBlocks, link: WorkerLink, block_id: int, promote: bool) -> None:
        self.counted = False
        self._owner = owner
        self._link = link
        self._connection: BlockConnection | None = None
        self._stream: Stream | None = None
        request = requests.open_local_block(block_id, promote=promote).SerializeToString()
        self.path = (self._ask(request) if link.plain else "") or self._ask_over_channel(request)

    def _ask(self, request: bytes) -> str:
        """The path, or "" for any reason not to have one but silence. Raises OSError."""
        link = self._link
        patience = link.patience_s
        channel_id = link.channel.session(patience).channel_id
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
        patience = self._link.patience_s
        stream, _ = begin(self._link.channel, OPEN_LOCAL_BLOCK, request, patience)
        try:
            answer = next_message(stream, patience) or b""
        except BaseException:
            stream.cancel()
            raise
        self._stream = stream
        from alluxio_jnifuse.sources.alluxio.proto import worker_pb2

        return worker_pb2.OpenLocalBlockResponse.FromString(answer).path

    def release(self) -> None:
        if self.counted:
            self._owner.uncount()
        if self._stream is not None:
            self._stream.cancel()
        connection = self._connection
        if connection is not None:
            try:
                if connection.finish(0):
                    self._link.give_back(connection)
                    return
            except OSError:
                pass
            self._link.drop(connection)
