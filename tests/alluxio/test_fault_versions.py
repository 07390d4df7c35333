"""Files that are deleted, overwritten or evicted while they are open: their own bytes or an error, never a mixture."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from fake_cluster import FakeCluster, File, pattern, run_all, waiting_in
from fake_server import unused_port
from fake_worker import MIB, FakeWorker, Fault, Read, chunks

from alluxio_jnifuse.errors import SourceError, StaleVersion, known_errno
from alluxio_jnifuse.sources.alluxio import source
from alluxio_jnifuse.sources.alluxio.data import attempts
from alluxio_jnifuse.sources.alluxio.workers.placement import NoWorker

BLOCK = 4 * MIB
SIZE = 2 * BLOCK + 999
OLD, NEW = pattern("old", SIZE), pattern("new", SIZE + 5000)


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster(workers=2)
    yield made
    made.close()


def opened(cluster: FakeCluster, **settings: object) -> File:
    return File(cluster.source(**settings), "/f")


def fails(file: File, at: int, length: int) -> bytes:
    """A read that fails because the file is another one; what of it was called final before."""
    final = 0

    def note(filled: int) -> None:
        nonlocal final
        final = filled

    with pytest.raises(StaleVersion):
        file.read(at, length, note)
    assert final == len(file.final)
    return bytes(file.final)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("length", [4096, 2 * MIB])
def test_overwritten_and_its_blocks_are_gone(cluster: FakeCluster, length: int, held: bool) -> None:
    """What the under store has at the path by now is another file's. Nothing of it is given out, then or later.

    `held`: a worker held the blocks when the file was opened.
    """
    blocks = cluster.put("/f", OLD, BLOCK, holders=[0] if held else [])
    file = opened(cluster)
    assert file.read(0, 10) == OLD[:10]
    cluster.put("/f", NEW, BLOCK, holders=[1])
    assert fails(file, 1000, length) == b""
    # Workers keep what somebody made them read there, as blocks of the file that is no more.
    cluster.workers[0].blocks.update(dict.fromkeys(blocks, NEW[:BLOCK]))
    assert fails(file, 5000, length) == b""
    assert fails(file, BLOCK, length) == b""
    file.close()
    again = File(file.source, "/f")
    assert again.read_all(MIB) == NEW
    again.close()


def test_a_file_that_is_another_is_not_asked_of_the_under_store(cluster: FakeCluster) -> None:
    """They would keep the bytes of the other one under the ids of its blocks."""
    cluster.put("/f", OLD, BLOCK, holders=[0, 1])
    file = opened(cluster)
    cluster.put("/f", NEW, BLOCK)
    fails(file, 0, 4096)
    assert not any(read.ufs for worker in cluster.workers for read in worker.reads)
    file.close()


def test_overwritten_and_a_worker_still_has_its_blocks(cluster: FakeCluster) -> None:
    """They are what it was."""
    blocks = cluster.put("/f", OLD, BLOCK, holders=[0])
    kept = dict(cluster.workers[0].blocks)
    file = opened(cluster)
    cluster.put("/f", NEW, BLOCK, holders=[1])
    cluster.workers[0].blocks.update(kept)
    assert file.read_all(MIB) == OLD
    assert {read.block for read in cluster.workers[0].reads} == set(blocks)
    file.close()


@pytest.mark.parametrize("place", [10_000, MIB + 10_000, 3 * MIB])
def test_overwritten_while_it_is_streamed(cluster: FakeCluster, place: int) -> None:
    """Within a block that is read from the under store: what comes after belongs to the other file."""

    def overwritten(worker: FakeWorker, read: Read, data: bytes, _: grpc.ServicerContext) -> Iterator[bytes]:
        yield from chunks(data[:place])
        cluster.put("/f", NEW, BLOCK)
        yield from chunks(NEW[read.offset : read.end][place:])

    cluster.put("/f", OLD, BLOCK)
    file = opened(cluster)
    cluster.workers[0].faults, cluster.workers[1].faults = [overwritten], [overwritten]
    final = fails(file, 0, BLOCK)
    assert final == OLD[: len(final)]
    assert len(final) <= place
    file.close()


@pytest.mark.parametrize("held", [False, True])
def test_deleted(cluster: FakeCluster, held: bool) -> None:
    """A block that is left can be read; else it is gone, without much ado."""
    blocks = cluster.put("/f", OLD, BLOCK, holders=[0] if held else [])
    file = opened(cluster)
    kept = {block: data for block, data in cluster.workers[0].blocks.items() if block != blocks[0]}
    cluster.delete("/f")
    cluster.workers[0].blocks.update(kept)
    if held:
        assert file.read(BLOCK, MIB) == OLD[BLOCK:][:MIB]
    assert fails(file, 0, MIB) == b""
    file.close()


def test_evicted_while_it_is_open(cluster: FakeCluster) -> None:
    """The worker that held the blocks gets them from the under store, and is not asked in vain twice for one."""
    blocks = cluster.put("/f", OLD, BLOCK, holders=[0])
    cluster.gone = {1}
    file = opened(cluster)
    assert file.read(0, MIB) == OLD[:MIB]
    cluster.evict("/f")
    assert file.read(3 * MIB, 4096) == OLD[3 * MIB :][:4096]
    asked = len(cluster.workers[0].reads)
    for at in range(BLOCK - MIB, BLOCK, 100_000):
        assert file.read(at, 4096) == OLD[at : at + 4096]
    later = cluster.workers[0].reads[asked:]
    assert all(read.ufs == "file:///f" and read.block == blocks[0] for read in later)
    assert len(later) == 11
    file.close()


def test_evicted_while_it_is_streamed(cluster: FakeCluster) -> None:
    """By several threads; all of it comes."""
    cluster.put("/f", OLD, BLOCK, holders=[0, 1])
    file = opened(cluster)

    def lose(worker: FakeWorker, _: Read, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from chunks(data[:300_000])
        cluster.evict("/f")
        context.abort(grpc.StatusCode.NOT_FOUND, "the block was removed")

    cluster.workers[0].faults = cluster.workers[1].faults = [lose]
    assert file.read_all(MIB, threads=4) == OLD
    file.close()


def test_whoever_read_from_the_under_store_asks_once_for_all(cluster: FakeCluster) -> None:
    """Threads whose bytes came at about the same time share the master's answer, if it is younger than the bytes."""
    cluster.put("/f", OLD, BLOCK)
    file = opened(cluster)
    before = cluster.asked()
    cluster.master.hold("GetStatus")
    ranges = [(at, 4096) for at in range(0, 8 * 50_000, 50_000)]

    def release() -> None:
        while waiting_in("attempts.py") < len(ranges) - 1:  # one asks
            time.sleep(0.01)
        cluster.master.release("GetStatus")

    releasing = threading.Thread(target=release)
    releasing.start()
    assert file.read_ranges(ranges, threads=8) == b"".join(OLD[at : at + 4096] for at, _ in ranges)
    releasing.join()
    assert cluster.asked() - before == 2  # whoever came during the first question needs another one
    file.close()


def test_a_stream_goes_on_while_the_master_is_asked(cluster: FakeCluster) -> None:
    """So the pieces behind the one whose bytes are in question share the next answer."""
    cluster.put("/f", OLD, BLOCK)
    file = opened(cluster)
    file.read(0, MIB)
    before = cluster.asked()
    cluster.master.hold("GetStatus")
    ranges = [(at * MIB, MIB) for at in range(1, BLOCK // MIB)]

    def release() -> None:
        while waiting_in("attempts.py") < len(ranges) - 1:
            time.sleep(0.01)
        cluster.master.release("GetStatus")

    releasing = threading.Thread(target=release)
    releasing.start()
    assert file.read_ranges(ranges, threads=len(ranges)) == OLD[MIB:BLOCK]
    releasing.join()
    assert cluster.asked() - before == 2
    file.close()


def test_who_is_asked_by_now(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that is elsewhere than it was is found, as soon as the master says so."""
    cluster.put("/f", OLD, BLOCK, holders=[1], persisted=False)
    target, cluster.targets[0] = cluster.targets[0], f"127.0.0.1:{unused_port()}"
    cluster.locate("/f", 0)
    file = opened(cluster)
    threading.Timer(0.5, lambda: cluster.locate("/f", 1)).start()
    assert file.read(0, 4096) == OLD[:4096]
    cluster.targets[0] = target
    file.close()


def test_a_block_that_nobody_has(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers may be about to tell what they hold; whoever waited long enough for that gets EIO."""
    monkeypatch.setattr(attempts, "_LOST_S", 0.5)
    cluster.put("/f", OLD, BLOCK, holders=[1], persisted=False)
    cluster.locate("/f")
    file = opened(cluster, read_retry_max_duration_s=3600.0)
    began = time.monotonic()
    with pytest.raises(NoWorker) as raised:
        file.read(0, 4096)
    assert known_errno(raised.value) in (errno.EIO, None)
    assert time.monotonic() - began > 0.3
    threading.Timer(0.2, lambda: cluster.locate("/f", 1)).start()
    assert file.read(0, 4096) == OLD[:4096]
    file.close()


def test_no_worker_at_all(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads wait for one, as long as they are to."""
    monkeypatch.setattr("alluxio_jnifuse.sources.alluxio.workers.known._RETRY_LIST_S", 0.1)
    cluster.put("/f", OLD, BLOCK)
    cluster.gone = {0, 1}
    file = opened(cluster)
    began = time.monotonic()
    with pytest.raises(NoWorker):
        file.read(0, 4096)
    assert time.monotonic() - began > 1
    threading.Timer(0.5, cluster.gone.clear).start()
    assert file.read(0, 4096) == OLD[:4096]
    file.close()


def test_the_master_is_away(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What workers hold stays readable, and what was said of files stands; the under store waits for a master."""
    monkeypatch.setattr(source, "_MASTER_S", 0.3)
    cluster.put("/f", OLD, BLOCK, holders=[0, 1])
    cluster.put("/cold", OLD, BLOCK)
    made = cluster.source(rpc_retry_max_duration_s=1.0)
    file, cold = File(made, "/f"), File(made, "/cold")
    names = bytes(made.list(b"/").names)
    cluster.master.close()
    assert file.read_all(MIB, threads=2) == OLD
    assert File(made, "/f").read(0, 10) == OLD[:10]
    assert bytes(made.list(b"/").names) == names
    with pytest.raises(OSError) as raised:
        cold.read(0, 4096)
    assert known_errno(raised.value) in (errno.EIO, None)
    file.close()
    cold.close()


@pytest.mark.parametrize("held", [False, True])
def test_a_small_file_that_was_replaced(cluster: FakeCluster, held: bool) -> None:
    """Though it is opened from what was remembered: the name is looked up again."""
    made = cluster.source()
    cluster.put("/s", b"old" * 1000, BLOCK, holders=[0] if held else [])
    old = made.stat(b"/s")
    cluster.put("/s", b"new" * 2000, BLOCK, holders=[0])
    buffer = bytearray(3000)

    def note(filled: int) -> None:
        assert not filled, f"{bytes(buffer[:filled])!r} is no content of the file"

    for _ in range(2):
        with pytest.raises(StaleVersion):
            made.read_small(b"/s", old.version, 3000, 0, memoryview(buffer), note)
    new = made.stat(b"/s")
    buffer = bytearray(6000)
    assert made.read_small(b"/s", new.version, 6000, 0, memoryview(buffer), lambda _: None) == 6000
    assert buffer == b"new" * 2000


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND])
def test_the_under_store_cannot_be_read(cluster: FakeCluster, status: grpc.StatusCode) -> None:
    """The worker's words are in the error."""

    def fail(_worker: FakeWorker, _read: Read, _data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.abort(status, "no route to the bucket")
        yield b""

    broken: Fault = fail
    cluster.put("/f", OLD, BLOCK)
    for worker in cluster.workers:
        worker.always = broken
    file = opened(cluster, read_retry_max_duration_s=0.3)
    with pytest.raises(SourceError, match="no route to the bucket"):
        file.read(0, 4096)
    run_all([file.close])
