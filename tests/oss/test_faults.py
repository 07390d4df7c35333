"""What goes wrong by rule goes wrong on the wire; and ranges, which OSS has in its own way."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse, IncompleteRead, RemoteDisconnected
from xml.etree import ElementTree

import pytest

from oss import crc64
from oss.faults import (
    CloseIdle,
    Delay,
    Fault,
    IgnoreRange,
    Redirect,
    Reset,
    Silence,
    Slow,
    Stall,
    Status,
    Truncate,
    WrongBytes,
    WrongRange,
)
from oss.server import OssServer, Rule

CONTENT = bytes(range(256)) * 8192  # 2 MiB
SIZE = len(CONTENT)
Connect = Callable[[], HTTPConnection]


@pytest.fixture(autouse=True)
def content(server: OssServer) -> None:
    """An object that anybody may read."""
    server.put("public", "key", CONTENT)


def get(connection: HTTPConnection, method: str = "GET", key: str = "key", **headers: str) -> HTTPResponse:
    """An answer whose body is still to be read; a header has an _ for each hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/public/{key}", headers=named)
    return connection.getresponse()


# ------------------------------------------------------------------------------------------------------------ ranges


@pytest.mark.parametrize(
    ("header", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        (f"bytes=5-{SIZE - 1}", 5, SIZE),
        ("bytes=5-", 5, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
        (f"bytes=-{SIZE}", 0, SIZE),
    ],
)
def test_ranges(raw: Connect, header: str, first: int, end: int) -> None:
    """206, the range, and the checksum of the whole object."""
    answer = get(raw(), Range=header)
    assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes {first}-{end - 1}/{SIZE}")
    assert answer.headers["x-oss-hash-crc64ecma"] == str(crc64.of_pieces([CONTENT]))
    assert answer.read() == CONTENT[first:end]


@pytest.mark.parametrize(
    "header", [f"bytes={SIZE}-", f"bytes=5-{SIZE}", f"bytes=-{SIZE + 1}", "bytes=-0", "bytes=9-5", "bytes=x", "5-9"]
)
def test_ranges_that_are_not_within_the_object(raw: Connect, header: str) -> None:
    """200 and the whole object."""
    answer = get(raw(), Range=header)
    assert (answer.status, answer.headers["Content-Range"], answer.read() == CONTENT) == (200, None, True)


def test_ranges_as_the_standard_has_them(raw: Connect) -> None:
    """If it is asked for: cut where the object ends, and refused when nothing is left."""
    connection = raw()
    standard = {"x_oss_range_behavior": "standard"}
    for header, first in ((f"bytes={SIZE - 5}-{SIZE}", SIZE - 5), (f"bytes=-{SIZE + 1}", 0)):
        answer = get(connection, Range=header, **standard)
        assert (answer.status, answer.read() == CONTENT[first:]) == (206, True)
    for header in (f"bytes={SIZE}-", "bytes=x"):
        answer = get(connection, Range=header, **standard)
        assert (answer.status, b"InvalidRange" in answer.read()) == (416, True)


# ------------------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Status("InternalError"), 500, "InternalError"),
        (Status("ServerBusy"), 503, "ServerBusy"),
        (Status("DownloadTrafficRateLimitExceeded"), 503, "DownloadTrafficRateLimitExceeded"),
        (Status("SecurityTokenExpired"), 403, "SecurityTokenExpired"),
        (Status("NoSuchKey"), 404, "NoSuchKey"),
        (Status("Unheard", 418, "of"), 418, "Unheard"),
    ],
)
def test_errors(server: OssServer, raw: Connect, fault: Fault, status: int, code: str) -> None:
    """As an answer to any request, with the document of OSS; the connection stays."""
    server.add_rule(Rule(fault))
    connection = raw()
    for _ in range(2):
        answer = get(connection)
        root = ElementTree.fromstring(answer.read())
        assert (answer.status, root.tag, root.findtext("Code")) == (status, "Error", code)
        assert root.findtext("RequestId") == answer.headers["x-oss-request-id"]
    answer = get(connection, "HEAD")
    assert (answer.status, answer.read()) == (status, b"")
    assert [(e.status, e.code, e.fault) for e in server.requests()] == [(status, code, "Status")] * 3
    assert server.counts()["connections"] == 1


def test_redirects(server: OssServer, raw: Connect) -> None:
    """With the header and the endpoint."""
    server.add_rule(Rule(Redirect("http://elsewhere/", 301, endpoint="elsewhere")))
    answer = get(raw())
    assert (answer.status, answer.headers["Location"]) == (301, "http://elsewhere/")
    assert ElementTree.fromstring(answer.read()).findtext("Endpoint") == "elsewhere"


def test_silence(server: OssServer, raw: Connect) -> None:
    """Not even a head comes."""
    server.add_rule(Rule(Silence()))
    connection = raw()
    connection.timeout = 0.2
    with pytest.raises(socket.timeout):
        get(connection)


@pytest.mark.parametrize("count", [0, 1000, 1_500_000])
def test_stalls(server: OssServer, raw: Connect, count: int) -> None:
    """So many bytes come, and then nothing; others are served meanwhile."""
    server.add_rule(Rule(Stall(count), count=1))
    connection = raw()
    answer = get(connection)
    connection.sock.settimeout(0.2)
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.read(count) == CONTENT[:count]
    with pytest.raises(socket.timeout):
        answer.read(1)
    answer.close()
    assert get(raw()).read() == CONTENT
    assert [(entry.sent, entry.fault) for entry in server.requests()] == [(count, "Stall"), (SIZE, "")]


@pytest.mark.parametrize("count", [0, 1000, 1_500_000])
def test_ends_before_the_end(server: OssServer, raw: Connect, count: int) -> None:
    """In good order, or by a reset; what was sent comes."""
    server.add_rule(Rule(Truncate(count), count=1))
    server.add_rule(Rule(Reset(count)))
    with pytest.raises(IncompleteRead) as raised:
        get(raw()).read()
    assert raised.value.partial == CONTENT[:count]
    answer = get(raw())
    assert answer.read(count) == CONTENT[:count]
    with pytest.raises(ConnectionResetError):
        answer.read(1)
    answer.close()


def test_a_range_that_is_ignored(server: OssServer, raw: Connect) -> None:
    """200 and the whole object."""
    server.add_rule(Rule(IgnoreRange()))
    answer = get(raw(), Range="bytes=5-9")
    assert (answer.status, answer.headers["Content-Range"], answer.read() == CONTENT) == (200, None, True)


def test_another_range(server: OssServer, raw: Connect) -> None:
    """Which is told, or not; at the end of the object there is none behind it."""
    server.add_rule(Rule(WrongRange(), nth=1, count=1))
    server.add_rule(Rule(WrongRange(-2, silent=True)))
    for told, first in ((6, 6), (5, 3)):
        answer = get(raw(), Range="bytes=5-9")
        assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes {told}-{told + 4}/{SIZE}")
        assert answer.read() == CONTENT[first : first + 5]


def test_wrong_bytes(server: OssServer, raw: Connect) -> None:
    """One in the body, while the checksums are those of the right ones."""
    server.add_rule(Rule(WrongBytes(3)))
    wrong = CONTENT[:3] + b"\xfc" + CONTENT[4:]
    answer = get(raw())
    assert answer.headers["x-oss-hash-crc64ecma"] == str(crc64.of_pieces([CONTENT]))
    assert answer.read() == wrong
    answer = get(raw(), Range="bytes=0-9")
    assert (answer.status, answer.read()) == (206, wrong[:10])
    assert server.counts()["bytes_sent"] == SIZE + 10


def test_slowness(server: OssServer, raw: Connect) -> None:
    """Before the answer, or within it."""
    server.add_rule(Rule(Delay(0.2), count=1))
    server.add_rule(Rule(Slow(SIZE / 0.2)))
    for _ in range(2):
        began = time.monotonic()
        assert get(raw()).read() == CONTENT
        assert time.monotonic() - began > 0.18


def test_a_connection_that_does_not_stay(server: OssServer, raw: Connect) -> None:
    """Though the answer said that it would."""
    server.add_rule(Rule(CloseIdle()))
    connection = raw()
    answer = get(connection)
    assert (answer.headers["Connection"], answer.read() == CONTENT) == ("keep-alive", True)
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        get(connection)


# ------------------------------------------------------------------------------------------------------------- rules


def statuses(connection: HTTPConnection, number: int, **more: str) -> list[int]:
    """Of so many requests."""
    found = []
    for _ in range(number):
        answer = get(connection, **more)
        answer.read()
        found.append(answer.status)
    return found


def test_which_requests_it_happens_to(server: OssServer, raw: Connect) -> None:
    """By operation, bucket and key; from one on, and so many times; the first rule first."""
    server.put("public", "other", b"")
    for other in (Rule(Status("X", 599), operation="PUT"), Rule(Status("X", 599), bucket="bucket")):
        server.add_rule(other)
    server.add_rule(Rule(Status("ServerBusy"), operation="GET", prefix="k", nth=2, count=2))
    server.add_rule(Rule(Status("InternalError"), prefix="k", nth=4))
    connection = raw()
    assert statuses(connection, 2, method="HEAD") == [200, 200]
    assert statuses(connection, 2, key="other") == [200, 200]
    assert statuses(connection, 6) == [200, 503, 503, 500, 500, 500]
    server.clear_rules()
    assert statuses(connection, 2) == [200, 200]


def test_chance(server: OssServer, raw: Connect) -> None:
    """It happens to so many of them, and to the same ones again."""
    found = []
    for _ in range(2):
        server.add_rule(Rule(Status("ServerBusy"), probability=0.3))
        found.append(statuses(raw(), 200, method="HEAD"))
        server.clear_rules()
    assert found[0] == found[1]
    assert 30 < found[0].count(503) < 90


# -------------------------------------------------------------------------------------------------------------- HTTP


def test_requests_in_one_packet(server: OssServer) -> None:
    """Are answered one after the other; what is no HTTP ends the connection."""
    request = b"GET /public/key HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        connection.sendall(request * 3 + b"no HTTP\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert received.count(b"HTTP/1.1 206") == 3


def test_a_client_that_asks_whether_it_may_send(server: OssServer) -> None:
    """And one that closes."""
    request = b"PUT /public/new HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        connection.sendall(request + b"Connection: close\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"data")
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert received.startswith(b"HTTP/1.1 403 ")
    assert b"Connection: close" in received
