"""Large messages in parts; and masters whose listings never end, or come in one message."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fake_cluster import FakeCluster, run_all
from fake_server import FakeServer
from infos import file_info

from alluxio_jnifuse._core import ENTRY_BYTES, Cancelled
from alluxio_jnifuse.sources.alluxio.proto import file_pb2
from alluxio_jnifuse.sources.alluxio.rpc import requests
from alluxio_jnifuse.sources.alluxio.rpc.channel import Channel
from alluxio_jnifuse.sources.alluxio.rpc.messages import Malformed, parts
from alluxio_jnifuse.sources.alluxio.settings import Settings
from alluxio_jnifuse.sources.base import Listing

pytestmark = pytest.mark.timeout(120)
MIB = 1 << 20
LIST_STATUS = "/alluxio.grpc.file.FileSystemMasterClientService/ListStatus"
CALLS = 8
READ = 60  # replies of each call
REPLY_BYTES = 400_000


def message(first: int, count: int) -> bytes:
    infos = [file_info(f"/d/{each:012d}", each + 1) for each in range(first, first + count)]
    return file_pb2.ListStatusPResponse(fileInfos=infos).SerializeToString()


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster(workers=1)
    yield made
    made.close()


# ---------------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("most", [1, 100, 1000, MIB])
def test_parts_are_the_message(most: int) -> None:
    """Whole elements, in order, of which none is lost."""
    whole = message(0, 50)
    found = list(parts(whole, most))
    assert b"".join(found) == whole
    assert all(len(part) <= most or len(file_pb2.ListStatusPResponse.FromString(part).fileInfos) == 1 for part in found)
    assert len(found) == 1 if most == MIB else len(found) > 1


def test_fields_that_are_not_known() -> None:
    """A newer master may send some, of any kind; they stay where they are."""
    unknown = b"\x10\x96\x01" + b"\x19" + bytes(8) + b"\x25" + bytes(4) + b"\x2a\x03abc"
    whole = message(0, 2) + unknown + message(2, 1)
    assert b"".join(parts(whole, 10)) == whole
    assert sum(len(file_pb2.ListStatusPResponse.FromString(part).fileInfos) for part in parts(whole, 10)) == 3
    assert list(parts(b"")) == []


@pytest.mark.parametrize("broken", [b"\x0a", b"\x0a\x05abc", b"\x0a" + b"\xff" * 11, b"\x0b", b"\x19\0", b"\xff" * 20])
def test_what_is_no_message(broken: bytes) -> None:
    """Is refused, wherever it ends."""
    with pytest.raises(Malformed):
        list(parts(message(0, 1) + broken))


# ------------------------------------------------------------------------------------------------------- listings


def test_a_master_that_never_ends_a_listing(cluster: FakeCluster, caplog: pytest.LogCaptureFixture) -> None:
    """EFBIG for the reader and one line; the call is ended."""
    batches = [message(first, 1000) for first in range(0, 3000, 1000)]
    ended = threading.Event()

    def answer(_request: bytes, context: object) -> Iterator[bytes]:
        context.add_callback(ended.set)  # type: ignore[attr-defined]
        return itertools.cycle(batches)

    cluster.master.on("ListStatus", answer)
    source = cluster.source(listing_bytes=4 * MIB, rpc_retry_max_duration_s=100.0)
    with pytest.raises(OSError) as caught, caplog.at_level(logging.ERROR):
        source.list(b"/d")
    assert caught.value.errno == errno.EFBIG
    assert [line for line in caplog.messages if "listing_limit" in line] == [
        "the listing of '/d' is larger than 4.00MB; it can be raised with -o listing_limit=SIZE"
    ]
    assert source.remembered() == 0
    assert ended.wait(100)


def test_a_listing_that_nobody_waits_for(cluster: FakeCluster) -> None:
    """Ends with the part that is being received."""
    batch = message(0, 100)
    cluster.master.on("ListStatus", lambda _request, _context: itertools.repeat(batch))
    source = cluster.source()
    asked: list[None] = []

    def check() -> None:
        asked.append(None)
        if len(asked) == 3:
            raise Cancelled

    source.check_wanted = check
    with pytest.raises(Cancelled):
        source.list(b"/d")


def test_a_listing_in_one_message(cluster: FakeCluster) -> None:
    """Takes a few times what it is, not many: no more than some hundred of its files are objects at once."""
    count = 50_000
    whole = message(0, count)
    cluster.master.on("ListStatus", lambda _request, _context: [whole])
    source = cluster.source()
    before = resident()
    listing = source.list(b"/d")
    assert names(listing) == count
    assert resident() - before < 8 * len(whole)


def test_a_message_that_is_too_large(cluster: FakeCluster) -> None:
    """Is an error of the call; it is not received."""
    cluster.master.on("ListStatus", lambda _request, _context: [message(0, 10_000)])
    source = cluster.source(message_bytes=MIB)
    with pytest.raises(OSError, match="larger than max"):
        source.list(b"/d")


def names(listing: Listing) -> int:
    return len(listing.entries) // ENTRY_BYTES


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -------------------------------------------------------------------------------------------------------- replies


def test_replies_that_are_not_read_stay_with_the_server() -> None:
    """However fast they were read before: a call under way takes some memory here, and not more and more."""
    server = FakeServer()
    replies = [0] * CALLS
    reply = bytes(REPLY_BYTES)

    def endless(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        number = int(file_pb2.ListStatusPRequest.FromString(request).path)
        while context.is_active():
            replies[number] += 1
            yield reply

    server.on("ListStatus", endless)
    channel = Channel(server.target, Settings(masters=(), user="alice"))
    try:
        request = [requests.list_status(str(number)) for number in range(CALLS)]
        calls = [channel.replies(LIST_STATUS, each, 100.0) for each in request]
        run_all([lambda call=call: [next(call) for _ in range(READ)] for call in calls])
        sent, before = sum(replies), 0
        while before < sent < 10 * CALLS * READ:  # until the server has to wait
            time.sleep(0.5)
            sent, before = sum(replies), sent
        print(f"{sent} replies were sent, {CALLS * READ} of them read")
        most = 4 * MIB // REPLY_BYTES + 4  # some are on their way out of the server
        assert sent <= CALLS * (READ + most)
        for call in calls:
            call.close()
    finally:
        channel.close()
        server.close()
