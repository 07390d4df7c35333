"""Workers that fail: the right bytes all the same, or an error in time; never wrong ones."""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import pytest
from certificates import CERTIFICATE, KEY
from fake_cluster import FakeCluster, File, pattern, run_all
from fake_server import RawServer, unused_port
from fake_worker import MIB, Fault, Proxy, chunk, failing, message, more, short, slow, stall

from alluxio_jnifuse._core import Cancelled
from alluxio_jnifuse.errors import SourceError, known_errno
from alluxio_jnifuse.sources.alluxio.rpc.errors import Denied, Refused

BLOCK = 2 * MIB
SIZE = 2 * BLOCK + 54_321
DATA = pattern("/f", SIZE)
HALF = 777_777

FAULTS: dict[str, Fault] = {
    "stalls at once": stall(0),
    "stalls in the middle": stall(HALF),
    "ends early": short(HALF),
    "sends nothing": short(0),
    "fails at once": failing(grpc.StatusCode.UNAVAILABLE),
    "fails in the middle": failing(grpc.StatusCode.INTERNAL, HALF),
    "is out of resources": failing(grpc.StatusCode.RESOURCE_EXHAUSTED),
    "has lost the block": failing(grpc.StatusCode.NOT_FOUND),
    "calls the block invalid": failing(grpc.StatusCode.INVALID_ARGUMENT),
    "does not know us": failing(grpc.StatusCode.UNAUTHENTICATED),
    "sends another field": message(b"\x12\x03abc"),
    "sends another field in the middle": message(b"\x12\x03abc", HALF),
    "sends a chunk and more": message(b"\x0a\x05\x0a\x01a\x10\x01"),
    "sends half a message": message(b"\x0a\xff\xff\xff\xff\xff\x0f"),
    "sends noise": message(random.Random(1).randbytes(5000), HALF),
    "sends a long noise": message(random.Random(1).randbytes(3 * MIB)),
    "sends nothing but an empty message": lambda *_: iter([b""]),
}


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster(workers=2)
    made.put("/f", DATA, BLOCK, holders=[0, 1])
    yield made
    made.close()


def read(cluster: FakeCluster, piece: int, **settings: object) -> bytes:
    """All of the file."""
    file = File(cluster.source(**settings), "/f")
    try:
        return file.read_all(piece, threads=2)
    finally:
        file.close()


@pytest.mark.parametrize("piece", [100_000, MIB])
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_one_fault(cluster: FakeCluster, fault: str, piece: int) -> None:
    """The first calls of one worker go wrong, those of the other do not: nobody notices."""
    cluster.workers[0].faults = [FAULTS[fault]] * 3
    cluster.locate("/f", 0)
    assert read(cluster, piece) == DATA


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_worker_that_always_fails(cluster: FakeCluster, fault: str) -> None:
    """The other one that holds the blocks gives them, and is asked first from then on."""
    cluster.workers[0].always = FAULTS[fault]
    cluster.gone = {1}  # as far as the under store is concerned
    file = File(cluster.source(), "/f")
    while not cluster.workers[0].reads:  # of those that are equally near, any is asked
        assert file.read(HALF - 10, 4096) == DATA[HALF - 10 : HALF + 4086]
    asked = len(cluster.workers[0].reads)
    for at in (HALF, 3, 5000, HALF - 10):
        assert file.read(at, 4096) == DATA[at : at + 4096]
    assert len(cluster.workers[0].reads) == asked or fault == "does not know us"
    file.close()


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"stalls at once"}))
def test_nobody_gives_the_block(cluster: FakeCluster, fault: str) -> None:
    """An error in time: no bytes but those that were right."""
    for worker in cluster.workers:
        worker.always = FAULTS[fault]
    file = File(cluster.source(read_retry_max_duration_s=0.1), "/f")
    with pytest.raises((SourceError, OSError)) as raised:
        file.read(HALF - 1000, MIB)
    assert known_errno(raised.value) in (errno.EIO, None)
    file.close()


def test_more_than_was_asked_for(cluster: FakeCluster) -> None:
    """It is nobody's, and does not become a part of the next answer on the same connection."""
    cluster.locate("/f", 0)
    for extra in (b"x", b"\x00" * 9, b"\x00\x00\x05\x00\x00\x00\x00\x00\x03" * 50, bytes(200_000)):
        cluster.workers[0].always = more(extra)
        for piece in (5000, 100_000):
            file = File(cluster.source(), "/f")
            for at in range(0, 500_000, 50_000):
                assert file.read(at, piece) == DATA[at : at + piece]
            file.close()


def test_more_that_looks_like_the_next_answer(cluster: FakeCluster) -> None:
    """Frames within a frame are no frames."""
    cluster.locate("/f", 0)
    lie = chunk(bytes(4096))
    lie = b"\0" + len(lie).to_bytes(4, "big") + lie
    frame = len(lie).to_bytes(3, "big") + b"\0\0" + (3).to_bytes(4, "big") + lie  # DATA of the second call
    cluster.workers[0].faults = [more(frame)]
    file = File(cluster.source(), "/f")
    for at in (0, 50_000):
        assert file.read(at, 4096) == DATA[at : at + 4096]
    file.close()


def test_a_worker_that_was_started_anew(cluster: FakeCluster) -> None:
    """It does not know us any more: we introduce ourselves again, and go on where we were."""
    cluster.locate("/f", 0)
    file = File(cluster.source(), "/f")
    worker = cluster.workers[0]
    for at in range(0, SIZE - MIB, 400_000):
        assert file.read(at, 4096) == DATA[at : at + 4096]
        worker.forget_sessions()
    assert len(worker.all_ids) >= 3
    file.close()


@pytest.mark.parametrize("cut_after", [1, 20_000, 200_000, 3 * MIB])
def test_a_connection_that_is_reset(cluster: FakeCluster, cut_after: int) -> None:
    """What had come stays, the rest comes by another one."""
    proxy = Proxy(cluster.workers[0].target)
    try:
        cluster.targets[0] = proxy.target
        cluster.locate("/f", 0)
        cluster.gone = {1}
        proxy.cut_after = cut_after
        assert read(cluster, MIB) == DATA
        assert proxy.cut_after == 0
    finally:
        proxy.close()


def test_idle_connections_that_died_meanwhile(cluster: FakeCluster, caplog: pytest.LogCaptureFixture) -> None:
    """The next read takes a new one; nothing is held against the worker."""
    proxy = Proxy(cluster.workers[0].target)
    try:
        cluster.targets[0] = proxy.target
        cluster.locate("/f", 0)
        file = File(cluster.source(), "/f")
        for at in range(0, MIB, 200_000):
            assert file.read(at, 4096) == DATA[at : at + 4096]
            proxy.cut()
        # gRPC may not have noticed yet, and have begun to authenticate on a connection that was dead.
        assert not cluster.workers[1].reads or any("authentication of" in message for message in caplog.messages)
        file.close()
    finally:
        proxy.close()


def test_a_network_that_stalls(cluster: FakeCluster) -> None:
    """Whoever waits goes elsewhere in time; the silent worker is avoided for other files too, not asked in vain."""
    proxy = Proxy(cluster.workers[0].target)
    try:
        cluster.targets[0] = proxy.target
        cluster.locate("/f", 0)
        cluster.put("/g", DATA, BLOCK, holders=[0])
        source = cluster.source()
        files = [File(source, name) for name in ("/f", "/g")]
        assert files[0].read(0, 4096) == DATA[:4096]
        proxy.stall()
        began = time.monotonic()
        assert files[0].read(0, MIB) == DATA[:MIB]
        assert time.monotonic() - began > 0.9
        before = source.counters()["rpc_ReadBlock"]
        assert files[1].read(0, 4096) == DATA[:4096]
        assert source.counters()["rpc_ReadBlock"] - before == 1
        for file in files:
            file.close()
    finally:
        proxy.close()


def test_the_only_worker_stalls_and_goes_on(cluster: FakeCluster) -> None:
    """Reads wait for it, as long as they are to."""
    proxy = Proxy(cluster.workers[0].target)
    try:
        cluster.targets[0] = proxy.target
        cluster.put("/g", DATA, BLOCK, holders=[0], persisted=False)
        cluster.gone = {1}
        file = File(cluster.source(read_retry_max_duration_s=100.0), "/g")
        assert file.read(0, 4096) == DATA[:4096]
        proxy.stall()
        threading.Timer(2.5, proxy.go_on).start()
        began = time.monotonic()
        assert file.read(0, MIB) == DATA[:MIB]
        assert time.monotonic() - began > 2.4
        file.close()
    finally:
        proxy.close()


def test_nobody_listens(cluster: FakeCluster) -> None:
    """A worker that is gone costs no time."""
    cluster.targets[0] = f"127.0.0.1:{unused_port()}"
    cluster.locate("/f", 0)
    assert read(cluster, MIB, read_retry_max_duration_s=300.0, read_timeout_s=1800.0) == DATA


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x50", bytes(50), b""])
def test_something_else_listens(cluster: FakeCluster, said: bytes) -> None:
    """Whatever it says, the other worker has the bytes."""

    def answer(connection: object) -> None:
        connection.recv(1 << 16)  # type: ignore[attr-defined]
        connection.sendall(said)  # type: ignore[attr-defined]
        connection.close()  # type: ignore[attr-defined]

    other = RawServer(answer)
    try:
        cluster.targets[0] = other.target
        cluster.locate("/f", 0)
        assert read(cluster, MIB) == DATA
    finally:
        other.close()


def test_a_worker_that_refuses_us(cluster: FakeCluster) -> None:
    """Asking again would change nothing: EACCES at once."""
    for worker in cluster.workers:
        worker.authentication = "refuse"
    file = File(cluster.source(read_retry_max_duration_s=3600.0), "/f")
    with pytest.raises(Refused) as raised:
        file.read(0, 4096)
    assert known_errno(raised.value) == errno.EACCES
    file.close()


def test_a_read_that_is_not_allowed(cluster: FakeCluster) -> None:
    """Another worker would say the same."""
    cluster.workers[0].always = cluster.workers[1].always = failing(grpc.StatusCode.PERMISSION_DENIED)
    file = File(cluster.source(), "/f")
    with pytest.raises(Denied):
        file.read(0, 4096)
    assert len(cluster.workers[0].reads) + len(cluster.workers[1].reads) == 2  # the second one asked for the reason
    file.close()


def test_nobody_wants_it_while_nobody_gives_it(cluster: FakeCluster) -> None:
    """A read that was given up does not go on for the whole time that it has."""
    for worker in cluster.workers:
        worker.always = short(0)
    file = File(cluster.source(read_retry_max_duration_s=3600.0), "/f")
    wanted = time.monotonic() + 0.3

    def look(_: int) -> None:
        if time.monotonic() > wanted:
            raise Cancelled

    with pytest.raises(Cancelled):
        file.read(0, 4096, look)
    file.close()


@pytest.mark.parametrize("fault", ["stalls in the middle", "ends early", "fails in the middle"])
def test_over_tls(fault: str) -> None:
    """Where other connections are used, with the same patience for each message, not for the whole."""
    credentials = grpc.ssl_server_credentials([(KEY, CERTIFICATE)])
    cluster = FakeCluster(workers=2, credentials=credentials)
    try:
        cluster.put("/f", DATA, BLOCK, holders=[0, 1])
        cluster.workers[0].always = FAULTS[fault]
        cluster.workers[1].always = slow(0.1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("alluxio_jnifuse.sources.alluxio.rpc.connection._certificates", lambda _: CERTIFICATE)
            assert read(cluster, MIB, tls=True) == DATA
    finally:
        cluster.close()


@pytest.mark.parametrize("hang", [stall(0), stall(HALF)])
def test_the_end_while_reads_hang(cluster: FakeCluster, hang: Callable[..., Iterator[bytes]]) -> None:
    """Closing the source ends them at once, and everything that was to come."""
    for worker in cluster.workers:
        worker.always = hang
    source = cluster.source(read_timeout_s=6 * 3600.0, read_retry_max_duration_s=3600.0)
    file = File(source, "/f")
    ended: list[int] = []

    def hanging(at: int, length: int) -> None:
        with pytest.raises((SourceError, OSError)):
            file.read(at, length)
        ended.append(at)

    def end() -> None:
        while sum(worker.under_way for worker in cluster.workers) < 4:
            time.sleep(0.01)
        source.close()

    ranges = [(0, MIB), (MIB, MIB), (BLOCK, MIB), (HALF - 1, 4096), (BLOCK + HALF + 5000, 4096)]
    run_all([end, *(lambda at=at, length=length: hanging(at, length) for at, length in ranges)], timeout=120)
    assert len(ended) == len(ranges)
    file.close()
    with pytest.raises((SourceError, OSError)):
        file.read(0, 10)
