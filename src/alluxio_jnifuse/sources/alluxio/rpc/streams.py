"""One ReadBlock call over gRPC: the bytes of a range of a block, in order, into the pages they are for.

It is what serves where the connections of link.py do not: with TLS, and to learn why a read was refused.

Messages are taken as raw bytes and parsed by hand: ReadResponse{1: Chunk{1: data}} is two tags and two lengths before
the data, and every message object in between would copy them once more. No acknowledgements are sent: a reader that
takes what comes is flow control enough, and workers complete such reads faster.

A call ends cleanly when the client half-closes *after* the last byte; before, that cuts it short, and some of what was
sent still comes. gRPC takes requests from an iterator in a thread of its own, which must be let go in every case:
`Requests.close`.

Threads: a ReadStream is used by one thread at a time.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import MountError, forget_frames
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, Status, TimedOut
from alluxio_jnifuse.sources.alluxio.rpc.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.sources.alluxio.rpc.channel import Channel, Stream

READ_BLOCK = "/alluxio.grpc.block.BlockWorker/ReadBlock"

# Of a call that is ended early: buffers of workers and sockets hold some MiB each.
LEFT_BYTES = 32 << 20

_TAG = 0x0A  # field 1, length-delimited
_WATCHDOG = Watchdog()


class MalformedChunk(Exception):
    """A worker sent what is no ReadResponse."""


class ShortStream(Exception):
    """A worker ended the stream before all that was asked for had come."""


class Requests:
    """The request iterator of a call that stays open: one message, then nothing until `close`, which half-closes."""

    __slots__ = ("_first", "_open")

    def __init__(self, first: bytes) -> None:
        self._first: bytes | None = first
        self._open = threading.Lock()
        self._open.acquire()

    def __iter__(self) -> Requests:
        return self

    def __next__(self) -> bytes:
        first, self._first = self._first, None
        if first is not None:
            return first
        self._open.acquire()
        self._open.release()  # gets the same answer when it asks again
        raise StopIteration

    def close(self) -> None:
        """Idempotent; any thread."""
        try:
            self._open.release()
        except RuntimeError:
            pass


def payload(message: bytes) -> memoryview:
    """The data of a serialised ReadResponse. Raises MalformedChunk."""
    at = 0
    end = len(message)
    for _ in range(2):
        if at == end:
            return memoryview(b"")  # an absent chunk, or one without data
        if message[at] != _TAG:
            raise MalformedChunk(f"field tag {message[at]:#x} where a chunk was due")
        at += 1
        length = shift = 0
        while True:
            if at >= end or shift > 35:
                raise MalformedChunk("truncated length")
            byte = message[at]
            at += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        if at + length != end:
            raise MalformedChunk(f"a chunk of {length} bytes in a message with {end - at} left")
    return memoryview(message)[at:]


class ReadStream:
    """The bytes [offset, end) of a block, as one worker sends them.

    Raises what `Channel.stream` and its calls raise, MalformedChunk, ShortStream.
    """

    def __init__(self, channel: Channel, request: bytes, offset: int, end: int, patience: float) -> None:
        """`offset` and `end` are those of `request`; `patience`: for one message, s."""
        self.position = offset  # of the next byte that `read_into` gives
        self.end = end
        self._rest = memoryview(b"")
        self._patience = patience
        self._channel = channel
        self._call, self._requests = begin(channel, READ_BLOCK, request, patience)

    def read_into(self, buffer: memoryview, done: int, end: int, progress: Callable[[int], None]) -> int:
        """Fills buffer[done:end] as far as the stream goes; returns how many bytes of `buffer` are filled.

        Calls `progress` with that count after each message.
        """
        begin = self.position
        try:
            while done < end and self.position < self.end:
                data = self._rest or self._next()
                take = min(len(data), end - done, self.end - self.position)
                buffer[done : done + take] = data[:take]
                self._rest = data[take:]
                done += take
                self.position += take
                progress(done)
        finally:
            self._channel.calls.received(self.position - begin, self._channel.target)
        return done

    def _next(self) -> memoryview:
        message = next_message(self._call, self._patience)
        if message is None:
            raise ShortStream(f"the stream ended at {self.position} of {self.end}")
        return payload(message)

    def finish(self) -> None:
        """Ends the call: cleanly when all bytes were taken, else by cancelling it. Idempotent."""
        self._requests.close()
        if self.position < self.end or self._rest:
            self._call.cancel()
        self._rest = memoryview(b"")

    def leave(self) -> None:
        """Half-closes the call."""
        self._requests.close()

    def await_end(self, seconds: float) -> None:
        """Waits for the end of a call that was left, passing over what still comes."""
        until, passed = time.monotonic() + seconds, 0
        try:
            while passed <= LEFT_BYTES:
                message = next_message(self._call, until - time.monotonic())
                if message is None:
                    return
                passed += len(message)
        except (CallError, MountError) as error:  # the latter: there may be no more threads
            forget_frames(error)
        finally:
            self.finish()


def begin(channel: Channel, method: str, request: bytes, patience: float) -> tuple[Stream, Requests]:
    """Begins a call that stays open until its Requests are closed, without a deadline. Raises CallError."""
    channel.session(patience)
    held = Requests(request)
    try:
        stream = channel.stream(method, held, None)
    except BaseException:
        held.close()
        raise
    stream.on_end(held.close)
    return stream, held


def next_message(stream: Stream, patience: float) -> bytes | None:
    """The next message of a call; None when the server has ended it in order. Raises CallError, TimedOut."""
    with _WATCHDOG.watch(stream.cancel, patience) as watch:
        try:
            return next(stream, None)
        except CallError as error:
            if not watch.expired:
                raise
            raise TimedOut(Status.DEADLINE_EXCEEDED, error.where, f"nothing came within {patience:.3g} s") from None
