"""ReadBlock over gRPC: what is taken from messages, and how calls go and end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from fake_worker import MIB, FakeWorker, chunk, chunks, failing, message, more, short, stall
from hypothesis import given
from hypothesis import strategies as st

from alluxio_jnifuse.sources.alluxio.proto import worker_pb2
from alluxio_jnifuse.sources.alluxio.rpc.channel import Channel
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, Closed, NotFound, TimedOut
from alluxio_jnifuse.sources.alluxio.rpc.streams import MalformedChunk, ReadStream, Requests, ShortStream, payload
from alluxio_jnifuse.sources.alluxio.settings import Settings

BLOCK = 7
DATA = bytes(range(251)) * 4000
SOON_S = 100.0  # much longer than anything takes here

# ---------------------------------------------------------------------------------------------------------- messages


@given(st.binary(max_size=300) | st.sampled_from([bytes(size) for size in (16383, 16384, 2 * MIB, 2 * MIB + 1)]))
def test_the_data_of_a_message(data: bytes) -> None:
    """However long its length is written."""
    assert payload(chunk(data)) == data


def test_messages_without_data() -> None:
    """Without a chunk, or a chunk without data, or with data that is empty."""
    for said in (b"", b"\x0a\x00", b"\x0a\x02\x0a\x00", b"\x0a\x80\x00"):
        assert payload(said) == b""


@pytest.mark.parametrize(
    "said",
    [
        b"\x12\x00",  # another field
        b"\x08\x01",
        b"\x0a",  # no length
        b"\x0a\x80",
        b"\x0a" + b"\x80" * 6 + b"\x00",
        b"\x0a\x01",  # too short
        b"\x0a\x03\x0a\x01ab",
        b"\x0a\x02\x0a\x00\x12\x00",  # two fields
        b"\x0a\x04\x0a\x00\x12\x00",
        b"\x0a\x03\x12\x01a",
        b"\x0a\x03\x0a\x02a",
    ],
)
def test_what_is_no_message(said: bytes) -> None:
    """It is refused, not guessed at."""
    with pytest.raises(MalformedChunk):
        payload(said)


@given(st.binary(max_size=12))
def test_what_is_taken_is_what_protobuf_would_take(said: bytes) -> None:
    """Nothing is, where it would take something else."""
    try:
        data = payload(b"\x0a" + said)
    except MalformedChunk:
        return
    assert data == worker_pb2.ReadResponse.FromString(b"\x0a" + said).chunk.data


def test_a_request_is_followed_by_nothing_until_the_end() -> None:
    """One message; then whoever asks waits until `close`, and is told the end as often as he asks."""
    requests = Requests(b"request")
    assert next(requests) == b"request"
    ended = threading.Event()

    def rest() -> None:
        assert list(requests) == list(requests) == []
        ended.set()

    thread = threading.Thread(target=rest)
    thread.start()
    assert not ended.wait(0.05)
    requests.close()
    requests.close()
    assert ended.wait(SOON_S)
    thread.join()


# ------------------------------------------------------------------------------------------------------------- calls


@pytest.fixture
def worker() -> Iterator[FakeWorker]:
    """A worker with one block, which wants to know nobody."""
    made = FakeWorker({})
    made.authentication = "none"
    made.blocks[BLOCK] = DATA
    yield made
    made.close()


@pytest.fixture
def channel(worker: FakeWorker) -> Iterator[Channel]:
    """A channel to it."""
    made = Channel(worker.target, Settings(masters=(), user="alice"))
    yield made
    made.close()


@pytest.fixture
def read(channel: Channel) -> Iterator[Callable[..., ReadStream]]:
    """Begins a read: read(begin, end)."""
    made: list[ReadStream] = []

    def begin(begin: int, end: int, block: int = BLOCK, patience: float = SOON_S) -> ReadStream:
        request = worker_pb2.ReadRequest(block_id=block, offset=begin, length=end - begin)
        made.append(ReadStream(channel, request.SerializeToString(), begin, end, patience))
        return made[-1]

    yield begin
    for each in made:
        each.finish()


def take(stream: ReadStream, size: int) -> bytes:
    """The next bytes of a stream; checks what is reported."""
    buffer = bytearray(size)
    reports = [0]

    def progress(filled: int) -> None:
        assert reports[-1] <= filled <= size
        reports.append(filled)

    filled = stream.read_into(memoryview(buffer), 0, size, progress)
    assert reports[-1] == filled
    return bytes(buffer[:filled])


@pytest.mark.parametrize("size", [1000, 100_000, 3 * MIB])
def test_pieces_need_not_be_messages(worker: FakeWorker, read: Callable[..., ReadStream], size: int) -> None:
    """Shorter or longer: what is left of a message is for the next piece."""
    worker.always = lambda _worker, _read, data, _context: chunks(data, size)
    for piece in (777, 65536, len(DATA)):
        stream = read(3, len(DATA))
        got = [take(stream, piece) for _ in range(10)]
        assert b"".join(got) == DATA[3 : 3 + 10 * piece]
        assert stream.position == 3 + sum(map(len, got))
        stream.finish()


def test_a_part_of_a_buffer_is_filled(read: Callable[..., ReadStream]) -> None:
    """Nothing else is touched."""
    buffer = bytearray(b"\xee" * 100)
    assert read(0, 1000).read_into(memoryview(buffer), 10, 90, lambda _: None) == 90
    assert buffer == b"\xee" * 10 + DATA[:80] + b"\xee" * 10


def test_empty_messages_are_passed_over(worker: FakeWorker, read: Callable[..., ReadStream]) -> None:
    """They are neither an end nor progress."""
    worker.faults += [message(b""), message(b"\x0a\x00", 100)]
    assert take(read(0, 200), 200) == DATA[:200]
    assert take(read(0, 200), 200) == DATA[:200]


def test_more_than_was_asked_for_is_not_taken(worker: FakeWorker, read: Callable[..., ReadStream]) -> None:
    """And ends the call."""
    worker.faults.append(more(b"more"))
    stream = read(0, 2000)
    assert take(stream, 3000) == DATA[:2000]
    stream.finish()
    worker.wait_for(lambda: worker.under_way == 0)


def test_a_stream_that_ends_early(worker: FakeWorker, read: Callable[..., ReadStream]) -> None:
    """What came is counted."""
    worker.faults.append(short(700))
    stream = read(0, 1000)
    assert take(stream, 500) == DATA[:500]
    with pytest.raises(ShortStream, match="at 700 of 1000"):
        take(stream, 500)
    assert stream.position == 700


def test_an_error_says_why(worker: FakeWorker, read: Callable[..., ReadStream]) -> None:
    """Before all data, or after some."""
    with pytest.raises(NotFound, match="blockId 8"):
        take(read(0, 10, block=8), 10)
    worker.faults.append(failing(grpc.StatusCode.UNAVAILABLE, 600, "the under store is away"))
    stream = read(0, 1000)
    with pytest.raises(CallError, match="the under store is away"):
        take(stream, 1000)
    assert stream.position == 600


def test_a_message_that_is_none(worker: FakeWorker, read: Callable[..., ReadStream]) -> None:
    """What came before it is counted."""
    worker.faults.append(message(b"\x12\x00", 600))
    stream = read(0, 1000)
    with pytest.raises(MalformedChunk):
        take(stream, 1000)
    assert stream.position == 600


def test_patience_is_for_one_message(worker: FakeWorker, read: Callable[..., ReadStream]) -> None:
    """Not for the call."""
    worker.faults.append(stall(600))
    stream = read(0, 1000, patience=0.3)
    assert take(stream, 600) == DATA[:600]
    with pytest.raises(TimedOut):
        take(stream, 400)
    worker.wait_for(lambda: worker.under_way == 0)


@pytest.mark.parametrize("all_of_it", [True, False])
def test_the_end_of_a_read_ends_the_call(worker: FakeWorker, read: Callable[..., ReadStream], all_of_it: bool) -> None:
    """In order when all was taken: the worker sees the half-close, and no cancellation."""
    ended: list[bool] = []

    def answer(_worker: FakeWorker, _read: Any, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from chunks(data, 100)
        with worker.lock:
            worker.lock.wait_for(lambda: bool(ended) or not context.is_active(), SOON_S)

    def note() -> None:
        with worker.lock:
            ended.append(True)
            worker.lock.notify_all()

    worker.faults.append(answer)
    stream = read(0, 1000)
    assert take(stream, 1000 if all_of_it else 500) == DATA[: 1000 if all_of_it else 500]
    assert stream._call.active
    stream.finish()
    stream.finish()
    if all_of_it:
        assert stream._call.active  # it lasts until the worker ends it
        note()
    worker.wait_for(lambda: worker.under_way == 0)


def test_no_thread_stays_behind(worker: FakeWorker, read: Callable[..., ReadStream]) -> None:
    """However a call ends, gRPC's thread that takes its requests is let go."""

    def takers() -> int:
        return sum("consume_request" in thread.name for thread in threading.enumerate())

    for fault in (short(5), failing(grpc.StatusCode.UNAVAILABLE, 5), stall(5)):
        worker.faults.append(fault)
        stream = read(0, 10)
        assert take(stream, 5) == DATA[:5]
        stream.finish()
    worker.wait_for(lambda: worker.under_way == 0)
    for _ in range(200):
        if not takers():
            return
        time.sleep(0.05)
    raise AssertionError("it stayed")


def test_a_channel_that_is_closed(channel: Channel, read: Callable[..., ReadStream]) -> None:
    """No read begins there."""
    channel.close()
    with pytest.raises(Closed):
        read(0, 10)
