"""Copies of blocks, which a thread of its own asks for: closing a file waits for no worker.

A worker that still fetches a block from the under store for a reader makes no copy of it, and says so to nobody. So a
call that was left before its end (`BlockCall.leave`) goes with the question, and the thread waits for that end first.
It passes over the bytes that the worker has sent meanwhile. If the end does not come in time the copy is asked for all
the same.

Threads: any in `ask` and `close`; one, begun with the first question, asks. A call that `ask` took belongs to that
thread, which ends it in every case; `close` waits for neither: the links are closed after it, which ends their calls.
The time of a call runs from when it was left, so many that are not ended cost hardly more than one of them.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.sources.alluxio.proto import worker_pb2
from alluxio_jnifuse.sources.alluxio.rpc import requests
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, is_unimplemented
from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alluxio_jnifuse.sources.alluxio.metadata.status import Address
    from alluxio_jnifuse.sources.alluxio.workers.link import BlockCall, WorkerLink

log = logging.getLogger(__name__)

CACHE = "/alluxio.grpc.block.BlockWorker/Cache"
ASYNC_CACHE = "/alluxio.grpc.block.BlockWorker/AsyncCache"

_CACHE_S = 10.0
_MOST_WAITING = 1000
_MOST_WAITING_WITH_CALLS = 64  # questions; each call is a connection
_END_S = 10.0  # since a call was left, for its end: a worker first waits for what it asked of the under store; but
_LEAST_END_S = 0.2  # no less than it takes to pass over what came long ago


class Left(NamedTuple):
    """A call that was left, of a block of a file, and when (monotonic)."""

    block: int
    call: BlockCall
    since: float


class _Copy(NamedTuple):
    address: Address
    request: worker_pb2.CacheRequest
    left: Sequence[Left]


class Copies:
    """See the module's docstring. `link_to`, `is_silent`, `note_silence`: as those of Workers."""

    def __init__(
        self,
        link_to: Callable[[Address], WorkerLink],
        is_silent: Callable[[Address], bool],
        note_silence: Callable[[Address], None],
    ) -> None:
        self._link_to = link_to
        self._is_silent = is_silent
        self._note_silence = note_silence
        self._lock = threading.Lock()
        self._closed = False  # lock
        self._thread: threading.Thread | None = None  # lock
        self._waiting: queue.Queue[_Copy | None] = queue.Queue(_MOST_WAITING)  # put to with the lock
        self._old: set[str] = set()  # targets of workers without Cache; the thread's

    def ask(self, address: Address, request: worker_pb2.CacheRequest, left: Sequence[Left]) -> bool:
        """Has a worker asked for a copy when the calls `left` have ended. False: not so, and they are the caller's."""
        try:
            with self._lock:
                if self._closed or (left and self._waiting.qsize() >= _MOST_WAITING_WITH_CALLS):
                    return False
                if self._thread is None:
                    self._thread = start_thread("copies", self._run)
                self._waiting.put_nowait(_Copy(address, request, left))
        except (queue.Full, MountError) as error:
            log.debug("a copy is not asked for: %r", error)
            return False
        return True

    def close(self) -> None:
        """Asks for nothing any more. Idempotent."""
        with self._lock:
            self._closed = True
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                pass  # the thread that takes the next one sees that it is over

    def _run(self) -> None:
        while True:
            copy = self._waiting.get()
            if self._closed:
                break
            if copy is not None:
                self._make(copy)
        while True:
            for each in copy.left if copy is not None else ():
                each.call.finish()
            try:
                copy = self._waiting.get_nowait()
            except queue.Empty:
                return

    def _make(self, copy: _Copy) -> None:
        for each in copy.left:
            each.call.await_end(max(each.since + _END_S - time.monotonic(), _LEAST_END_S))
        if self._closed or self._is_silent(copy.address):
            return
        try:
            self._ask(self._link_to(copy.address), copy.request)
        except Exception as error:  # it would only make the next read faster
            log.debug("block %d was not copied: %s", copy.request.block_id, error)
            if isinstance(error, TimeoutError):
                self._note_silence(copy.address)

    def _ask(self, link: WorkerLink, request: worker_pb2.CacheRequest) -> None:
        about = f"block={request.block_id}"
        if link.target not in self._old:
            try:
                link.channel.unary(CACHE, request, worker_pb2.CacheResponse, _CACHE_S, about)
                return
            except CallError as error:
                if not is_unimplemented(error):
                    raise
                self._old.add(link.target)
        options, host, port = request.open_ufs_block_options, request.source_host, request.source_port
        older = requests.async_cache(request.block_id, request.length, options, host, port)
        link.channel.unary(ASYNC_CACHE, older, worker_pb2.AsyncCacheResponse, _CACHE_S, about)
