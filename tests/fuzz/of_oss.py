"""What a bucket says, and who gives credentials: answers of HTTP/1.1, listings, refusals, JSON."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from alluxio_jnifuse.errors import SourceError
from alluxio_jnifuse.sources.base import ENTRY_DTYPE
from alluxio_jnifuse.sources.limits import Listings
from alluxio_jnifuse.sources.oss.auth.credentials import CredentialsError
from alluxio_jnifuse.sources.oss.auth.providers import _parse as parse_credentials
from alluxio_jnifuse.sources.oss.endpoint import Endpoint
from alluxio_jnifuse.sources.oss.http.connection import Broken, Connection, Head
from alluxio_jnifuse.sources.oss.objects.listing import Owner, is_shown
from alluxio_jnifuse.sources.oss.objects.lookup import Lookup
from alluxio_jnifuse.sources.oss.objects.reader import OpenObject
from alluxio_jnifuse.sources.oss.objects.reader import _check as check_range
from alluxio_jnifuse.sources.oss.requests.errors import Refused, diagnose, is_transient
from alluxio_jnifuse.sources.oss.settings import Settings
from fuzz.parser import Parser

_STALL_S = 1e6  # nothing is waited for: the peer has said everything
_LITTLE = 4096
_OBJECT_BYTES = 1000
_SETTINGS = Settings(Endpoint("bucket", True, "oss.example", 443, "bucket.oss.example", "/", ""))
BETWEEN_PAGES = b"\n\0\n"  # of the input of `listing`

_HTTP_WORDS = (
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 ", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n", b"\r\n\r\n", b"\n", b": "),
    *(b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"0\r\n\r\n", b"ffffffff\r\n"),
    *(b"Content-Range: bytes 0-999/1000\r\n", b"ETag: ", b"Last-Modified: ", b"206", b"304", b"HEAD ", b"pieces "),
    *(b"little ", b"x-oss-hash-crc64ecma: ", b";x=y", b"Fri, 31 Dec 9999 23:59:60 -9999", b"-0000"),
)
_XML_WORDS = (
    *(b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<?xml version='1.0' encoding='", b"utf-16", b"nonsense", b"hex", b"&#0;"),
    *(b"&lt;", b"&#x10ffff;", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<a>", b"</a>", b"<a/>", b" a='b'", b"%00"),
    *(b"%2F", b"%", b"/", b"..", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"<Prefix>", b"</Prefix>", b"true"),
    *(b"<CommonPrefixes><Prefix>d/x/</Prefix></CommonPrefixes>", b"<NextMarker>", b"<EncodingType>url</EncodingType>"),
    *(BETWEEN_PAGES, b"<IsTruncated>true</IsTruncated>", b"Symlink", b"<Key>d/", b"</Key>", b"xmlns='x:y'", b":"),
)
_REFUSAL_WORDS = (
    *_XML_WORDS,
    *(
        b"x-oss-err: ",
        b"Retry-After: ",
        b"Location: ",
        b"http://[",
        b"Date: ",
        b"<Endpoint>",
        b"AccessDenied",
        b"\x1b[2J",
    ),
    *(
        b"RequestTimeTooSkewed",
        b"<ServerTime>",
        b"secret",
        b"HTTP/1.1 403 Forbidden\r\n",
        b"2026-01-31T12:34:56Z",
        b"\r\n",
    ),
)
_JSON_WORDS = (
    *(
        b'"AccessKeyId":',
        b'"AccessKeySecret":',
        b'"SecurityToken":',
        b'"Expiration":',
        b"null",
        b"true",
        b"NaN",
        b"1e999",
    ),
    *(b"[", b"]", b"{", b"}", b'"', b",", b'"\\ud800"', b"\\u0000", b'"9999-12-31T23:59:59Z"', b"\xff", b"-"),
)


class Line(socket.socket):
    """One end of a pair, which takes the options of TCP."""

    def __init__(self, pair: socket.socket) -> None:
        super().__init__(pair.family, pair.type, pair.proto, pair.detach())

    def setsockopt(self, level: int, *arguments: Any) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *arguments)


def _http() -> Callable[[bytes], object]:
    """The first line of an input says how it is taken."""

    def take(data: bytes) -> None:
        how, _, text = data.partition(b"\n")
        most = _LITTLE if b"little" in how else 1 << 20
        ours, theirs = socket.socketpair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        assert theirs.send(text, socket.MSG_DONTWAIT) == len(text) if text else True
        theirs.shutdown(socket.SHUT_WR)
        connection = Connection(Line(ours), _STALL_S, most=most)
        try:
            place = memoryview(bytearray(_OBJECT_BYTES)) if b"place" in how and b"HEAD" not in how else None
            head = connection.ask(b"GET / HTTP/1.1\r\n\r\n", body=b"HEAD" not in how, place=place)
            assert not 100 <= head.status < 200
            if b"pieces" in how:
                answer: Any = SimpleNamespace(headers=head.headers, status=head.status, left=connection.left)
                etag = "5B3C1A2E053D763E1B002CC607C5A0FE" if b"pinned" in how else ""
                check_range(answer, OpenObject(b"/f", "f", 1, _OBJECT_BYTES, etag), 0, _OBJECT_BYTES)
            if b"pieces" in how and connection.left is not None:
                piece = memoryview(bytearray(100))
                while connection.left:
                    assert 0 < connection.read_into(piece) <= len(piece)
            elif place is not None and connection.left == len(place):
                filled = 0
                while connection.left:
                    filled += connection.read_into(place[filled:])
                assert text.endswith(place) or bytes(place) in text
            else:
                assert len(connection.read_body()) <= most
            assert connection.used
        finally:
            connection.close()
            theirs.close()

    return take


class _Pages:
    """Instead of a Client: answers listings with what an input has."""

    settings = _SETTINGS

    def __init__(self, pages: list[bytes]) -> None:
        self._pages = pages

    def ask(self, kind: str, key: str, params: Mapping[str, str], patience: object) -> tuple[Mapping[str, str], bytes]:
        if not self._pages:
            raise SourceError("there is no more")
        return {}, self._pages.pop(0)

    def patience(self, limit_s: float, where: str) -> Any:
        return self

    def failed(self, error: Exception) -> None:
        raise error

    def came(self) -> None:
        pass


def _listing() -> Callable[[bytes], object]:
    import numpy as np

    entry = np.dtype(ENTRY_DTYPE)

    def take(data: bytes) -> None:
        client: Any = _Pages(data.split(BETWEEN_PAGES))
        lookup = Lookup(client, Owner(0, 0, 0), Listings(1 << 26, lambda: None))
        lookup._complain = lambda *_: None  # type: ignore[method-assign]
        found = lookup.listing(b"/d")
        names = []
        for row in np.frombuffer(found.entries, entry):
            at = int(row["name_off"])
            names.append(found.names[at : at + int(row["name_len"])])
            record = found.record(names[-1])
            assert record is None or (record.size, record.version) == (int(row["size"]), int(row["version"]))
        assert names == sorted(set(names))
        assert all(map(is_shown, names))

    return take


def _refusal() -> Callable[[bytes], object]:
    def take(data: bytes) -> None:
        text, _, body = data.partition(b"\r\n\r\n")
        head = Head(text.decode("latin-1"))
        kind = ("get", "list", "head")[len(data) % 3]
        error = Refused(kind, "key", head, body, ("secret",))
        assert error.errno is not None
        assert 0 < error.errno < 512
        assert len(str(error)) < 4000
        for said in (str(error), str(diagnose(error, _SETTINGS)[0])):
            assert "secret" not in said
            assert said.isprintable()
        is_transient(error)

    return take


def _credentials() -> Callable[[bytes], object]:
    def take(data: bytes) -> None:
        found = parse_credentials(data, "test")
        assert found.secret

    return take


PARSERS = {
    "http": Parser(_http, (Broken, SourceError), _HTTP_WORDS),
    "listing": Parser(_listing, (OSError, SourceError), _XML_WORDS),
    "refusal": Parser(_refusal, (Broken,), _REFUSAL_WORDS),
    "credentials": Parser(_credentials, (CredentialsError,), _JSON_WORDS, most=4096),
}
