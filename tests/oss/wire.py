"""A request of HTTP/1.1 as it is read from a connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from oss.errors import OssError

_MOST_HEAD_BYTES = 64 << 10
_PIECE_BYTES = 1 << 20


class Malformed(Exception):
    """It is no HTTP."""


class Request:
    """A request: its head, and a body that is read once.

    Header names are in lower case, query and path are decoded. `bucket` and `key` are what addressing.py finds in it,
    `operation` what operations.py does.
    """

    def __init__(self, head: bytes, reader: Reader) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        try:
            self.method, target, self.version = first.split(" ")
        except ValueError:
            raise Malformed(first) from None
        self.headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        path, _, query = target.partition("?")
        self.path = _text(path)
        self.query = {_text(n): _text(v.replace("+", " ")) for n, _, v in _pairs(query)}
        self.host = self.headers.get("host", "")
        self.bucket = self.key = self.operation = ""
        self._body = reader.body(self.headers)

    def pieces(self) -> Iterator[bytes]:
        """The body, as it comes."""
        return self._body

    def read(self) -> bytes:
        """The body."""
        return b"".join(self._body)

    def stays(self) -> bool:
        """Whether the client wants to go on with the connection."""
        return self.version == "HTTP/1.1" and self.headers.get("connection", "").lower() != "close"


class Reader:
    """Reads requests from a connection. Raises OSError, Malformed."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""

    def request(self) -> Request | None:
        """The next one; None: there is none. The body of the one before was read."""
        found = self._rest
        while (end := found.find(b"\r\n\r\n")) < 0:
            if len(found) > _MOST_HEAD_BYTES:
                raise Malformed("a long head")
            data = self._connection.recv(_MOST_HEAD_BYTES)
            if not data:
                return None
            found += data
        self._rest = found[end + 4 :]
        return Request(found[:end], self)

    def body(self, headers: dict[str, str]) -> Iterator[bytes]:
        """That of a request with these headers, which the client may have to be asked for."""
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = _number(headers.get("content-length", "0"), 10)
        if headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self._chunks() if chunked else self._take(length)

    def _take(self, length: int) -> Iterator[bytes]:
        while length > 0:
            if self._rest:
                piece, self._rest = self._rest[:length], self._rest[length:]
            else:
                piece = self._connection.recv(min(length, _PIECE_BYTES))
                if not piece:
                    raise ConnectionResetError("within a body")
            length -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while length := _number(self._line().partition(b";")[0].decode("latin-1"), 16):
            yield from self._take(length)
            self._line()
        while self._line():
            pass  # trailers

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            data = self._connection.recv(_MOST_HEAD_BYTES)
            if not data:
                raise ConnectionResetError("within a body")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line


def _pairs(query: str) -> list[tuple[str, str, str]]:
    return [pair.partition("=") for pair in query.split("&") if pair]


def _number(text: str, base: int) -> int:
    try:
        return int(text, base)
    except ValueError:
        raise Malformed(text) from None


def _text(quoted: str) -> str:
    """Raises OssError when it is not UTF-8."""
    if "%" not in quoted and quoted.isascii():
        return quoted
    try:
        return unquote_to_bytes(quoted.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise OssError("InvalidObjectName") from None
