"""An answer, and how it is sent: the head with the first bytes of the body, the rest by the kernel."""

from __future__ import annotations

import http
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from oss.contents import Content

_STEP_BYTES = 8 << 20  # of one sendfile: long enough for 4 GB/s, short enough to be counted as it is sent
_SLOW_STEPS = 20  # a second, when a rate is kept
XML = "application/xml"


@dataclass
class Answer:
    """Status, headers, and a range of a content. `length`: None = to its end. `is_object`: its bytes are counted."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: Content = field(default_factory=lambda: Content(0))
    offset: int = 0
    length: int | None = None
    bodiless: bool = False  # it answers HEAD, or its status is 204 or 304
    is_object: bool = False

    @property
    def size(self) -> int:
        """Of the body that is announced."""
        return self.content.size - self.offset if self.length is None else self.length

    def head(self, keep: bool) -> bytes:
        """As it is sent; `keep`: the connection stays open."""
        headers = {"Server": "AliyunOSS", "Date": http_date(_second()), **self.headers}
        lines = [f"HTTP/1.1 {self.status} {_reason(self.status)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self.status not in (204, 304):
            lines.append(f"Content-Length: {self.size}")
        lines += [f"Connection: {'keep-alive' if keep else 'close'}", "", ""]
        return "\r\n".join(lines).encode("utf-8")


def document(text: str, status: int = 200) -> Answer:
    """An answer of XML."""
    data = text.encode()
    return Answer(status, {"Content-Type": XML}, Content(len(data), data))


def send(
    connection: socket.socket,
    answer: Answer,
    keep: bool,
    count: Callable[[int], None],
    most: int | None = None,
    rate: float | None = None,
) -> None:
    """Sends an answer.

    Calls `count` with the bytes of the body that are about to be sent, and with fewer than none when they were not.
    `most`: bytes of the body after which it stops; `rate`: bytes of the body a second.
    """
    head = answer.head(keep)
    size = 0 if answer.bodiless else answer.size if most is None else min(most, answer.size)
    if not size:
        connection.sendall(head)
    elif rate is not None:
        connection.sendall(head)
        _send_slowly(connection, answer, size, count, rate)
    elif answer.content.path is None:
        count(size)
        connection.sendall(head + answer.content.read(answer.offset, size))
    elif isinstance(connection, ssl.SSLSocket):
        connection.sendall(head)
        for piece in answer.content.pieces(answer.offset, size):
            count(len(piece))
            connection.sendall(piece)
    else:
        connection.sendall(head, socket.MSG_MORE)
        _send_file(connection, answer.content.path, answer.offset, size, count)


def _send_file(connection: socket.socket, path: Path, at: int, size: int, count: Callable[[int], None]) -> None:
    with open(path, "rb", buffering=0) as file:
        end = at + size
        while at < end:
            step = min(_STEP_BYTES, end - at)
            count(step)
            sent = 0
            try:
                sent = os.sendfile(connection.fileno(), file.fileno(), at, step)
            finally:
                count(sent - step)
            if not sent:
                raise ConnectionResetError("the file is shorter than it was")
            at += sent


def _send_slowly(
    connection: socket.socket, answer: Answer, size: int, count: Callable[[int], None], rate: float
) -> None:
    step = max(1, int(rate / _SLOW_STEPS))
    began = time.monotonic()
    for done in range(0, size, step):
        piece = answer.content.read(answer.offset + done, min(step, size - done))
        time.sleep(max(0.0, began + (done + len(piece)) / rate - time.monotonic()))
        count(len(piece))
        connection.sendall(piece)


@lru_cache(maxsize=4096)
def http_date(second: int) -> str:
    """A time (s since 1970) as headers have it."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second))


def _second() -> int:
    return int(time.time())


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
