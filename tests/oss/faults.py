"""What can happen to a request, other than that it is answered as it should be.

A fault takes part at four places, in this order, and what it does not override is as it should be:

    before    the operation: may wait, or change the request
    instead   of the operation: another answer
    changed   the answer, another one
    after     what was sent

`most` and `rate` are those of answers.send.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
import time
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import TYPE_CHECKING, ClassVar

from oss.answers import Answer
from oss.contents import Content
from oss.errors import OssError

if TYPE_CHECKING:
    from oss.wire import Request

_FLUSH_S = 30.0
_POLL_S = 0.001


@dataclass(frozen=True)
class Fault:
    """Nothing happens. `of_oss`: the answer has the number of a request of OSS."""

    of_oss: ClassVar[bool] = True

    @property
    def most(self) -> int | None:
        """Bytes of the body after which no more are sent, though more are announced."""
        return None

    @property
    def rate(self) -> float | None:
        """Bytes of the body a second."""
        return None

    def before(self, request: Request) -> None:
        """See the module."""

    def instead(self, request: Request) -> Answer | None:
        """See the module. Raises OssError too."""

    def changed(self, answer: Answer) -> Answer:
        """See the module."""
        return answer

    def after(self, connection: socket.socket) -> bool:
        """See the module; whether the connection may be used again."""
        return True


@dataclass(frozen=True)
class Status(Fault):
    """An error: Status("ServerBusy"), Status("SecurityTokenExpired"); `status` of one that errors.py does not know."""

    code: str
    status: int = 0
    message: str = ""

    def instead(self, request: Request) -> Answer | None:
        raise OssError(self.code, self.message, status=self.status)


@dataclass(frozen=True)
class Redirect(Fault):
    """Elsewhere: `location` is the header, `endpoint` the element of the answer's XML."""

    location: str
    status: int = 307
    endpoint: str = ""

    def instead(self, request: Request) -> Answer | None:
        code = "PermanentRedirect" if self.status == 301 else "TemporaryRedirect"
        details = {"Endpoint": self.endpoint} if self.endpoint else {}
        raise OssError(code, details=details, status=self.status, headers={"Location": self.location})


@dataclass(frozen=True)
class Foreign(Fault):
    """An answer that is none of OSS: a gateway gives it, or a cache."""

    status: int
    body: bytes = b"<html><body>Not here</body></html>"
    of_oss: ClassVar[bool] = False

    def instead(self, request: Request) -> Answer | None:
        return Answer(self.status, {"Content-Type": "text/html"}, Content(len(self.body), self.body))


@dataclass(frozen=True)
class Delay(Fault):
    """The answer comes so much later."""

    seconds: float

    def before(self, request: Request) -> None:
        time.sleep(self.seconds)


@dataclass(frozen=True)
class Slow(Fault):
    """The body comes at so many bytes a second."""

    bytes_per_second: float

    @property
    def rate(self) -> float | None:
        return self.bytes_per_second


@dataclass(frozen=True)
class _Partly(Fault):
    count: int = 0

    @property
    def most(self) -> int | None:
        return self.count


@dataclass(frozen=True)
class Silence(Fault):
    """The request is received, and nothing follows until the client goes."""

    def before(self, request: Request) -> None:
        raise Hang


@dataclass(frozen=True)
class Stall(_Partly):
    """After the head and `count` bytes of the body nothing follows until the client goes."""

    def after(self, connection: socket.socket) -> bool:
        wait_for_end(connection)
        return False


@dataclass(frozen=True)
class Truncate(_Partly):
    """After the head and `count` bytes of the body the connection is closed in good order."""

    def after(self, connection: socket.socket) -> bool:
        return False


@dataclass(frozen=True)
class Reset(_Partly):
    """After the head and `count` bytes of the body, which do arrive, the connection is reset."""

    def after(self, connection: socket.socket) -> bool:
        deadline = time.monotonic() + _FLUSH_S
        while _unsent(connection) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False


@dataclass(frozen=True)
class IgnoreRange(Fault):
    """The whole object comes, with status 200."""

    def before(self, request: Request) -> None:
        request.headers.pop("range", None)


@dataclass(frozen=True)
class WrongRange(Fault):
    """Another range of the same length comes, `shift` bytes on, and Content-Range tells; `silent`: it does not."""

    shift: int = 1
    silent: bool = False

    def changed(self, answer: Answer) -> Answer:
        if answer.status != 206:
            return answer
        size, length = answer.content.size, answer.size
        start = max(0, min(answer.offset + self.shift, size - length))
        headers = dict(answer.headers)
        if not self.silent:
            headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
        return replace(answer, headers=headers, offset=start)


@dataclass(frozen=True)
class WrongDate(Fault):
    """The answer says that it is of another time, s from now."""

    seconds: float

    def changed(self, answer: Answer) -> Answer:
        return replace(answer, headers={**answer.headers, "Date": formatdate(time.time() + self.seconds, usegmt=True)})


@dataclass(frozen=True)
class WrongBytes(Fault):
    """All bits of the byte at `at` of the body are flipped; ETag and CRC64 are those of the object as it is."""

    at: int = 0

    def changed(self, answer: Answer) -> Answer:
        if not answer.is_object or not answer.size:
            return answer
        data = bytearray(answer.content.read(answer.offset, answer.size))
        data[self.at % len(data)] ^= 0xFF
        return replace(answer, content=Content(len(data), bytes(data)), offset=0, length=None)


@dataclass(frozen=True)
class CloseIdle(Fault):
    """The connection is closed after the answer, which did not say so."""

    def after(self, connection: socket.socket) -> bool:
        return False


class Hang(Exception):
    """Nothing is to be answered."""


def wait_for_end(connection: socket.socket) -> None:
    """Until the client closes the connection."""
    while connection.recv(1 << 16):
        pass


def _unsent(connection: socket.socket) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))
    return int(count)
