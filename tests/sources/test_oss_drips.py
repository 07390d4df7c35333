"""Servers that never end an answer: each keeps sending, and whoever waits is let go all the same."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from oss.bucket import Bucket

from alluxio_jnifuse._core import Cancelled
from alluxio_jnifuse.sources.oss.auth import providers
from alluxio_jnifuse.sources.oss.auth.credentials import Credentials, CredentialsError, Provider
from alluxio_jnifuse.sources.oss.http import connection as connection_module
from alluxio_jnifuse.sources.oss.http.connection import Connection, Malformed, Stalled

pytestmark = pytest.mark.timeout(60)  # a client that is not let go
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
STALL_S = 0.2
HEAD = b'HTTP/1.1 200 OK\r\nETag: "x"\r\n'
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Endless:
    """A server, each of whose connections gets `pieces()` for an answer, with a pause between them, until it breaks."""

    def __init__(self, pieces: Callable[[], Iterable[bytes]], pause_s: float = STALL_S / 10) -> None:
        self._pieces = pieces
        self._pause_s = pause_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.broken = 0
        self.sent = threading.Event()  # a piece of an answer
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.recv(1 << 16)
            try:
                for piece in self._pieces():
                    connection.sendall(piece)
                    self.sent.set()
                    if self._pause_s:
                        time.sleep(self._pause_s)
            except OSError:
                self.broken += 1

    def __enter__(self) -> Endless:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for thread in self._threads:
            thread.join()  # the client has hung up


def dripping(begin: bytes, drip: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: itertools.chain([begin], itertools.repeat(drip))


@contextmanager
def connected(
    server: Endless, check: Callable[[], None] | None = None, stall_s: float = STALL_S
) -> Iterator[Connection]:
    sock = socket.create_connection(("127.0.0.1", server.port))
    connection = Connection(sock, stall_s, check)
    try:
        yield connection
    finally:
        connection.close()


def read_whole(connection: Connection) -> None:
    connection.ask(REQUEST)
    connection.read_body()


def read_in_pieces(connection: Connection) -> None:
    connection.ask(REQUEST)
    buffer = memoryview(bytearray(1 << 16))
    while connection.left:
        connection.read_into(buffer)


DRIPS = {
    "a head": (b"", b"H"),
    "headers": (HEAD, b"x: y\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n"),
    "a body": (HEAD + b"Content-Length: 1000000\r\n\r\n", b"x"),
    "a body without its length": (HEAD + b"\r\n", b"x"),
    "chunks": (CHUNKED, b"1\r\nx\r\n"),
    "the size of a chunk": (CHUNKED, b"0"),
    "a chunk": (CHUNKED + b"fffff\r\n", b"x"),
    "trailers": (CHUNKED + b"0\r\n", b"x: y\r\n"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_an_answer_that_drips(name: str) -> None:
    """It is given up, though a byte more comes in time again and again."""
    with Endless(dripping(*DRIPS[name])) as server, connected(server) as connection, pytest.raises(Stalled):
        read_whole(connection)
    assert server.broken == 1


def test_a_body_in_pieces_that_drips() -> None:
    """What a read waits for, too."""
    drips = dripping(HEAD + b"Content-Length: 1000000\r\n\r\n", b"x")
    with Endless(drips) as server, connected(server) as connection, pytest.raises(Stalled):
        read_in_pieces(connection)


def test_a_body_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is as slow as it may be, and takes longer than all limits, is read to its end.

    The clock is the test's: each piece takes a twentieth of what the connection waits for bytes at all.
    """
    patience_s, piece = 60.0, 1 << 10
    ticks = itertools.count(step=patience_s / 20)
    monkeypatch.setattr(connection_module, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    size = 100 * piece
    body = [HEAD + f"Content-Length: {size}\r\n\r\n".encode(), bytes(size)]
    with Endless(lambda: body, 0) as server, connected(server, stall_s=patience_s) as connection:
        connection.ask(REQUEST)
        buffer = memoryview(bytearray(piece))
        while connection.left:
            connection.read_into(buffer)
        assert next(ticks) > 3 * patience_s


FLOODS = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers": (HEAD, b"x: y\r\n"),
    "trailers": (CHUNKED + b"0\r\n", b"x: y\r\n" * 100),
    "chunks": (CHUNKED, b"1\r\nx\r\n" * 1000),
    "a body": (HEAD + b"\r\n", bytes(1 << 16)),
}


@pytest.mark.parametrize("name", FLOODS)
def test_an_answer_without_an_end(name: str) -> None:
    """As fast as it can be sent; there is a number of everything at which it is no HTTP of OSS any more."""
    with Endless(dripping(*FLOODS[name]), 0.0) as server, connected(server) as connection, pytest.raises(Malformed):
        read_whole(connection)


@pytest.mark.parametrize("read", [read_whole, read_in_pieces])
def test_who_is_not_wanted_any_more(read: Callable[[Connection], None]) -> None:
    """Ends before the answer does; the connection is not used again."""
    drips = dripping(HEAD + b"Content-Length: 1000000\r\n\r\n", b"x")

    def check() -> None:
        raise Cancelled

    with Endless(drips) as server, connected(server, check) as connection:
        with pytest.raises(Cancelled):
            read(connection)
        assert not connection.reusable


def test_requests_of_a_source_that_nobody_waits_for(bucket: Bucket) -> None:
    """A small file, a look-up and a listing end with Cancelled, while the server drips and while it is asked again."""
    source = bucket.source(stall_s=STALL_S)
    with Endless(dripping(b"", b"H")) as server:
        source._client._route._peer = ("127.0.0.1", server.port)
        gone = threading.Event()

        def check() -> None:
            if gone.is_set():
                raise Cancelled

        source.check_wanted = check
        buffer = memoryview(bytearray(10))
        raised: list[type[BaseException]] = []

        def call(question: Callable[[], object]) -> None:
            try:
                question()
            except BaseException as error:
                raised.append(type(error))

        for _, idle in source._client._pool._idle:  # they lead to the server that answers
            idle.abort()
        questions: list[Callable[[], object]] = [
            lambda: source.read_small(b"/file", 1, 10, 0, buffer, lambda _: None),
            lambda: source.stat(b"/file"),
            lambda: source.list(b"/directory"),
        ]
        threads = [threading.Thread(target=call, args=(question,)) for question in questions]
        for thread in threads:
            thread.start()
        assert server.sent.wait(20)
        gone.set()
        for thread in threads:
            thread.join()
        source.close()
    assert raised == [Cancelled] * 3


# ---------------------------------------------------------------------------------------------------- credentials


def test_a_metadata_service_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a limit altogether; whoever waited for that does not wait for it once more."""
    monkeypatch.setattr(providers, "_METADATA_S", STALL_S)
    for begin, drip in DRIPS.values():
        with Endless(dripping(begin, drip)) as server:
            provider = providers.ram_role(f"http://127.0.0.1:{server.port}/", "role")
            with pytest.raises(CredentialsError, match="cannot be asked"):
                provider.get()
            with pytest.raises(CredentialsError):
                provider.get()
            assert len(server._threads) == 1


def test_an_answer_about_credentials_without_an_end() -> None:
    """And one that is nested deeper than anybody can follow."""
    with Endless(dripping(HEAD + b"\r\n", bytes(1 << 16)), 0.0) as server:
        provider = providers.ram_role(f"http://127.0.0.1:{server.port}/", "role")
        with pytest.raises(CredentialsError, match="more than 65536 bytes"):
            provider.get()
    with Endless(lambda: [HEAD + b"\r\n" + b"[" * 60_000]) as server:
        provider = providers.ram_role(f"http://127.0.0.1:{server.port}/", "role")
        with pytest.raises(CredentialsError, match="no JSON"):
            provider.get()


def test_requests_go_on_while_a_key_is_fetched() -> None:
    """With the one that is good still; nobody waits for the service that gives the next one."""
    asked, go_on = threading.Event(), threading.Event()
    made = iter([Credentials("one", "secret", "", time.time() + 3600), None])

    def fetch() -> Credentials:
        now = next(made)
        if now is None:
            asked.set()
            go_on.wait()
            raise CredentialsError("it does not answer")
        now.renew_at = 0.0
        return now

    provider = Provider(fetch, "test")
    first = provider.get()
    thread = threading.Thread(target=provider.get)
    thread.start()
    assert asked.wait(20)
    for _ in range(100):
        assert provider.get() is first
    go_on.set()
    thread.join()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("/bin/sh -c 'while :; do echo xxxxxxxxxxxxxxxx; done'", "prints more than 65536 bytes"),
        ("/bin/sh -c 'while :; do echo x; sleep 0.05; done'", "did not end within"),
        ("/bin/sh -c 'exec >&-; sleep 1000'", "did not end within"),
    ],
)
def test_a_command_that_never_ends(line: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is ended, and no more is kept of what it prints than a key has."""
    monkeypatch.setattr(providers, "_COMMAND_S", 5.0 if "more" in what else 0.5)
    with pytest.raises(CredentialsError, match=what):
        providers.command(line).get()
