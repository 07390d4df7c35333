"""HTTP/1.1 as the client of a bucket speaks it: how answers end, what is nonsense, and proxies on the way."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from oss.bucket import Bucket

from alluxio_jnifuse.errors import ConfigError
from alluxio_jnifuse.sources.oss.counters import Counters
from alluxio_jnifuse.sources.oss.endpoint import endpoint_of
from alluxio_jnifuse.sources.oss.http.connection import Broken, Connection, Head, Malformed, Stalled
from alluxio_jnifuse.sources.oss.http.pool import Closed, Pool
from alluxio_jnifuse.sources.oss.http.route import ConnectError, ProxyRefused, Route
from alluxio_jnifuse.sources.oss.requests.errors import Refused

pytestmark = pytest.mark.timeout(600)
REQUEST = b"GET / HTTP/1.1\r\n\r\n"


@contextmanager
def answering(*answers: bytes, hang: bool = False) -> Iterator[Connection]:
    """A connection whose peer answers so, in as many writes; then it hangs up, or says nothing more."""
    ours, theirs = socket.socketpair()
    made = Connection(Tcp(ours), 0.2)

    def answer() -> None:
        theirs.recv(1 << 16)
        for piece in answers:
            theirs.sendall(piece)
        if not hang:
            theirs.close()

    peer = threading.Thread(target=answer)
    peer.start()
    try:
        yield made
    finally:
        made.close()
        peer.join()
        theirs.close()


def whole(connection: Connection) -> bytes:
    """The body of the answer."""
    connection.ask(REQUEST)
    return connection.read_body()


def ask_and_read(connection: Connection, place: memoryview) -> int:
    """Into `place`, in one call or in two."""
    connection.ask(REQUEST, place=place)
    return connection.read_into(place)


class Tcp(socket.socket):
    """A socket pair that takes the options of TCP."""

    def __init__(self, pair: socket.socket) -> None:
        super().__init__(pair.family, pair.type, pair.proto, pair.detach())

    def setsockopt(self, level: int, *arguments: object) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *arguments)  # type: ignore[arg-type]


HEAD = b'HTTP/1.1 200 OK\r\nETag: "x"\r\n'
BODIES = {
    "length": (b"Content-Length: 5\r\n\r\nhello", True),
    "chunks": (b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n", True),
    "end": (b"\r\nhello", False),
    "close": (b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", False),
}


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("name", BODIES)
def test_the_ways_in_which_an_answer_ends(name: str, step: int) -> None:
    """However it is cut into packets; and whether another request can be made."""
    body, reusable = BODIES[name]
    data = HEAD + body
    with answering(*(data[at : at + step] for at in range(0, len(data), step))) as connection:
        head = connection.ask(REQUEST)
        assert (head.status, head.reason, head.headers["etag"]) == (200, "OK", '"x"')
        assert connection.read_body() == b"hello"
        assert connection.reusable is reusable


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("name", BODIES)
def test_an_answer_that_may_come_where_it_is_wanted(name: str, step: int) -> None:
    """It is the same, whether it comes there or not."""
    body, reusable = BODIES[name]
    data = HEAD + body
    place = memoryview(bytearray(b"....."))
    with answering(*(data[at : at + step] for at in range(0, len(data), step))) as connection:
        connection.ask(REQUEST, place=place)
        if connection.left is None:
            assert connection.read_body() == b"hello"
            assert place == b"....."
        else:
            filled = 0
            while connection.left:
                filled += connection.read_into(place[filled:])
            assert place == b"hello"
        assert connection.reusable is reusable
        assert connection.used


def test_a_place_of_another_size_stays_as_it_is() -> None:
    """An error may be answered, or another range than was asked for."""
    for status, size in ((b"200 OK", 4), (b"200 OK", 6), (b"404 Not Found", 5)):
        place = memoryview(bytearray(size))
        answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\nhello"
        with answering(answer) as connection:
            connection.ask(REQUEST, place=place)
            assert not any(place)
            assert connection.read_body() == b"hello"
            assert connection.reusable


def test_one_answer_after_the_other_comes_where_it_is_wanted() -> None:
    """Each in a call, and with a call for the head alone between them."""
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes([size]) * size for size in (9, 3, 5)]
    ours, theirs = socket.socketpair()
    connection = Connection(Tcp(ours), 10.0)
    for answer, size in zip(answers, (9, 3, 5)):
        place = memoryview(bytearray(size))
        theirs.sendall(answer)
        connection.ask(REQUEST, place=place if size != 3 else None)
        assert connection.read_into(place) == size
        assert place == bytes([size]) * size
        assert connection.reusable
    connection.close()
    theirs.close()


@pytest.mark.parametrize("hang", [False, True])
def test_what_came_where_it_is_wanted_before_the_answer_broke_off(hang: bool) -> None:
    """Is told by one call, and by the next one why there is no more."""
    place = memoryview(bytearray(5))
    for came in (b"hel", b""):
        with answering(HEAD + b"Content-Length: 5\r\n\r\n" + came, hang=hang) as connection:
            connection.ask(REQUEST, place=place)
            if came:
                assert connection.read_into(place) == len(came)
                assert place[: len(came)] == came
            with pytest.raises(Stalled if hang else Broken):
                connection.read_into(place[len(came) :])
            assert not connection.reusable


def test_who_waits_for_nothing_is_asked_before_he_waits_again() -> None:
    """Half a stall goes by, and not another one."""

    class Gone(Exception):
        pass

    def check() -> None:
        raise Gone

    for came in (b"", HEAD + b"Content-Length: 5\r\n\r\n"):
        ours, theirs = socket.socketpair()
        connection = Connection(Tcp(ours), 0.2, check)
        theirs.sendall(came) if came else None
        place = memoryview(bytearray(5))
        with pytest.raises(Gone):
            ask_and_read(connection, place)
        connection.close()
        theirs.close()


def test_an_interim_answer_is_passed_over() -> None:
    """A proxy may send one."""
    with answering(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 0\r\n\r\n") as connection:
        assert connection.ask(REQUEST).status == 200
        assert connection.reusable


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_answers_without_a_body(status: bytes) -> None:
    """Whatever their headers say; to HEAD as well."""
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 7\r\n\r\n"
    with answering(answer) as connection:
        connection.ask(REQUEST)
        assert connection.reusable
    with answering(HEAD + b"Content-Length: 7\r\n\r\n") as connection:
        assert connection.ask(REQUEST, body=False).headers["content-length"] == "7"
        assert connection.reusable


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 ok\r\n\r\n",
        b"HTTP/1.1 2\xb20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        HEAD + b"Content-Length: many\r\n\r\n",
        HEAD + b"Content-Length: 99999999999\r\n\r\n",
        HEAD + b"Content-Length: \xb25\r\n\r\nhello",
        HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-3\r\nhello\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nnot hexadecimal\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
    ],
)
def test_nonsense(answer: bytes) -> None:
    """Is told from a broken connection: a person may have named the wrong server."""
    with answering(answer) as connection, pytest.raises(Malformed):
        whole(connection)


def test_what_a_server_says_is_one_line() -> None:
    """In logs and on terminals; and a time to wait that is none is not waited."""
    text = "HTTP/1.1 500 no\nERROR \x1b[2J\r\nx-oss-request-id: a\rb\r\nRetry-After: \xb2"
    refused = Refused("get", "key", Head(text), b"")
    assert refused.strerror == "GetObject 'key': 500 no ERROR  [2J (request a b)"
    assert refused.retry_after_s == 0.0


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", HEAD + b"Content-Length: 6\r\n\r\nhello", HEAD])
def test_an_answer_that_breaks_off(answer: bytes) -> None:
    """In its head or in its body."""
    with answering(answer) as connection, pytest.raises(Broken, match="hung up"):
        whole(connection)
    assert not connection.reusable


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200", HEAD + b"Content-Length: 6\r\n\r\nhello"])
def test_an_answer_that_stalls(answer: bytes) -> None:
    """Nothing came for long enough."""
    with answering(answer, hang=True) as connection, pytest.raises(Stalled):
        whole(connection)


def test_an_answer_without_its_length_may_pause() -> None:
    """As long as any other one."""
    ours, theirs = socket.socketpair()
    made = Connection(Tcp(ours), 0.4)  # waits twice for half of that
    theirs.sendall(HEAD + b"\r\nhel")

    def go_on() -> None:
        theirs.recv(1 << 16)
        theirs.sendall(b"lo")
        theirs.close()

    timer = threading.Timer(0.3, go_on)
    timer.start()
    assert whole(made) == b"hello"
    timer.join()
    made.close()


def test_what_came_before_silence_is_not_lost() -> None:
    """It counts, and the next call tells of the silence."""
    buffer = memoryview(bytearray(100))
    with answering(HEAD + b"Content-Length: 100\r\n\r\n", b"hello", hang=True) as connection:
        connection.ask(REQUEST)
        assert connection.read_into(buffer) == 5
        assert buffer[:5] == b"hello"
        with pytest.raises(Stalled):
            connection.read_into(buffer[5:])


def test_who_waits_for_a_connection_that_is_aborted() -> None:
    """Is let go at once."""
    with answering(hang=True) as connection:
        threading.Timer(0.05, connection.abort).start()
        with pytest.raises(Broken):
            connection.ask(REQUEST)


# --------------------------------------------------------------------------------------------------------- routes


class Peer:
    """A server for one connection at a time: `serve(socket)` does all it does."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(serve,), daemon=True)
        self._thread.start()

    def _run(self, serve: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                serve(connection)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def receive_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(1 << 16)
        if not more:
            break
        head += more
    return head


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a machine without any."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_a_proxy_for_http(no_proxies: pytest.MonkeyPatch, bucket: Bucket) -> None:
    """It is sent the URL; what it wants to know of us goes to it alone, in each request."""
    heads: list[bytes] = []

    def forward(connection: socket.socket) -> None:
        head = receive_head(connection)
        while head:
            heads.append(head)
            first, rest = head.split(b"\r\n", 1)
            method, url, version = first.split(b" ")
            path = b"/" + url.split(b"/", 3)[3]
            with socket.create_connection(("127.0.0.1", bucket.server.port)) as server:
                server.sendall(b" ".join((method, path, version)) + b"\r\n" + rest)
                server.settimeout(0.3)
                try:
                    while answer := server.recv(1 << 16):
                        connection.sendall(answer)
                except OSError:
                    pass  # all of the answer has come
            head = receive_head(connection)

    bucket.put("file", b"contents")
    with Peer(forward) as proxy:
        no_proxies.setenv("http_proxy", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
        source = bucket.source()
        assert source.stat(b"/file").size == 8
        source.close()
        no_proxies.setenv("no_proxy", "127.0.0.1")
        seen = len(heads)
        source = bucket.source()
        source.close()
    assert len(heads) == seen == 2
    for head in heads:
        assert head.startswith(f"GET {bucket.server.endpoint}/{bucket.name}/?".encode())
        assert b"proxy-authorization: Basic bWU6cEBzcw==\r\n" in head


def test_a_proxy_for_https(no_proxies: pytest.MonkeyPatch) -> None:
    """Is asked for a tunnel, and what it refuses is told; its password is not."""
    heads: list[bytes] = []

    def refuse(connection: socket.socket) -> None:
        heads.append(receive_head(connection))
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    endpoint = endpoint_of("bucket", "https://oss-cn-hangzhou.aliyuncs.com")
    with Peer(refuse) as proxy:
        no_proxies.setenv("HTTPS_PROXY", f"http://me:hidden@127.0.0.1:{proxy.port}")
        route = Route(endpoint, 5.0, 5.0)
        with pytest.raises(ProxyRefused, match=r"407 to CONNECT bucket\.oss-cn-hangzhou\.aliyuncs\.com:443") as caught:
            route.connect()
    (head,) = heads
    assert head.startswith(b"CONNECT bucket.oss-cn-hangzhou.aliyuncs.com:443 HTTP/1.1\r\nHost: bucket.oss-cn")
    assert "hidden" not in f"{caught.value!r} {caught.value} {route.peer}"


def test_a_tunnel_to_an_address(no_proxies: pytest.MonkeyPatch) -> None:
    """One of IPv6 stands in brackets."""
    heads: list[bytes] = []
    with Peer(lambda connection: heads.append(receive_head(connection))) as proxy:
        no_proxies.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(ConnectError):
            Route(endpoint_of("bucket", "https://[2001:db8::1]"), 5.0, 5.0).connect()
    assert heads[0].startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://:80", "http://host:port", "http://[::1"])
def test_a_proxy_that_cannot_be_used(no_proxies: pytest.MonkeyPatch, proxy: str) -> None:
    """Is an error of the mount, with the name of the variable."""
    no_proxies.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ConfigError, match="HTTP_PROXY"):
        Route(endpoint_of("bucket", "example.com"), 5.0, 5.0)


def test_nobody_answers(no_proxies: pytest.MonkeyPatch) -> None:
    """The message names who was asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectError, match="connection refused") as caught:
        Route(endpoint_of("bucket", f"127.0.0.1:{port}"), 5.0, 5.0).connect()
    assert caught.value.where == f"127.0.0.1:{port}"


# ----------------------------------------------------------------------------------------------------------- pool


def test_a_pool_that_was_closed(bucket: Bucket) -> None:
    """Gives no connections any more, and keeps none."""
    pool = Pool(Route(endpoint_of(bucket.name, bucket.server.endpoint), 5.0, 5.0), Counters())
    first, second = pool.take(), pool.take()
    pool.give_back(first, reusable=True)
    assert pool.take() is first
    pool.close()
    pool.close()
    for connection in (first, second):
        pool.give_back(connection, reusable=True)
    with pytest.raises(Closed):
        pool.take()


def test_an_idle_connection_at_which_something_came_is_not_used(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most likely the server has hung up."""
    monkeypatch.setattr("alluxio_jnifuse.sources.oss.http.pool._FRESH_S", 0.0)
    pool = Pool(Route(endpoint_of(bucket.name, bucket.server.endpoint), 5.0, 5.0), Counters())
    first = pool.take()
    first.abort()
    pool.give_back(first, reusable=True)
    second = pool.take()
    assert second is not first
    pool.give_back(second, reusable=True)
    pool.close()


def test_connections_of_a_burst_are_closed_when_they_were_idle_for_long(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though one of them is used all the time: the server has hung up at the others."""
    now = time.monotonic()
    pool = Pool(Route(endpoint_of(bucket.name, bucket.server.endpoint), 5.0, 5.0), Counters())
    many = [pool.take() for _ in range(5)]
    for connection in many:
        pool.give_back(connection, reusable=True)
    monkeypatch.setattr(time, "monotonic", lambda: now + 30.0)
    used = pool.take()
    pool.give_back(used, reusable=True)
    monkeypatch.setattr(time, "monotonic", lambda: now + 60.0)
    assert pool.take() is used
    pool.give_back(used, reusable=True)
    assert [each for _, each in pool._idle] == [used]
    pool.close()
