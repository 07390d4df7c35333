"""Connections of our own for block data (csrc/wire/h2.h), against a server of gRPC's own, and links that keep them."""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from fake_server import FakeServer, unused_port
from fake_worker import FakeWorker, Read, chunk, chunks, failing, message, short, stall

from alluxio_jnifuse._core import Cancelled
from alluxio_jnifuse._wire import BlockConnection
from alluxio_jnifuse.sources.alluxio.proto import worker_pb2
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, Closed, NotFound
from alluxio_jnifuse.sources.alluxio.rpc.streams import READ_BLOCK, ShortStream
from alluxio_jnifuse.sources.alluxio.settings import Settings
from alluxio_jnifuse.sources.alluxio.workers.link import WorkerLink

OPEN_LOCAL_BLOCK = "/alluxio.grpc.block.BlockWorker/OpenLocalBlock"
BLOCK = 7
DATA = random.Random(1).randbytes((4 << 20) + 77)
SOON_S = 100.0  # much longer than anything takes here
SETTINGS = Settings(masters=(), user="alice")
SIZES = (1, 2, 9, 127, 128, 4096, 16383, 16384, 16385, 65536, 1_000_003, len(DATA))
CHUNKS = (100, 16 << 10, 1 << 20, 2 << 20)


@pytest.fixture
def worker() -> Iterator[FakeWorker]:
    """A worker with one block, which wants to know nobody."""
    made = serve()
    yield made
    made.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., BlockConnection]]:
    """A factory of connections, which are closed at the end."""
    made: list[BlockConnection] = []

    def make(worker: FakeServer, timeout: float = SOON_S) -> BlockConnection:
        host, _, port = worker.target.rpartition(":")
        where = (worker.target[len("unix:") :], "") if worker.target.startswith("unix:") else (host, port)
        made.append(BlockConnection(*where, timeout))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def link() -> Iterator[Callable[..., WorkerLink]]:
    """A factory of links, which are closed at the end."""
    made: list[WorkerLink] = []

    def make(worker: FakeServer, **changes: Any) -> WorkerLink:
        made.append(WorkerLink(worker.target, SETTINGS._replace(**changes)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def serve(address: str = "127.0.0.1:0") -> FakeWorker:
    """A worker with one block, which wants to know nobody."""
    made = FakeWorker({}, address)
    made.authentication = "none"
    made.blocks[BLOCK] = DATA
    return made


def asked(begin: int, end: int, block: int = BLOCK) -> bytes:
    """A serialised ReadRequest."""
    return worker_pb2.ReadRequest(block_id=block, offset=begin, length=end - begin).SerializeToString()


def call(connection: BlockConnection, begin: int, end: int, block: int = BLOCK, channel_id: str = "") -> None:
    connection.call(READ_BLOCK, "worker:1", channel_id, asked(begin, end, block), SOON_S)


def take(connection: BlockConnection, size: int, step: int = 1 << 18, timeout: float = SOON_S) -> bytes:
    """What a call gives, up to `size` bytes."""
    buffer = bytearray(size)
    filled = connection.read_into(memoryview(buffer), 0, size, step, timeout, lambda _: None)
    return bytes(buffer[:filled])


def through(link: WorkerLink, begin: int, end: int, block: int = BLOCK) -> bytes:
    """A range of the block by way of a link."""
    buffer = bytearray(end - begin)
    reading = link.read(asked(begin, end, block), begin, end)
    try:
        filled = reading.read_into(memoryview(buffer), 0, end - begin, lambda _: None)
    finally:
        reading.finish()
    return bytes(buffer[:filled])


def in_chunks(size: int) -> Callable[..., Iterator[bytes]]:
    """A fault that is none: messages of that size."""
    return lambda _worker, _read, data, _context: chunks(data, size)


# ------------------------------------------------------------------------------------------------------------ data


@pytest.mark.parametrize("size", CHUNKS)
def test_all_sizes_in_chunks_of_all_sizes(
    worker: FakeWorker, connect: Callable[..., BlockConnection], size: int
) -> None:
    """On one connection, from places that are aligned to nothing."""
    worker.always = in_chunks(size)
    connection = connect(worker)
    for length in (length for length in SIZES if length <= 2000 * size):
        begin = min(33, len(DATA) - length)
        call(connection, begin, begin + length)
        assert take(connection, length) == DATA[begin : begin + length]
        assert connection.finish(0 if length % 2 else SOON_S)


def test_hundreds_of_calls_on_one_connection(worker: FakeWorker, connect: Callable[..., BlockConnection]) -> None:
    """Whether the end of each is waited for or not."""
    peers = set()

    def answer(_worker: FakeWorker, _read: Read, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        peers.add(context.peer())
        return chunks(data)

    worker.always = answer
    connection = connect(worker)
    for number in range(200):
        call(connection, number * 1000, number * 1000 + 1500)
        assert take(connection, 1500) == DATA[number * 1000 :][:1500]
        assert connection.finish(SOON_S if number % 3 else 0)
    assert len(peers) == 1


def test_a_part_of_a_buffer_is_filled_and_progress_reported(
    worker: FakeWorker, connect: Callable[..., BlockConnection]
) -> None:
    """What was reported is final; nothing else is touched."""
    connection = connect(worker)
    buffer = bytearray(b"\xee" * 700_000)
    reports: list[int] = []

    def progress(filled: int) -> None:
        assert buffer[1000:filled] == DATA[: filled - 1000]
        reports.append(filled)

    call(connection, 0, 600_000)
    assert connection.read_into(memoryview(buffer), 1000, 300_000, 100_000, SOON_S, progress) == 300_000
    assert connection.read_into(memoryview(buffer), 300_000, 601_000, 100_000, SOON_S, progress) == 601_000
    assert reports == [101_000, 201_000, 300_000, 400_000, 500_000, 600_000, 601_000]
    assert buffer == b"\xee" * 1000 + DATA[:600_000] + b"\xee" * 99_000


def test_what_progress_raises_passes(worker: FakeWorker, connect: Callable[..., BlockConnection]) -> None:
    """And the call goes on from there, if it is to."""
    connection = connect(worker)
    buffer = memoryview(bytearray(2000))

    def refuse(_: int) -> None:
        raise KeyError("enough")

    call(connection, 0, 2000)
    with pytest.raises(KeyError):
        connection.read_into(buffer, 0, 2000, 1000, SOON_S, refuse)
    assert connection.filled == 1000
    assert connection.read_into(buffer, 1000, 2000, 1000, SOON_S, lambda _: None) == 2000
    assert buffer == DATA[:2000]


def test_a_unix_socket(
    tmp_path: Path, connect: Callable[..., BlockConnection], link: Callable[..., WorkerLink]
) -> None:
    """As a worker on this machine has one."""
    worker = serve(f"unix:{tmp_path}/domain")
    try:
        connection = connect(worker)
        call(connection, 0, len(DATA))
        assert take(connection, len(DATA)) == DATA
        assert through(link(worker), 5, 500_000) == DATA[5:500_000]
    finally:
        worker.close()


def test_a_message_is_answered_whole(worker: FakeWorker, connect: Callable[..., BlockConnection]) -> None:
    """A path, and that there is no other; longer than it may be; or none at all."""
    paths: list[str] = ["/mnt/ramdisk/alluxioworker/" + "9" * 3000, "/a", ""]

    def answer(_requests: Any, _context: grpc.ServicerContext) -> Iterator[bytes]:
        yield worker_pb2.OpenLocalBlockResponse(path=paths[0]).SerializeToString()
        yield worker_pb2.OpenLocalBlockResponse(path=paths[1]).SerializeToString()

    def ask() -> BlockConnection:
        connection = connect(worker)
        connection.call(OPEN_LOCAL_BLOCK, "worker:1", "", b"", SOON_S, nested=False)
        return connection

    worker.on("OpenLocalBlock", answer)
    connection = ask()
    assert [connection.read_message(4096, SOON_S).decode() for _ in paths] == paths
    with pytest.raises(OSError) as caught:
        ask().read_message(3000, SOON_S)
    assert caught.value.errno == errno.EMSGSIZE
    worker.fail("OpenLocalBlock", grpc.StatusCode.NOT_FOUND)
    assert ask().read_message(4096, SOON_S) == b""


def test_who_calls_is_told(worker: FakeWorker, connect: Callable[..., BlockConnection]) -> None:
    """The channel id is a header, or there is none."""
    for channel_id in ("0b7e0a5a-3b1c-4f4e-8d9e-2f6f0f1d2c3b", "x" * 300, ""):
        connection = connect(worker)
        call(connection, 0, 10, channel_id=channel_id)
        assert take(connection, 10) == DATA[:10]
        assert worker.calls[-1] == ("ReadBlock", channel_id)


# ---------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("place", [0, 1, 500_000])
@pytest.mark.parametrize("kind", ["error", "end"])
def test_a_call_that_ends_early_gives_what_there_was(
    worker: FakeWorker, connect: Callable[..., BlockConnection], kind: str, place: int
) -> None:
    """The reason is not told, but the connection lives."""
    worker.faults.append(failing(grpc.StatusCode.UNAVAILABLE, place) if kind == "error" else short(place))
    connection = connect(worker)
    call(connection, 0, 600_000)
    assert take(connection, 600_000) == DATA[:place]
    assert connection.finish(SOON_S)
    call(connection, 0, 600_000)
    assert take(connection, 600_000) == DATA[:600_000]


@pytest.mark.parametrize("said", [b"\x12\x00", b"\x0a\x05\x0a\x04ab", b"\x0a\x02\x12\x00", b"\xff" * 9])
def test_what_is_no_chunk_is_an_error(worker: FakeWorker, connect: Callable[..., BlockConnection], said: bytes) -> None:
    """What came before it counts."""
    worker.faults.append(message(said, 1000))
    connection = connect(worker)
    reports: list[int] = []
    call(connection, 0, 2000)
    with pytest.raises(OSError) as caught:
        connection.read_into(memoryview(bytearray(2000)), 0, 2000, 1 << 20, SOON_S, reports.append)
    assert caught.value.errno == errno.EPROTO
    assert reports == [1000]


def test_a_silent_server_times_out(worker: FakeWorker, connect: Callable[..., BlockConnection]) -> None:
    """What it had said before counts."""
    worker.faults.append(stall(1000))
    connection = connect(worker)
    reports: list[int] = []
    call(connection, 0, 2000)
    with pytest.raises(TimeoutError):
        connection.read_into(memoryview(bytearray(2000)), 0, 2000, 1 << 20, 0.2, reports.append)
    assert reports == [1000]


@pytest.mark.parametrize("how", ["abort", "close"])
def test_a_read_that_nobody_wants_any_more(
    worker: FakeWorker, connect: Callable[..., BlockConnection], how: str
) -> None:
    """Another thread ends a wait; closing ends the call at the server."""
    worker.faults.append(stall(1000))
    connection = connect(worker)
    call(connection, 0, 2000)
    assert take(connection, 1000) == DATA[:1000]
    if how == "abort":
        threading.Timer(0.1, connection.abort).start()
        with pytest.raises(OSError) as caught:
            take(connection, 1000, timeout=-1)
        assert caught.value.errno == errno.ECANCELED
    else:
        connection.close()
    worker.wait_for(lambda: worker.under_way == 0)


def test_a_server_that_stops_ends_a_read(worker: FakeWorker, connect: Callable[..., BlockConnection]) -> None:
    """As an error, or as the end of the call."""
    worker.faults.append(stall(1000))
    connection = connect(worker)
    call(connection, 0, 2000)
    threading.Timer(0.1, worker.close).start()
    try:
        assert take(connection, 2000) == DATA[:1000]
    except OSError as error:
        assert not isinstance(error, TimeoutError)  # noqa: PT017


def test_nobody_listens() -> None:
    """Connecting fails at once."""
    with pytest.raises(ConnectionRefusedError):
        BlockConnection("127.0.0.1", str(unused_port()), 3600.0)
    with pytest.raises(FileNotFoundError):
        BlockConnection("/nowhere", "", 3600.0)


def test_mistakes_of_the_caller(worker: FakeWorker, connect: Callable[..., BlockConnection]) -> None:
    """They are told from those of the server."""
    connection = connect(worker)
    buffer = memoryview(bytearray(100))
    call(connection, 0, 100)
    with pytest.raises(ValueError, match="fit"):
        connection.read_into(buffer, 0, 101, 10, SOON_S, lambda _: None)
    with pytest.raises(ValueError, match="step"):
        connection.read_into(buffer, 0, 100, 0, SOON_S, lambda _: None)
    with pytest.raises(ValueError, match="size"):
        connection.read_message(0, SOON_S)
    with pytest.raises(BufferError):
        connection.read_into(memoryview(bytes(100)), 0, 100, 10, SOON_S, lambda _: None)
    assert take(connection, 100) == DATA[:100]
    with pytest.raises(RuntimeError):
        connection.__init__("127.0.0.1", "1", SOON_S)
    connection.close()
    connection.close()
    connection.abort()
    for use in (lambda: call(connection, 0, 1), lambda: take(connection, 1), lambda: connection.finish(0)):
        with pytest.raises(ValueError, match="closed"):
            use()


# ----------------------------------------------------------------------------------------------------------- links


def test_links_use_a_connection_again(worker: FakeWorker, link: Callable[..., WorkerLink]) -> None:
    """When the call on it has come to its end, and not otherwise."""
    peers: list[str] = []

    def answer(_worker: FakeWorker, _read: Read, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        peers.append(context.peer())
        return chunks(data)

    worker.always = answer
    one = link(worker)
    for _ in range(5):
        assert through(one, 10, 100_000) == DATA[10:100_000]
    assert len(set(peers)) == 1
    left = one.read(asked(0, len(DATA)), 0, len(DATA))
    assert left.read_into(memoryview(bytearray(10)), 0, 10, lambda _: None) == 10
    assert left.position == 10
    left.finish()
    left.finish()
    assert through(one, 0, 10) == DATA[:10]
    assert peers[-1] != peers[0]


def test_a_worker_that_was_started_anew(link: Callable[..., WorkerLink]) -> None:
    """Its idle connections are dead; nobody notices, wherever that shows."""
    address = f"127.0.0.1:{unused_port()}"
    worker = serve(address)
    one = link(worker)
    for _ in range(3):
        assert through(one, 0, 1000) == DATA[:1000]
        worker.close()
        worker = serve(address)
    several = [one.read(asked(0, 1000), 0, 1000) for _ in range(3)]
    for each in several:
        assert each.read_into(memoryview(bytearray(1000)), 0, 1000, lambda _: None) == 1000
        each.finish()
    worker.close()
    with pytest.raises(ConnectionRefusedError):
        through(one, 0, 1000)


def test_a_link_tells_a_short_stream_and_the_reason(worker: FakeWorker, link: Callable[..., WorkerLink]) -> None:
    """The first when it is asked over a connection, the second over the channel."""
    one = link(worker)
    with pytest.raises(ShortStream, match="at 0 of 10"):
        through(one, 0, 10, block=8)
    reading = one.read_over_channel(asked(0, 10, block=8), 0, 10)
    with pytest.raises(NotFound, match="blockId 8"):
        reading.read_into(memoryview(bytearray(10)), 0, 10, lambda _: None)
    reading.finish()
    worker.faults.append(short(5))
    buffer = memoryview(bytearray(10))
    reading = one.read(asked(0, 10), 0, 10)
    with pytest.raises(ShortStream, match="at 5 of 10"):
        reading.read_into(buffer, 0, 10, lambda _: None)
    assert (reading.position, bytes(buffer[:5])) == (5, DATA[:5])
    reading.finish()


def test_a_session_is_shared_with_the_channel(link: Callable[..., WorkerLink]) -> None:
    """Calls on connections of ours come under the id that the channel has."""
    worker = serve()
    try:
        worker.authentication = "accept"
        one = link(worker)
        assert through(one, 0, 1000) == DATA[:1000]
        reading = one.read_over_channel(asked(0, 1000), 0, 1000)
        reading.read_into(memoryview(bytearray(1000)), 0, 1000, lambda _: None)
        reading.finish()
        ids = [channel_id for method, channel_id in worker.calls if method == "ReadBlock"]
        assert ids == [worker.all_ids[0]] * 2
    finally:
        worker.close()


def test_closing_a_link_ends_its_reads(worker: FakeWorker, link: Callable[..., WorkerLink]) -> None:
    """Those that wait, at once; others cannot begin."""
    worker.always = stall(10)
    one = link(worker)
    reading = one.read(asked(0, 1000), 0, 1000)
    threading.Timer(0.1, one.close).start()
    with pytest.raises(OSError):
        reading.read_into(memoryview(bytearray(1000)), 0, 1000, lambda _: None)
    reading.finish()
    with pytest.raises((Closed, CallError)):
        one.read(asked(0, 10), 0, 10)


def test_with_tls_everything_goes_over_the_channel(worker: FakeWorker, link: Callable[..., WorkerLink]) -> None:
    """Connections of ours are never encrypted."""
    one = link(worker, tls=True)
    assert not one.plain
    with pytest.raises(CallError):
        through(one, 0, 10)  # this worker has no TLS
    assert worker.count("ReadBlock") == 0


def test_requests_fit(worker: FakeWorker, connect: Callable[..., BlockConnection]) -> None:
    """They hold a path of the under store; what is longer than paths are is refused and not sent."""
    connection = connect(worker)
    options = worker_pb2.OpenUfsBlockOptions(ufs_path="s3://bucket/" + "d" * 12_000)
    request = worker_pb2.ReadRequest(block_id=BLOCK, offset=0, length=10, open_ufs_block_options=options)
    connection.call(READ_BLOCK, "worker.example:29999", "x" * 36, request.SerializeToString(), SOON_S)
    assert take(connection, 10) == DATA[:10]
    request.open_ufs_block_options.ufs_path += "d" * 1000
    with pytest.raises(OSError) as caught:
        connect(worker).call(READ_BLOCK, "worker:1", "", request.SerializeToString(), SOON_S)
    assert caught.value.errno == errno.E2BIG


def test_who_reads_what_drips_may_give_up(worker: FakeWorker, connect: Callable[..., BlockConnection]) -> None:
    """It need not wait for a step: after a few bits it is asked whether the rest is wanted still."""

    def drip(_worker: FakeWorker, _read: Read, data: bytes, context: Any) -> Iterator[bytes]:
        for number in range(len(data)):
            if not context.is_active():
                break
            yield chunk(data[number : number + 1])
            time.sleep(0.02)

    def progress(done: int) -> None:
        raise Cancelled

    worker.faults.append(drip)
    connection = connect(worker)
    call(connection, 0, len(DATA))
    with pytest.raises(Cancelled):
        connection.read_into(memoryview(bytearray(len(DATA))), 0, len(DATA), 1 << 18, SOON_S, progress)
    assert connection.filled < 1000


@pytest.mark.parametrize("host", ["a\0b", "", "\ud7ff", "x" * 5000, "a b", "[", "-"])
def test_a_host_that_cannot_be_one(host: str) -> None:
    """A master names it: the worker is one that does not answer, and another one is asked."""
    for kind in ("NOSASL", "SIMPLE"):
        link = WorkerLink(f"{host}:1", SETTINGS._replace(auth_type=kind, read_timeout_s=6.0, auth_timeout_s=1.0))
        with pytest.raises(OSError):
            link.read(b"request", 0, 1)
        link.close()
