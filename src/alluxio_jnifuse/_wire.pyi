"""Types of what is compiled beside the core: block data of Alluxio's workers, answers of HTTP, checksums (csrc/wire/).

Any thread may call anything at any time; a call that makes no sense then raises ValueError or RuntimeError. A NUL in a
path or a name that is text for C is a ValueError, and so is a time that is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

@final
class BlockConnection:
    """One plain HTTP/2 connection for one gRPC call at a time whose answer is a stream of chunks (csrc/wire/h2.h).

    Times out after `timeout` s without a byte of data. Every failure is an OSError, and ends the connection.
    One thread at a time (RuntimeError), but `abort` and `close`: they make the call of another thread fail at once.
    """

    filled: int  # what `read_into` called `progress` with last; its `done` when that was not called
    def __init__(self, host: str, port: str, timeout: float) -> None:
        """`host`: a name, an address, or the absolute path of a Unix socket."""
    def call(
        self, path: str, authority: str, channel_id: str, message: bytes, timeout: float, nested: bool = True
    ) -> None:
        """`nested`: the data of the answer's messages lies in field 1 of field 1, else in field 1."""
    def read_message(self, size: int, timeout: float) -> bytes:
        """The data, at most `size` bytes, of the next message with any; b"" when the peer has ended the call."""
    def read_into(
        self,
        buffer: memoryview,
        done: int,
        end: int,
        step: int,
        timeout: float,
        progress: Callable[[int], None],
    ) -> int:
        """Fills buffer[done:end]; returns how far it came: less than `end` when the peer ended the call.

        Calls `progress` with that count every `step` bytes; what it raises passes. The one of a Fetch is called without
        the interpreter's lock.
        """
    def leave(self) -> bool:
        """Half-closes a call, without waiting; whether that went well. `finish` comes next."""
    def finish(self, timeout: float, most: int = 0) -> bool:
        """Ends a call, within `timeout` s in all; whether another one can be made. `timeout` 0: does not wait.

        Of data that was not read, so many bytes at most are passed over.
        """
    def abort(self) -> None: ...
    def close(self) -> None: ...

SUM_BYTES: int  # of a granule, which has a sum of its own

def crc64(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """The CRC-64 that xz and OSS use, of what `crc` is the CRC of followed by `data` (csrc/wire/crc64.h)."""

def crc64_combine(crc_a: int, crc_b: int, length_b: int) -> int:
    """The CRC of A followed by B, of which B is `length_b` bytes long."""

def make_sums(data: bytes | bytearray | memoryview, identity: int, first: int) -> bytearray:
    """A sum of 8 bytes, native order, for each granule of `data`, which begins at granule `first` (wire/sums.h)."""

def check_sums(data: bytes | bytearray | memoryview, identity: int, first: int, sums: memoryview) -> int:
    """How many bytes from the start agree with `sums`, a view of format "Q": all, or a multiple of SUM_BYTES."""

HEAD_BYTES: int  # that `exchange` receives with a head at most

def exchange(
    fd: int, request: bytes, head: bytearray, body: memoryview | None
) -> tuple[int, int, int, int, int, float]:
    """Sends a request on a socket that blocks, and receives its answer, without the interpreter's lock.

    `head` has HEAD_BYTES at least; `body` is filled if the head says that as many bytes follow. Returns err, end, head,
    taken and filled of struct ajf_http_answer (csrc/wire/http.h), and how long the last receive waited, s. Raises
    OSError when the request could not be sent.
    """
