"""Channels: identity, its loss and its renewal, how calls fail, and that everything ends when it is told to."""

from __future__ import annotations

import errno
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from certificates import CERTIFICATE, KEY
from fake_cluster import waiting_in
from fake_server import FakeServer, RawServer, unused_port

from alluxio_jnifuse.errors import ConfigError, known_errno
from alluxio_jnifuse.sources.alluxio.proto import file_pb2
from alluxio_jnifuse.sources.alluxio.rpc import requests
from alluxio_jnifuse.sources.alluxio.rpc.channel import Channel, Stream
from alluxio_jnifuse.sources.alluxio.rpc.errors import (
    CallError,
    Closed,
    Denied,
    Refused,
    Status,
    TimedOut,
    diagnose,
    error_of,
    is_retryable,
    is_unimplemented,
    status_of,
)
from alluxio_jnifuse.sources.alluxio.settings import Settings

GET_STATUS = "/alluxio.grpc.file.FileSystemMasterClientService/GetStatus"
LIST_STATUS = "/alluxio.grpc.file.FileSystemMasterClientService/ListStatus"
READ_BLOCK = "/alluxio.grpc.block.BlockWorker/ReadBlock"

SOON_S = 100.0  # much longer than anything takes here, much shorter than what a mistake would wait for
SETTINGS = Settings(masters=(), user="alice")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server with one file, /a."""
    made = FakeServer()
    made.files["/a"] = file_pb2.FileInfo(path="/a", length=42)
    yield made
    made.close()


@pytest.fixture
def channel() -> Iterator[Callable[..., Channel]]:
    """A factory of channels: channel(server or target, settings that are not the usual ones)."""
    made: list[Channel] = []

    def make(to: FakeServer | RawServer | str, **changes: Any) -> Channel:
        target = to if isinstance(to, str) else to.target
        made.append(Channel(target, SETTINGS._replace(**changes)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def get_status(channel: Channel, path: str = "/a", timeout: float = SOON_S) -> int:
    """The length of a file."""
    request = requests.get_status(path)
    return channel.unary(GET_STATUS, request, file_pb2.GetStatusPResponse, timeout, f"path={path}").fileInfo.length


def list_status(channel: Channel) -> Iterator[str]:
    """The paths below the root."""
    for reply in channel.replies(LIST_STATUS, requests.list_status("/"), SOON_S, "path=/"):
        yield from (info.path for info in file_pb2.ListStatusPResponse.FromString(reply).fileInfos)


class Requests:
    """A stream's requests: what `send` is given, until `finish`."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.ended = threading.Event()

    def send(self, message: bytes) -> None:
        self._queue.put(message)

    def finish(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> Iterator[bytes]:
        yield from iter(self._queue.get, None)
        self.ended.set()


def open_stream(channel: Channel, *messages: bytes) -> tuple[Requests, Stream]:
    """A ReadBlock call on which `messages` were sent."""
    sent = Requests()
    for message in messages:
        sent.send(message)
    return sent, channel.stream(READ_BLOCK, iter(sent), None, "id=1")


def eventually(condition: Callable[[], bool]) -> None:
    """Waits for what another thread is about to do."""
    deadline = time.monotonic() + SOON_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


# ------------------------------------------------------------------------------------------------------- identity


def test_the_user_is_known_to_the_server(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Every call carries the id of a session that belongs to the user."""
    made = channel(server)
    assert [get_status(made), get_status(made)] == [42, 42]
    (identity,) = server.users
    assert server.users == {identity: "alice"}
    assert server.calls[-2:] == [("GetStatus", identity)] * 2
    assert made.session().channel_id == identity


def test_one_user_acts_as_another(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Impersonation is the server's to grant."""
    get_status(channel(server, impersonated="bob", auth_type="CUSTOM"))
    assert list(server.users.values()) == ["alice as bob"]


def test_a_channel_costs_nothing_before_it_is_used(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """No thread, no connection, no error for a server that is not there."""
    before = threading.active_count()
    channel(f"127.0.0.1:{unused_port()}")
    channel(server)
    assert threading.active_count() == before
    assert server.calls == []


def test_many_threads_authenticate_once(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """They wait for the one that is at it."""
    made = channel(server)
    server.hold("authenticate")
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(get_status, made) for _ in range(16)]
        server.wait_for(lambda: server.count("authenticate") > 0)
        server.release("authenticate")
        assert [call.result(SOON_S) for call in calls] == [42] * 16
    assert len(server.all_ids) == 1


def test_many_threads_are_refused_at_once(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Whoever waited gets the same answer, in an exception of his own, and the server is not asked again for it."""
    made = channel(server)
    server.authentication = "refuse"
    server.hold("authenticate")
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(get_status, made) for _ in range(8)]
        eventually(lambda: waiting_in("flight.py") == 7)
        server.release("authenticate")
        errors = [call.exception(SOON_S) for call in calls]
    assert {type(error) for error in errors} == {Refused}
    assert len({id(error) for error in errors}) == 8
    assert len(server.all_ids) == 1


def test_a_session_that_the_server_lost(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """The call is repeated under a new id; the old one is never told again."""
    made = channel(server)
    get_status(made)
    server.forget_sessions()
    assert get_status(made) == 42
    assert server.count("GetStatus") == 3
    assert len(set(server.all_ids)) == len(server.all_ids) == 2


def test_a_stream_that_the_server_ended(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """We know that we are nobody before the next call, which goes right the first time."""
    made = channel(server)
    get_status(made)
    session = made.session()
    server.end_sessions()
    eventually(lambda: not session.alive)
    assert get_status(made) == 42
    assert server.count("GetStatus") == 2
    assert len(set(server.all_ids)) == len(server.all_ids) == 2


def test_a_session_lost_by_many(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Threads that learn of it one after the other do not throw away each other's new session."""
    made = channel(server)
    get_status(made)
    for _ in range(5):
        server.forget_sessions()
        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(lambda _: get_status(made), range(64))) == [42] * 64
    assert len(server.all_ids) == 6


def test_a_server_that_never_knows_us(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """One repetition, then the error, which a caller may try elsewhere."""
    server.fail("GetStatus", Status.UNAUTHENTICATED, "Channel: 1 is not authenticated", times=10)
    with pytest.raises(PermissionError) as caught:
        get_status(channel(server))
    assert caught.value.errno == errno.EACCES
    assert is_retryable(caught.value)
    assert server.count("GetStatus") == 2
    assert len(set(server.all_ids)) == 2


def test_a_new_server_at_the_same_address(channel: Callable[..., Channel]) -> None:
    """The connection is made again, and the session with it."""
    first = FakeServer()
    made = channel(first)
    with pytest.raises(FileNotFoundError):
        get_status(made)
    first.close()
    with pytest.raises(CallError) as caught:
        get_status(made)
    assert is_retryable(caught.value)
    second = FakeServer(first.target)
    second.files["/a"] = file_pb2.FileInfo(length=7)
    try:
        eventually(lambda: _length_or_none(made) == 7)
        assert len(second.users) == 1
    finally:
        second.close()


def _length_or_none(channel: Channel) -> int | None:
    try:
        return get_status(channel)
    except CallError as error:
        return None if is_retryable(error) else -1


def test_a_server_without_authentication(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """It does not know the call; there is no id then, and no second attempt."""
    server.authentication = "none"
    made = channel(server)
    assert [get_status(made), get_status(made)] == [42, 42]
    assert [call for call in server.calls if call[0] == "GetStatus"] == [("GetStatus", "")] * 2
    assert server.count("authenticate") == 1
    server.authentication = "accept"  # it was restarted with other settings
    assert get_status(made) == 42


def test_a_client_without_authentication(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """It does not ask, and learns from a server that wants to know its users what to set."""
    made = channel(server, auth_type="NOSASL")
    with pytest.raises(PermissionError, match=r"set alluxio\.security\.authentication\.type=SIMPLE") as caught:
        get_status(made)
    assert not is_retryable(caught.value)
    assert server.count("authenticate") == 0
    server.authentication = "none"
    assert get_status(made) == 42


def test_a_refused_user(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """The message says who, where, why, and what to set; asking again would not help."""
    server.authentication = "refuse"
    with pytest.raises(Refused) as caught:
        get_status(channel(server))
    for part in ("'alice'", server.target, "not configured to allow", "alluxio.security.login.username"):
        assert part in str(caught.value)
    assert not is_retryable(caught.value)
    with pytest.raises(Refused, match=r"set alluxio\.master\.security\.impersonation\.alice\.users on the servers"):
        get_status(channel(server, impersonated="bob"))


@pytest.mark.parametrize("behaviour", ["ask on", "hang up"])
def test_a_server_with_another_mechanism(server: FakeServer, channel: Callable[..., Channel], behaviour: str) -> None:
    """PLAIN is one message and one answer."""
    server.authentication = behaviour
    with pytest.raises(Refused):
        get_status(channel(server))


def test_a_server_that_does_not_answer_who_we_are(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Waiting ends, and the stream that may still succeed is ended too."""
    server.authentication = "silent"
    with pytest.raises(CallError) as caught:
        get_status(channel(server, auth_timeout_s=0.3))
    assert caught.value.status is Status.UNAVAILABLE
    assert "no answer within 0.3 s" in str(caught.value)
    server.authentication = "accept"
    server.hold("authenticate")
    made = channel(server, auth_timeout_s=0.3)
    with pytest.raises(CallError):
        get_status(made)
    server.release("authenticate")
    assert get_status(made) == 42
    server.wait_for(lambda: len(server.users) == 1)


def test_a_domain_socket_has_its_own_sessions(tmp_path: Path, channel: Callable[..., Channel]) -> None:
    """And is never encrypted."""
    server = FakeServer(f"unix:{tmp_path / 'socket'}")
    try:
        server.files["/a"] = file_pb2.FileInfo(length=1)
        assert get_status(channel(server, tls=True)) == 1
        assert list(server.users.values()) == ["alice"]
    finally:
        server.close()


# --------------------------------------------------------------------------------------------------------- calls


def test_replies_come_one_after_the_other(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """And none at all is an answer."""
    made = channel(server)
    assert list(list_status(made)) == ["/a"]
    server.files.clear()
    assert list(list_status(made)) == []


def test_replies_after_a_lost_session(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Repeated once, before anything was given."""
    made = channel(server)
    get_status(made)
    server.forget_sessions()
    assert list(list_status(made)) == ["/a"]
    assert server.count("ListStatus") == 2


def test_replies_that_nobody_wants(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Closing the generator ends the call at the server."""
    contexts: list[grpc.ServicerContext] = []

    def endless(_request: bytes, context: grpc.ServicerContext) -> Iterator[file_pb2.ListStatusPResponse]:
        contexts.append(context)
        while context.is_active():
            yield file_pb2.ListStatusPResponse(fileInfos=[file_pb2.FileInfo(path="/x")])

    server.on("ListStatus", endless)
    paths = list_status(channel(server))
    assert next(paths) == "/x"
    paths.close()
    eventually(lambda: not contexts[0].is_active())


def test_channels_share_no_connection(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """One that breaks takes nobody else with it."""
    peers = []
    server.on("GetStatus", lambda _r, context: peers.append(context.peer()) or file_pb2.GetStatusPResponse())
    first, second = channel(server), channel(server)
    for each in (first, second, first):
        get_status(each)
    assert peers[0] == peers[2] != peers[1]


def test_messages_may_be_large(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Listings are, and so are errors with a stack trace."""
    server.files["/a"] = file_pb2.FileInfo(ufsFingerprint="x" * (8 << 20), length=1)
    made = channel(server)
    assert get_status(made) == 1
    server.fail("GetStatus", Status.INTERNAL, "at java.lang.Thread.run " * 1000)
    with pytest.raises(CallError) as caught:
        get_status(made)
    assert caught.value.status is Status.INTERNAL
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


def test_a_call_has_a_deadline(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Unary or not."""
    made = channel(server)
    get_status(made)
    server.hold("GetStatus")
    with pytest.raises(TimeoutError) as caught:
        get_status(made, timeout=0.2)
    assert (caught.value.errno, status_of(caught.value)) == (errno.ETIMEDOUT, Status.DEADLINE_EXCEEDED)
    server.hold("ListStatus")
    request = requests.list_status("/")
    with pytest.raises(TimedOut, match="ListStatus"):
        list(made.replies(LIST_STATUS, request, 0.2))


def test_a_proxy_for_the_web_is_none_for_us(
    server: FakeServer, channel: Callable[..., Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clusters are reached directly, whatever the environment says."""
    for variable in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{unused_port()}")
        monkeypatch.delenv(f"no_{variable}", raising=False)
    for variable in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(variable, raising=False)
    assert get_status(channel(server)) == 42


def test_slow_calls_are_told(
    server: FakeServer, channel: Callable[..., Channel], caplog: pytest.LogCaptureFixture
) -> None:
    """In the words of Alluxio's own clients; the others are not."""
    made = channel(server, slow_rpc_s=3600.0)
    get_status(made)
    assert caplog.messages == []
    made = channel(server, slow_rpc_s=0.2)
    server.on("GetStatus", lambda _r, _c: time.sleep(0.25) or file_pb2.GetStatusPResponse())
    with caplog.at_level(logging.WARNING):
        get_status(made)
        server.on("GetStatus", lambda _r, c: time.sleep(0.25) or c.abort(Status.INTERNAL, "broken"))
        with pytest.raises(CallError):
            get_status(made)
    first, second = caplog.messages
    assert first.startswith("GetStatus(path=/a) returned in ")
    assert first.endswith(" ms (>=200 ms)")
    assert second.startswith("GetStatus(path=/a) exits with an exception in ")


# -------------------------------------------------------------------------------------------------------- streams


def echo(messages: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
    """Replies with what it is sent."""
    yield from messages


def test_a_stream_goes_both_ways(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Bytes as they are; it ends when the requests do, and lets go of them."""
    server.on("ReadBlock", echo)
    made = channel(server)
    sent, stream = open_stream(made, b"one")
    assert next(stream) == b"one"
    assert stream.active
    sent.send(b"\x00\xff")
    assert next(stream) == b"\x00\xff"
    ended = threading.Event()
    stream.on_end(ended.set)
    sent.finish()
    assert list(stream) == []
    assert ended.wait(SOON_S)
    assert not stream.active
    late = threading.Event()
    stream.on_end(late.set)
    assert late.is_set()
    assert server.calls[-1] == ("ReadBlock", made.session().channel_id)


def test_a_stream_that_fails(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """The reader gets our errors, after what came before."""

    def broken(_messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        yield b"some"
        context.abort(Status.NOT_FOUND, "no such block")

    server.on("ReadBlock", broken)
    sent, stream = open_stream(channel(server), b"")
    assert next(stream) == b"some"
    with pytest.raises(FileNotFoundError, match=r"ReadBlock\(id=1\) at .*NOT_FOUND: no such block"):
        next(stream)
    sent.finish()


def test_a_stream_is_cancelled(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """From another thread, under the reader; the server learns of it."""
    contexts: list[grpc.ServicerContext] = []

    def silent(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        contexts.append(context)
        yield from messages

    server.on("ReadBlock", silent)
    sent, stream = open_stream(channel(server))
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(lambda: next(stream))
        server.wait_for(lambda: server.count("ReadBlock") == 1)
        stream.cancel()
        stream.cancel()
        error = reader.exception(SOON_S)
    assert isinstance(error, CallError)
    assert error.status is Status.CANCELLED
    eventually(lambda: bool(contexts) and not contexts[0].is_active())
    sent.finish()
    assert sent.ended.wait(SOON_S)


def test_a_stream_after_a_lost_session(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Its requests cannot be taken twice: the reader is told, and the next stream has a new session."""
    server.on("ReadBlock", echo)
    made = channel(server)
    get_status(made)
    server.forget_sessions()
    sent, stream = open_stream(made, b"one")
    with pytest.raises(CallError) as caught:
        next(stream)
    assert caught.value.status is Status.UNAUTHENTICATED
    assert is_retryable(caught.value)
    sent.finish()
    sent, stream = open_stream(made, b"two")
    assert next(stream) == b"two"
    sent.finish()


# --------------------------------------------------------------------------------------------------- no connection


def test_nobody_listens(channel: Callable[..., Channel]) -> None:
    """That is known at once."""
    with pytest.raises(CallError) as caught:
        get_status(channel(f"127.0.0.1:{unused_port()}"))
    assert is_retryable(caught.value)
    assert diagnose(caught.value).what == "connection refused"


def test_a_name_without_an_address(channel: Callable[..., Channel]) -> None:
    """RFC 2606 keeps .invalid free."""
    with pytest.raises(CallError) as caught:
        get_status(channel("no-such-host.invalid:19998"))
    assert diagnose(caught.value).what == "its name has no address"


@pytest.mark.parametrize(
    ("greeting", "what"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "it speaks HTTP/1, not gRPC"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "it does not speak gRPC"),
        (b"", "it closed the connection at once"),
    ],
)
def test_something_else_listens(channel: Callable[..., Channel], greeting: bytes, what: str) -> None:
    """A port of the web interface, any other server, and one that hangs up as a TLS server does."""

    def behave(connection: Any) -> None:
        connection.recv(1 << 16)
        connection.sendall(greeting)
        connection.close()

    raw = RawServer(behave)
    try:
        with pytest.raises(CallError) as caught:
            get_status(channel(raw))
    finally:
        raw.close()
    assert diagnose(caught.value).what == what


@pytest.fixture
def encrypted() -> Iterator[FakeServer]:
    """A server with TLS and the file /a."""
    server = FakeServer(credentials=grpc.ssl_server_credentials([(KEY, CERTIFICATE)]))
    server.files["/a"] = file_pb2.FileInfo(length=42)
    yield server
    server.close()


def test_tls(encrypted: FakeServer, channel: Callable[..., Channel], tmp_path: Path) -> None:
    """With a certificate of our own authority."""
    (tmp_path / "ca.pem").write_bytes(CERTIFICATE)
    target = encrypted.target.replace("127.0.0.1", "localhost")
    assert get_status(channel(target, tls=True, tls_ca_path=str(tmp_path / "ca.pem"))) == 42


def test_tls_with_a_stranger(encrypted: FakeServer, channel: Callable[..., Channel]) -> None:
    """The system's authorities do not know him."""
    with pytest.raises(CallError) as caught:
        get_status(channel(encrypted, tls=True))
    assert diagnose(caught.value).what == "its TLS certificate is not trusted"


def test_tls_where_there_is_none(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """That is what it looks like."""
    with pytest.raises(CallError) as caught:
        get_status(channel(server, tls=True))
    assert diagnose(caught.value) == ("it does not speak TLS", "set alluxio.network.tls.enabled=false", True)


def test_grpc_writes_nothing_by_itself(server: FakeServer) -> None:
    """An exception says what went wrong, and nothing else does. In a process that has not loaded gRPC before us."""
    program = (
        "import sys\n"
        "from alluxio_jnifuse.sources.alluxio.rpc.channel import Channel\n"
        "from alluxio_jnifuse.sources.alluxio.settings import Settings\n"
        "channel = Channel(sys.argv[1], Settings(masters=(), user='alice', tls=True))\n"
        "try:\n"
        "    channel.session(10)\n"
        "except OSError as error:\n"
        "    print(error.status.name)\n"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    command = [sys.executable, "-c", program, server.target]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("UNAVAILABLE\n", "")


def test_no_tls_where_there_is(encrypted: FakeServer, channel: Callable[..., Channel]) -> None:
    """The server hangs up without a word; the remedy names the likely reason."""
    with pytest.raises(CallError) as caught:
        get_status(channel(encrypted))
    assert "set alluxio.network.tls.enabled=true" in diagnose(caught.value).remedy


def test_certificates_that_cannot_be_read(channel: Callable[..., Channel], tmp_path: Path) -> None:
    """Not the system's instead: somebody meant these."""
    with pytest.raises(ConfigError, match="No such file"):
        channel("127.0.0.1:1", tls=True, tls_ca_path=str(tmp_path / "none"))


# ------------------------------------------------------------------------------------------------------------ end


def read_one(channel: Channel) -> None:
    """Waits for a reply that does not come."""
    sent, stream = open_stream(channel)
    try:
        next(stream)
    finally:
        sent.finish()


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("GetStatus", get_status),
        ("ListStatus", lambda made: list(list_status(made))),
        ("ReadBlock", read_one),
        ("authenticate", get_status),
    ],
)
def test_close_ends_what_is_under_way(
    server: FakeServer, channel: Callable[..., Channel], method: str, call: Callable[[Channel], None]
) -> None:
    """With an error of its own, and so does whatever is begun afterwards."""
    server.on("ReadBlock", echo)
    made = channel(server)
    server.hold(method)
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(call, made)
        server.wait_for(lambda: server.count(method) == 1)
        made.close()
        error = under_way.exception(SOON_S)
    assert isinstance(error, Closed)
    assert not is_retryable(error)
    made.close()
    with pytest.raises(Closed):
        call(made)
    server.release(method)
    server.wait_for(lambda: not server.users)


def test_no_thread_is_left(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Neither the one that kept a session nor the one that handed out what arrived."""
    server.on("ReadBlock", echo)
    before = set(threading.enumerate())
    made = channel(server)
    get_status(made)
    sent, stream = open_stream(made, b"one")
    next(stream)
    sent.finish()
    ours = [thread for thread in set(threading.enumerate()) - before if "ThreadPool" not in thread.name]
    assert ours
    made.close()
    eventually(lambda: not any(thread.is_alive() for thread in ours))


def test_a_retired_channel_ends_with_its_last_call(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """Calls under way are not disturbed."""
    made = channel(server)
    server.hold("GetStatus")
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(get_status, made)
        server.wait_for(lambda: server.count("GetStatus") == 1)
        made.retire()
        assert len(server.users) == 1
        server.release("GetStatus")
        assert under_way.result(SOON_S) == 42
    server.wait_for(lambda: not server.users)
    with pytest.raises(Closed):
        get_status(made)


def test_a_retired_channel_waits_for_its_streams(server: FakeServer, channel: Callable[..., Channel]) -> None:
    """However they end."""
    server.on("ReadBlock", echo)
    made = channel(server)
    sent, stream = open_stream(made, b"one")
    made.retire()
    assert next(stream) == b"one"
    sent.finish()
    assert list(stream) == []
    server.wait_for(lambda: not server.users)


# ---------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("status", "number", "kind"),
    [
        (Status.NOT_FOUND, errno.ENOENT, FileNotFoundError),
        (Status.ALREADY_EXISTS, errno.EEXIST, FileExistsError),
        (Status.INVALID_ARGUMENT, errno.EINVAL, OSError),
        (Status.PERMISSION_DENIED, errno.EACCES, PermissionError),
        (Status.UNAUTHENTICATED, errno.EACCES, PermissionError),
        (Status.DEADLINE_EXCEEDED, errno.ETIMEDOUT, TimeoutError),
        *((status, errno.EIO, OSError) for status in (Status.UNAVAILABLE, Status.INTERNAL, Status.UNIMPLEMENTED)),
        *((status, errno.EIO, OSError) for status in (Status.UNKNOWN, Status.ABORTED, Status.DATA_LOSS)),
        (Status.RESOURCE_EXHAUSTED, errno.EIO, OSError),
    ],
)
def test_the_errno_of_a_status(status: grpc.StatusCode, number: int, kind: type[OSError]) -> None:
    """What an application sees, and what Python's own exceptions are."""
    error = error_of(status, "Call(x) at host:1", "because")
    assert isinstance(error, kind)
    assert known_errno(error) == number
    assert str(error) == f"[Errno {number}] Call(x) at host:1: {status.name}: because"
    assert type(error.again()) is type(error)
    assert str(error.again()) == str(error)
    assert status_of(error) is status
    assert is_unimplemented(error) == (status is Status.UNIMPLEMENTED)


def test_what_may_be_tried_again() -> None:
    """What another connection may heal; no other exception is."""
    retryable = {status for status in Status if is_retryable(error_of(status, "", ""))}
    assert retryable == {Status.UNAVAILABLE, Status.CANCELLED, Status.UNAUTHENTICATED}
    assert is_retryable(error_of(Status.UNKNOWN, "", "Stream removed"))
    assert not is_retryable(OSError(errno.EIO, ""))
    assert status_of(OSError(errno.EIO, "")) is None
    assert not is_retryable(Refused(Status.UNAUTHENTICATED, "", ""))
    assert not is_retryable(Closed(Status.CANCELLED, "", ""))
    assert isinstance(Refused(Status.UNAUTHENTICATED, "", ""), Denied)


# --------------------------------------------------------------------------------------------------------- imports


def test_a_mount_of_a_directory_needs_no_grpc() -> None:
    """The extra is for clusters only."""
    program = (
        "import sys; sys.modules.update(grpc=None, google=None)\n"
        "from alluxio_jnifuse import api, cli, sources; from alluxio_jnifuse.daemon import start, serve\n"
        "from alluxio_jnifuse.cli import mount\n"
        "sources.open_source('/', {}).stat(b'/')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_engine_starts_no_thread() -> None:
    """A process that has imported it may still fork."""
    program = (
        "import os\nimport alluxio_jnifuse.sources.alluxio.metadata.master\nprint(len(os.listdir('/proc/self/task')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
