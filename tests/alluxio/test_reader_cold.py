"""Blocks that no worker holds: a call for some of one makes the worker read the rest of it, so there should be one."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import grpc
import pytest
from fake_cluster import FakeCluster, File, pattern, run_all, waiting_in
from fake_worker import MIB, Read, failing, held
from harness.children import until

from alluxio_jnifuse._core import Cancelled
from alluxio_jnifuse.sources.alluxio.data import reader

BLOCK = 12 * MIB
DATA = pattern("/f", 2 * BLOCK)


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster(workers=1)
    made.put("/f", DATA, BLOCK)
    yield made
    made.close()


def reads(cluster: FakeCluster, block: int = 0) -> list[Read]:
    """The calls for a block so far."""
    return cluster.workers[0].begun(cluster.master.files["/f"].blockIds[block])


def read_late(file: File, early: list[int], late: list[int]) -> bytes:
    """Reads pieces of a MiB at `early` at once, and those at `late` one after the other when all of them wait."""
    parts: dict[int, bytes] = {}
    waiting = threading.Semaphore(0)

    def piece(at: int) -> None:
        waiting.release()
        parts[at] = file.read(at, MIB)

    def rest() -> None:
        for _ in early:
            waiting.acquire()
        for at in late:
            parts[at] = file.read(at, MIB)

    run_all([*(lambda at=at: piece(at) for at in early), rest])
    return b"".join(parts[at] for at in sorted(parts))


@pytest.mark.parametrize("seed", range(5))
def test_pieces_in_any_order(cluster: FakeCluster, seed: int) -> None:
    """By one thread, so none can wait for another: what the call comes past is set aside for the others."""
    order = list(range(0, BLOCK, MIB))
    random.Random(seed).shuffle(order)
    file = File(cluster.source(), "/f")
    parts = {at: file.read(at, MIB) for at in order}
    assert b"".join(parts[at] for at in sorted(parts)) == DATA[:BLOCK]
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK)]
    file.close()


def test_pieces_by_many_threads(cluster: FakeCluster) -> None:
    """Those that come while another one is read wait for their turn, the first of them first."""
    file = File(cluster.source(), "/f")
    early = [at * MIB for at in (11, 5, 2, 7, 9)]
    assert read_late(file, early, [at for at in range(0, BLOCK, MIB) if at not in early]) == DATA[:BLOCK]
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK)]
    file.close()


def test_a_piece_that_is_being_set_aside(cluster: FakeCluster) -> None:
    """Its thread comes while another one takes it from the call, together with what is behind."""
    reached, go_on = threading.Event(), threading.Event()
    cluster.workers[0].faults.append(held(6 * MIB, reached, go_on))
    file = File(cluster.source(), "/f")
    assert file.read(0, MIB) == DATA[:MIB]
    parts: dict[int, bytes] = {}

    def piece(at: int) -> None:
        parts[at] = file.read(at, MIB)

    far, near = (threading.Thread(target=piece, args=(at * MIB,)) for at in (10, 1))
    far.start()
    assert reached.wait(60.0)
    near.start()
    until(lambda: waiting_in("reader.py") == 1 or len(reads(cluster)) > 1, "a piece to be waited for")
    go_on.set()
    for thread in (far, near):
        thread.join()
    assert parts == {at: DATA[at : at + MIB] for at in (MIB, 10 * MIB)}
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK)]
    file.close()


def test_a_piece_that_could_not_be_set_aside(cluster: FakeCluster) -> None:
    """Its thread reads it itself."""
    reached, go_on = threading.Event(), threading.Event()
    cluster.workers[0].faults.append(held(6 * MIB, reached, go_on))
    file = File(cluster.source(), "/f")
    assert file.read(0, MIB) == DATA[:MIB]
    parts: dict[int, bytes] = {}
    cancelled = threading.Event()

    def given_up(_: int) -> None:
        if cancelled.is_set():
            raise Cancelled

    def far() -> None:
        with pytest.raises(Cancelled):
            file.read(10 * MIB, MIB, given_up)

    def near() -> None:
        parts[MIB] = file.read(MIB, MIB)

    threads = [threading.Thread(target=each) for each in (far, near)]
    threads[0].start()
    assert reached.wait(60.0)
    threads[1].start()
    until(lambda: waiting_in("reader.py") == 1, "a piece to be waited for")
    cancelled.set()
    go_on.set()
    for thread in threads:
        thread.join()
    assert parts == {MIB: DATA[MIB : 2 * MIB]}
    file.close()


def test_ranges_of_what_was_set_aside(cluster: FakeCluster) -> None:
    """Other ones than those that were to come."""
    file = File(cluster.source(), "/f")
    file.read(0, MIB)
    file.read(6 * MIB, MIB)
    for at, length in ((2 * MIB + 5, 100), (MIB, MIB + 5), (5 * MIB, 3 * MIB), (2 * MIB + 105, 3 * MIB - 105)):
        assert file.read(at, length) == DATA[at : at + length]
    assert [read[1:3] for read in reads(cluster)][:1] == [(0, BLOCK)]
    assert all(read[1] >= 6 * MIB for read in reads(cluster)[1:]), "only what was read before is asked for again"
    file.close()


def test_the_start_by_little_and_little(cluster: FakeCluster) -> None:
    """As the kernel reads ahead: 16 KiB at first."""
    file = File(cluster.source(), "/f")
    at, length = 0, 16 << 10
    while at < BLOCK:
        assert file.read(at, min(length, BLOCK - at)) == DATA[at : min(at + length, BLOCK)]
        at, length = at + length, min(2 * length, MIB)
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK)]
    file.close()


def test_a_short_read_that_is_gone_on_with(cluster: FakeCluster) -> None:
    """In the middle: the second call is the last one."""
    file = File(cluster.source(), "/f")
    for at in range(5 * MIB, 6 * MIB, 64 << 10):
        file.read(at, 64 << 10)
    assert [read[1:3] for read in reads(cluster)] == [(5 * MIB, 64 << 10), (5 * MIB + (64 << 10), 7 * MIB - (64 << 10))]
    file.close()


def test_no_more_is_set_aside_than_there_is_room_for(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is further away is another call, which is a stream: its end costs nothing."""
    monkeypatch.setattr(reader, "_SKIP_BYTES", 3 * MIB)
    file = File(cluster.source(), "/f")
    file.read(0, MIB)
    for at in (3 * MIB, 6 * MIB, 7 * MIB):
        assert file.read(at, MIB) == DATA[at : at + MIB]
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK), (6 * MIB, BLOCK - 6 * MIB)]
    file.close()


def test_short_ranges_go_by_the_call_too(cluster: FakeCluster) -> None:
    """Each call of their own would read the rest of the block; and before it was begun, those near its start."""
    file = File(cluster.source(), "/f")
    for at in (MIB, 128 << 10, 0, 8 * MIB + 4096, 8 * MIB):
        assert file.read(at, 4096) == DATA[at : at + 4096]
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK)]
    file.close()


def test_a_short_read_alone(cluster: FakeCluster) -> None:
    """Far from the start of a block that nobody reads: no more is taken than it wants."""
    file = File(cluster.source(), "/f")
    assert file.read(8 * MIB, 4096) == DATA[8 * MIB :][:4096]
    assert [read[1:3] for read in reads(cluster)] == [(8 * MIB, 4096)]
    file.close()


def test_the_next_block_is_begun_at_its_start(cluster: FakeCluster) -> None:
    """When the first range of it that comes is a short one further on."""
    file = File(cluster.source(), "/f")
    file.read(0, MIB)
    for at in (BLOCK + 5 * MIB, BLOCK, BLOCK + 4 * MIB):
        assert file.read(at, 4096) == DATA[at : at + 4096]
    assert [read[1:3] for read in reads(cluster, 1)] == [(0, BLOCK)]
    file.close()


def test_the_next_block_is_begun_near_the_end(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not earlier: whoever stops before that leaves it alone, and the under store is not asked for it."""
    monkeypatch.setattr(reader, "_AHEAD_BYTES", 3 * MIB)
    file = File(cluster.source(), "/f")
    begun = []
    for at in range(0, BLOCK, MIB):
        file.read(at, MIB)
        begun.append(any(cursor.index for cursor in file.opened.handle.reader._cursors))  # type: ignore[union-attr]
    assert begun == [at >= BLOCK - 4 * MIB for at in range(0, BLOCK, MIB)]
    file.close()


def test_what_was_begun_ahead_waits_for_a_slow_reader(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is on the way to it, be it for longer than an idle call is kept."""
    monkeypatch.setattr(reader, "_AHEAD_FROM_BYTES", MIB)
    file = File(cluster.source(), "/f")
    for at in range(0, 11 * MIB, MIB):
        file.read(at, MIB)
    for cursor in file.opened.handle.reader._cursors:  # type: ignore[union-attr]
        if cursor.index:
            cursor.used_at -= 1000.0
    monkeypatch.setattr(reader, "_SKIP_BYTES", 0)
    file.read(5 * MIB, MIB // 2)  # makes a call, and room for it
    for at in range(11 * MIB, 2 * BLOCK, MIB):
        assert file.read(at, MIB) == DATA[at : at + MIB]
    assert [read[1:3] for read in reads(cluster, 1)] == [(0, BLOCK)]
    file.close()


def test_a_block_that_is_held_meanwhile_is_as_others(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as the master says so: calls for parts of it cost no more than these."""
    monkeypatch.setattr(reader, "_RACE_S", 0.0)
    file = File(cluster.source(), "/f")
    cluster.workers[0].blocks[cluster.master.files["/f"].blockIds[0]] = DATA[:BLOCK]
    cluster.locate("/f", 0)
    file.read(0, MIB)
    assert file.read(8 * MIB, MIB) == DATA[8 * MIB :][:MIB]
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK), (8 * MIB, MIB)]
    file.close()


def test_a_block_that_was_freed_and_is_held_again(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its holder did not have counts until the master has heard of that."""
    monkeypatch.setattr(reader, "_RACE_S", 0.0)
    blocks = cluster.put("/f", DATA, BLOCK, holders=[0])
    source = cluster.source()
    source.stat(b"/f")
    cluster.evict("/f")
    file = File(source, "/f")
    file.read(0, MIB)
    cluster.locate("/f")
    file.read(MIB, MIB)
    cluster.workers[0].blocks[blocks[0]] = DATA[:BLOCK]
    cluster.locate("/f", 0)
    file.read(2 * MIB, MIB)
    assert file.read(8 * MIB, MIB) == DATA[8 * MIB :][:MIB]
    assert reads(cluster)[-1][1:] == (8 * MIB, MIB, True, "")
    file.close()


def test_a_worker_that_fails_once(cluster: FakeCluster) -> None:
    """The call that is made to learn why, and succeeds, goes on to the end of the block."""
    cluster.workers[0].faults.append(failing(grpc.StatusCode.UNAVAILABLE))
    file = File(cluster.source(), "/f")
    assert b"".join(file.read(at * MIB, MIB) for at in range(12)) == DATA[:BLOCK]
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK)] * 2
    file.close()


def test_who_has_left_asks_for_nothing(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces that wait for their turn when nobody wants them any more: each call would read the rest of the block."""
    waiting, left, wait = threading.Semaphore(0), threading.Event(), reader.FileReader._wait_locked

    def noted(*args: object) -> bool:
        waiting.release()
        return wait(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(reader.FileReader, "_wait_locked", noted)
    file = File(cluster.source(), "/f")

    def leave(_: int) -> None:
        if not reads(cluster):
            return
        for _ in range(7):
            waiting.acquire()
        left.set()
        raise Cancelled

    def look(_: int) -> None:
        if left.is_set():
            raise Cancelled

    def piece(at: int) -> None:
        with pytest.raises(Cancelled):
            file.read(at, MIB, look if at else leave)

    run_all([lambda at=at: piece(at * MIB) for at in range(8)])
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK)]
    file.close()
