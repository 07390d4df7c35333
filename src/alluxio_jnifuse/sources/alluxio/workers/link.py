"""One worker, and the ways to its bytes.

Block data comes over connections of our own (csrc/wire/h2.h) under the session of the worker's gRPC channel: a server
knows its users by the channel id alone. Such a read says nothing about why it fails, so after a refusal the worker is
asked once more over the channel, which does. With TLS everything goes over the channel.

Threads: any. A connection is used by one read at a time; idle ones are kept for the next, for as long as nothing on
the way is likely to have forgotten them. The lock guards the lists of them and is held for nothing else. `close` makes
every thread that waits for a byte fail.
"""

from __future__ import annotations

import threading
import time
from errno import ECANCELED, EINVAL
from typing import TYPE_CHECKING, Protocol

from alluxio_jnifuse._wire import BlockConnection
from alluxio_jnifuse.sources.alluxio.rpc.channel import Channel
from alluxio_jnifuse.sources.alluxio.rpc.errors import Closed, Status
from alluxio_jnifuse.sources.alluxio.rpc.streams import LEFT_BYTES, READ_BLOCK, ReadStream, ShortStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.sources.alluxio.rpc.calls import Calls
    from alluxio_jnifuse.sources.alluxio.settings import Settings

_MOST_IDLE = 16  # connections; as many as reads of one worker are usually under way
_IDLE_S = 60.0  # after which a connection is not used again
_CONNECT_S = 10.0  # at most
_STEP_BYTES = 256 << 10  # between two reports of progress


class BlockCall(Protocol):
    """The bytes [position, end) of a block, in order. Used by one thread at a time, which may pass it on.

    `finish` comes last, or `leave`, later `await_end`, and between them nothing but `finish`.
    """

    position: int
    end: int

    def read_into(self, buffer: memoryview, done: int, end: int, progress: Callable[[int], None]) -> int:
        """Fills buffer[done:end] as far as the call goes, and returns how far; progress(n): buffer[:n] is final.

        Raises OSError, ShortStream, MalformedChunk, and what `progress` raises. `position` counts what was reported.
        """

    def finish(self) -> None:
        """Ends the call, whether all was read or not: then the worker learns of it when it sends more. Idempotent."""

    def leave(self) -> None:
        """Tells the worker that no more is wanted, so that it ends the call; does not wait, nor raise."""

    def await_end(self, seconds: float) -> None:
        """Waits for the worker's end of a call that was left, so long at most, and finishes it. Raises nothing.

        Up to LEFT_BYTES that still come are passed over; behind them the call is cut off.
        """


class WorkerLink:
    """Ways to the worker at `target` ("host:port" or "unix:/path"), made when they are first needed."""

    def __init__(self, target: str, settings: Settings, calls: Calls | None = None) -> None:
        self.target = target
        self.channel = Channel(target, settings, calls)
        self.calls = self.channel.calls
        self.plain = not settings.tls
        self.patience_s = stall_s(settings)
        host, _, port = target.rpartition(":")
        self._host, self._port = (
            (target[len("unix:") :], "") if target.startswith("unix:") else (host.strip("[]"), port)
        )
        self.authority = "localhost" if target.startswith("unix:") else target
        self.used_at = time.monotonic()
        self._lock = threading.Lock()
        self._idle: list[tuple[BlockConnection, float]] = []  # lock; since when; the last one was used last
        self._busy: set[BlockConnection] = set()  # lock
        self._closed = False  # lock

    def __repr__(self) -> str:
        return f"<WorkerLink {self.target}>"

    def prepare(self) -> None:
        """Makes what the first read or question needs: a session, and a connection. Raises CallError, OSError."""
        self.channel.session(self.patience_s)
        if self.plain:
            self.give_back(self.take()[0])

    def read(self, request: bytes, offset: int, end: int) -> BlockCall:
        """Begins to read the bytes [offset, end) that `request`, a serialised ReadRequest, asks for. Raises OSError."""
        if not self.plain:
            return self.read_over_channel(request, offset, end)
        return _Direct(self, request, offset, end)

    def read_over_channel(self, request: bytes, offset: int, end: int) -> BlockCall:
        """Like `read`, slower, with errors that say why. Raises CallError."""
        return ReadStream(self.channel, request, offset, end, self.patience_s)

    def take(self) -> tuple[BlockConnection, bool]:
        """A connection, and whether it was used before: the worker may have ended it meanwhile. Raises OSError.

        The caller gives it back or drops it.
        """
        since = time.monotonic() - _IDLE_S
        with self._lock:
            self._check_locked()
            if self._idle and self._idle[-1][1] > since:
                connection = self._idle.pop()[0]
                self._busy.add(connection)
                return connection, True
        self.forget_idle()  # if there are any, they are older still
        try:
            connection = BlockConnection(self._host, self._port, min(self.patience_s, _CONNECT_S))
        except ValueError as error:  # a NUL in the name that a master gave
            raise OSError(EINVAL, str(error), self.target) from None
        with self._lock:
            self._check_locked()
            self._busy.add(connection)
        return connection, False

    def give_back(self, connection: BlockConnection) -> None:
        """Takes a connection whose call has ended in order."""
        with self._lock:
            self._busy.discard(connection)
            if not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()

    def drop(self, connection: BlockConnection) -> None:
        """Ends a connection, and the call that is under way on it."""
        with self._lock:
            self._busy.discard(connection)
        connection.close()

    def forget_idle(self) -> None:
        """Closes what is idle: the worker has gone, or was started anew."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def unused_since(self, when: float) -> bool:
        """Whether nobody has used it since then, nor does now."""
        with self._lock:
            return self.used_at < when and not self._busy

    def retire(self) -> None:
        """Closes when the calls under way have ended."""
        self.forget_idle()
        self.channel.retire()

    def close(self) -> None:
        """Ends the calls under way."""
        with self._lock:
            self._closed = True
            busy = list(self._busy)
        for connection in busy:
            connection.abort()  # its user closes it
        self.forget_idle()
        self.channel.close()

    def _check_locked(self) -> None:
        if self._closed:
            raise Closed(Status.CANCELLED, self.target, "the mount ends")


class _Direct:
    """A BlockCall on a connection of its own."""

    def __init__(self, link: WorkerLink, request: bytes, offset: int, end: int) -> None:
        self.position = offset
        self.end = end
        self._link = link
        self._request = request
        self._channel_id = link.channel.session(link.patience_s).channel_id
        self._connection: BlockConnection | None
        self._connection, self._used = link.take()
        try:
            self._call()
        except BaseException as error:
            if not self._used or not _is_dead(error):
                self._drop()
                raise
            self._renew()

    def _call(self) -> None:
        link = self._link
        assert self._connection is not None
        link.calls.count(READ_BLOCK, link.target)
        self._connection.call(READ_BLOCK, link.authority, self._channel_id, self._request, link.patience_s)

    def _renew(self) -> None:
        """Makes the call on a new connection: the one that had been idle was dead."""
        self._drop()
        self._link.forget_idle()
        self._channel_id = self._link.channel.session(self._link.patience_s).channel_id
        self._connection, self._used = self._link.take()
        try:
            self._call()
        except BaseException:
            self._drop()
            raise

    def read_into(self, buffer: memoryview, done: int, end: int, progress: Callable[[int], None]) -> int:
        begin = self.position
        try:
            return self._read_or_renew(buffer, done, end, progress)
        finally:
            self._link.calls.received(self.position - begin, self._link.target)

    def _read_or_renew(self, buffer: memoryview, done: int, end: int, progress: Callable[[int], None]) -> int:
        begin = self.position
        try:
            return self._read(buffer, done, end, progress)
        except OSError as error:
            if not self._used or not _is_dead(error) or self.position > begin or self._connection is None:
                raise
        self._renew()
        return self._read(buffer, done, end, progress)

    def _read(self, buffer: memoryview, done: int, end: int, progress: Callable[[int], None]) -> int:
        connection, begin = self._connection, self.position - done
        assert connection is not None
        try:
            filled = connection.read_into(buffer, done, end, _STEP_BYTES, self._link.patience_s, progress)
        finally:
            self.position = begin + connection.filled
        if filled < end:
            self._drop()
            raise ShortStream(f"the stream ended at {self.position} of {self.end}")
        self._used = False  # it lives
        return filled

    def finish(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if self.position == self.end and connection.finish(0):
                self._link.give_back(connection)
                return
        except OSError:
            pass
        self._link.drop(connection)

    def leave(self) -> None:
        if self._connection is not None and not self._connection.leave():
            self._drop()

    def await_end(self, seconds: float) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.finish(seconds, LEFT_BYTES):
            self._link.give_back(connection)
        else:
            self._link.drop(connection)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._link.drop(connection)


def _is_dead(error: BaseException) -> bool:
    """Whether a connection ended, rather than that somebody at its other end keeps silent, or that we end it."""
    return isinstance(error, OSError) and not isinstance(error, (TimeoutError, Closed)) and error.errno != ECANCELED


def stall_s(settings: Settings) -> float:
    """How long a worker may send nothing before another one is asked, s.

    A fraction of what an application waits at most, so that there is time to try others.
    """
    return min(30.0, max(1.0, settings.read_timeout_s / 6))
