"""One HTTP/1.1 connection that is used again and again, for requests without a body.

The bytes of an answer go from the socket to where they are wanted, in as few calls as there are: on a plain socket one
call waits in the kernel until a piece is there, or until its time is over, when it returns what there is. http.client
would copy them, wake up for every few packets, and take longer for the headers of a small object than its bytes take.
A request and a short answer are one call that gives the interpreter's lock back once (csrc/wire/http.h): with many
threads each time costs two switches between them. That call leaves anything uncommon to the code below.

Silence is noticed by two such waits in vain, one after the other, each half as long as a stall: that is after one stall
to one and a half. So is an answer that drips: for a head, interim answers included, two stalls are waited, for a body
that is read as a whole six, and a body that is read in pieces has to bring 4 KiB, or its rest, in each stall; a byte
more prolongs none of them. A body that is read as a whole has a limit, and so have the numbers of interim answers,
lines and chunks: they cost time without bringing anything.

Threads: one at a time, but `abort`.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import struct
import time
from typing import TYPE_CHECKING

from alluxio_jnifuse import _wire

if TYPE_CHECKING:
    from collections.abc import Callable

# Bytes that come with the head of an answer are copied, which takes less than receiving them by themselves.
_HEAD_BYTES = 64 << 10
_LARGEST_BODY_BYTES = 16 << 20  # of what is read as a whole: a page of 1,000 keys of 1,023 bytes, each thrice as long
_LINE_BYTES = 1 << 10  # of a chunk's size
_MOST_LINES = 1000  # of a head, and of trailers: 8 KiB of user metadata are some hundreds
_MOST_INTERIM = 16
_LEAST_CHUNK_BYTES = 128  # what a chunk counts for at least
_NO_BODY = (204, 304)
_WAITS = 2  # in vain, before a connection is given up
_HEAD_STALLS = 2
_BODY_STALLS = 6  # of what is read as a whole
LEAST_BYTES = 4 << 10  # in each stall, of what is read in pieces
_NUMBER = re.compile("[0-9]{1,20}")
_CHUNK = re.compile(b"[0-9A-Fa-f]{1,8}")


class Broken(OSError):
    """The connection is of no use any more; the request may be sent on another one."""


class Stalled(Broken):
    """Not a byte came, for as long as one may wait."""


class Malformed(Broken):
    """An answer that is no HTTP, or not the HTTP of OSS."""


class Head:
    """Status and headers of an answer; names in lower case, of a header that comes twice the last one."""

    __slots__ = ("headers", "reason", "status")

    def __init__(self, text: str) -> None:
        first, *lines = text.split("\r\n")
        version, _, rest = first.partition(" ")
        status, _, self.reason = rest.partition(" ")
        code = number(status)
        if not version.startswith("HTTP/1.") or code is None:
            raise Malformed("the answer is no HTTP")
        if len(lines) > _MOST_LINES:
            raise Malformed(f"a head of {len(lines)} lines")
        self.status = code
        self.headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        if version == "HTTP/1.0":
            self.headers.setdefault("connection", "close")


class Connection:
    """See the module's docstring. `sock` is connected; TLS is its own affair.

    `check` is called while an answer is waited for, and raises when nobody wants it any more. `most`: bytes of what is
    read as a whole.
    `left`: bytes of the present answer that have not been read; None: it comes in chunks, or until the end.
    """

    def __init__(
        self,
        sock: socket.socket,
        stall_s: float,
        check: Callable[[], None] | None = None,
        most: int = _LARGEST_BODY_BYTES,
    ) -> None:
        self.used = False  # for an answer that was read to its end
        self.left: int | None = 0
        self._sock = sock
        self._stall_s = stall_s
        self._wait_s = stall_s / _WAITS
        self._check = check
        self._most = most
        self._limit_s = 0.0  # how long one may wait altogether for what is being received,
        self._waited_s = 0.0  # and has waited
        self._came = 0  # bytes in the meantime
        self._waits = 0  # in vain, of those for what is received next
        self._in_one_call = False  # whether the kernel waits for a whole piece
        self._keep = True
        self._chunked = False
        self._buffer = bytearray(_HEAD_BYTES)
        self._begin = self._end = 0  # of what was received and not used
        self._there = 0  # bytes of the body that are where `ask` was told to receive them
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(sock, "pending"):  # TLS has timeouts of its own, and hands out what it has decrypted
            sock.settimeout(self._wait_s)
            return
        limit = struct.pack("@ll", int(self._wait_s), int(self._wait_s % 1 * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        sock.settimeout(None)
        self._in_one_call = True

    def ask(self, head: bytes, *, body: bool = True, within_s: float = 0.0, place: memoryview | None = None) -> Head:
        """Sends a request and returns the head of its answer, which has a body unless the request was for none.

        `within_s`: how long the head may take, where that is not two stalls. `place`: for the body, if that is as long:
        what the first call of `read_into` fills, which finds there what has come with the head. Raises Broken.
        """
        self._begin = self._end = self._there = self._waits = 0
        self._keep = False  # until the end of the answer is reached
        self._be_patient(within_s or _HEAD_STALLS * self._stall_s)
        waited_s, taken = self._send(head, place)
        answer = self._read_head()
        interim = 0
        while 100 <= answer.status < 200:
            interim += 1
            if interim > _MOST_INTERIM:
                raise Malformed("interim answers without an end")
            answer = self._read_head()
        self._expect(answer, body)
        self._be_patient(self._stall_s)
        self._waited_s = waited_s
        if self._there:
            if place is None or self.left != len(place):
                raise Malformed("an answer that does not say clearly how long it is")
            self._begin = taken
        return answer

    def read_into(self, buffer: memoryview) -> int:
        """Fills `buffer` from the body, whose length is known; returns how much came: less when that took too long.

        Raises Broken, and then not a byte came.
        """
        assert self.left is not None
        wanted = min(len(buffer), self.left)
        there = min(wanted, self._there)
        self._there -= there
        count = there or min(wanted, self._end - self._begin)
        if count > there:
            buffer[:count] = memoryview(self._buffer)[self._begin : self._begin + count]
            self._begin += count
        try:
            if there:
                pass  # what did not come with it took too long
            elif count < wanted and self._in_one_call:
                count += self._receive(buffer[count:wanted], socket.MSG_WAITALL)
            elif count < wanted:
                until = time.monotonic() + self._wait_s
                while count < wanted and time.monotonic() < until:
                    count += self._receive(buffer[count:wanted])
        except Broken:
            if not count:
                raise  # else the next call will
        self.left -= count
        self.used = not self.left
        self._came += count
        if self._came >= LEAST_BYTES or count == wanted:
            self._be_patient(self._limit_s)
        return count

    def read_body(self, within_s: float = 0.0) -> bytes:
        """All of the body. `within_s`: how long it may take, where that is not six stalls. Raises Broken."""
        self._be_patient(within_s or _BODY_STALLS * self._stall_s)
        if self._chunked:
            body = self._read_chunks()
        elif self.left is None:
            body = self._read_to_end()
        else:
            if self.left > self._most:
                raise Malformed(f"an answer of {self.left} bytes")
            body = self._read_exactly(self.left)
        self.left = 0
        self.used = True
        return body

    @property
    def reusable(self) -> bool:
        """Whether another request can be made: the answer was read, and the server does not hang up."""
        return self._keep and self.left == 0 and self._begin == self._end

    def is_quiet(self) -> bool:
        """Whether an idle connection is as it was left: nothing came, and nobody hung up."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def abort(self) -> None:
        """Makes the thread that waits for the connection fail at once. Any thread."""
        try:
            # Not SSLSocket.shutdown: a thread that reads on after it would take encrypted bytes for those of the
            # object.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        except OSError:
            pass  # the other end was faster

    def close(self) -> None:
        try:
            self._sock.close()
        except OSError:
            pass  # a reset that nobody has seen yet

    # ---------------------------------------------------------------------------------------------------- receiving

    def _receive(self, buffer: memoryview, flags: int = 0) -> int:
        """At least one byte. Raises Broken."""
        count = self._receive_any(buffer, flags)
        if not count:
            raise Broken("the server hung up")
        return count

    def _be_patient(self, limit_s: float) -> None:
        """Begins to count anew how long it takes."""
        self._limit_s = limit_s
        self._waited_s = 0.0
        self._came = 0

    def _send(self, request: bytes, place: memoryview | None) -> tuple[float, int]:
        """Sends a request, and receives what one call brings of its answer, to the end of the body perhaps.

        Returns how long the body was waited for, s, and where in the buffer begins what was not used. Raises Broken.
        """
        try:
            if not self._in_one_call:
                self._sock.sendall(request)
                return 0.0, 0
            err, self._end, head, taken, self._there, waited_s = _wire.exchange(
                self._sock.fileno(), request, self._buffer, place
            )
        except OSError as error:
            raise _broken(error) from error
        if not self._end and err != -errno.EAGAIN:
            if err == -errno.ENOTCONN:
                raise Broken("the server hung up")
            raise Broken(-err, os.strerror(-err))
        if err == -errno.EAGAIN and not self._there:
            self._waits = 1
        if head and (err or self._there):
            return waited_s, taken
        self._waited_s += waited_s
        return 0.0, taken

    def _receive_any(self, buffer: memoryview | bytearray, flags: int = 0) -> int:
        """0 when the server hung up. Raises Broken, and what `check` raises."""
        waits, self._waits = self._waits, 0
        for wait in range(waits + 1, _WAITS + 1):
            if self._waited_s >= self._wait_s and self._check is not None:
                self._check()  # first: what nobody wants is not to be tried again
            if self._waited_s >= self._limit_s:
                raise Stalled("too little came")
            began = time.monotonic()
            try:
                return self._sock.recv_into(buffer, 0, flags) if flags else self._sock.recv_into(buffer)
            except OSError as error:
                if wait == _WAITS or not _is_late(error):
                    raise _broken(error) from error
            finally:
                self._waited_s += time.monotonic() - began
        raise AssertionError("the last wait returns or raises")

    def _read_head(self) -> Head:
        buffer = self._buffer
        searched = self._begin
        while True:
            at = buffer.find(b"\r\n\r\n", searched, self._end)
            if at >= 0:
                break
            searched = max(self._begin, self._end - 3)
            if self._end == len(buffer):
                raise Malformed(f"a head of more than {len(buffer)} bytes")
            self._end += self._receive(memoryview(buffer)[self._end :])
        text = buffer[self._begin : at].decode("latin-1")
        self._begin = at + 4
        return Head(text)

    def _expect(self, answer: Head, body: bool) -> None:
        """Learns from the head where the answer ends."""
        headers = answer.headers
        self._keep = "close" not in headers.get("connection", "").lower()
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        length = headers.get("content-length", "")
        size = number(length)
        if not body or answer.status in _NO_BODY:
            self._chunked = False
            self.left = 0
            self.used = True
        elif self._chunked:
            self.left = None
        elif size is not None:
            self.left = size
        elif length:
            raise Malformed(f"Content-Length {length[:100]!r}")
        else:
            self.left = None
            self._keep = False

    def _read_to_end(self) -> bytes:
        body = self._buffer[self._begin : self._end]
        self._begin = self._end
        piece = memoryview(bytearray(_HEAD_BYTES))
        while len(body) <= self._most:
            count = self._receive_any(piece)
            if not count:
                return bytes(body)
            body += piece[:count]
        raise Malformed(f"an answer of more than {self._most} bytes")

    def _read_chunks(self) -> bytes:
        body = bytearray()
        counted = 0
        while True:
            line = self._read_line()
            digits = line.partition(b";")[0].strip()
            if not _CHUNK.fullmatch(digits):
                raise Malformed("a chunk without its size")
            size = int(digits, 16)
            if not size:
                break
            counted += max(size, _LEAST_CHUNK_BYTES)
            if counted > self._most:
                raise Malformed(f"an answer of {len(body) + size} bytes in chunks")
            body += self._read_exactly(size)
            if self._read_line():
                raise Malformed("a chunk longer than its size")
        trailers = 0
        while self._read_line():
            trailers += 1
            if trailers > _MOST_LINES:
                raise Malformed("trailers without an end")
        return bytes(body)

    def _read_line(self) -> bytes:
        while True:
            at = self._buffer.find(b"\r\n", self._begin, self._end)
            if at >= 0:
                line = bytes(self._buffer[self._begin : at])
                self._begin = at + 2
                return line
            if self._end - self._begin > _LINE_BYTES:
                raise Malformed("a line without an end")
            rest = self._buffer[self._begin : self._end]
            self._buffer[: len(rest)] = rest
            self._begin, self._end = 0, len(rest)
            self._end += self._receive(memoryview(self._buffer)[self._end :])

    def _read_exactly(self, size: int) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        count = min(size, self._end - self._begin)
        view[:count] = memoryview(self._buffer)[self._begin : self._begin + count]
        self._begin += count
        while count < size:
            count += self._receive(view[count:])
        return bytes(data)


def number(text: str) -> int | None:
    """Returns the number in a header that has to be one; None for anything else."""
    return int(text) if _NUMBER.fullmatch(text) else None


def _broken(error: OSError) -> Broken:
    """Returns the error for a failed call of a socket."""
    if _is_late(error):
        return Stalled("nothing came")
    return Broken(error.errno, error.strerror or str(error))


def _is_late(error: OSError) -> bool:
    """EAGAIN is how a blocking socket says that its time is over."""
    return isinstance(error, (TimeoutError, socket.timeout, BlockingIOError))
