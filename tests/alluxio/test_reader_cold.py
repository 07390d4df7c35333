"""Blocks that no worker holds: a call for some of one makes the worker read the rest of it, so there should be one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest
from fake_cluster import FakeCluster, File, pattern, run_all
from fake_worker import MIB, Read, failing

from alluxio_jnifuse._core import Cancelled
from alluxio_jnifuse.sources.alluxio import reader

BLOCK = 12 * MIB
DATA = pattern("/f", 2 * BLOCK)
NEVER_S = 1000.0


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


def test_pieces_wait_for_the_stream_wherever_they_are(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also far ahead of it, where others would not be waited for."""
    monkeypatch.setattr(reader, "_COLD_RACE_S", NEVER_S)
    monkeypatch.setattr(reader, "_NEAR_BYTES", 2 * MIB)
    file = File(cluster.source(), "/f")
    file.read(0, MIB)
    ahead = [5 * MIB, 9 * MIB, 10 * MIB]
    between = [at * MIB for at in range(1, 12) if at * MIB not in ahead]
    assert read_late(file, ahead, between) == DATA[MIB:BLOCK]
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK)]
    file.close()


def test_a_piece_that_comes_before_the_first_one(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for the stream to begin."""
    monkeypatch.setattr(reader, "_RACE_S", NEVER_S)
    file = File(cluster.source(), "/f")
    assert read_late(file, [2 * MIB, MIB], [0]) == DATA[: 3 * MIB]
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK)]
    file.close()


def test_nobody_waits_for_ever(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a stream that nobody goes on with; less each time; and the call is a stream, for its end costs nothing."""
    monkeypatch.setattr(reader, "_COLD_RACE_S", 0.05)
    file = File(cluster.source(), "/f")
    file.read(0, MIB)
    for at in (8 * MIB, 9 * MIB, 4 * MIB, 5 * MIB):
        assert file.read(at, MIB) == DATA[at : at + MIB]
    assert [read[1:3] for read in reads(cluster)] == [(at, BLOCK - at) for at in (0, 8 * MIB, 4 * MIB)]
    file.close()


def test_short_reads_are_not_held_up(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As beside any stream."""
    monkeypatch.setattr(reader, "_COLD_RACE_S", NEVER_S)
    file = File(cluster.source(), "/f")
    file.read(0, MIB)
    run_all([lambda: file.read(8 * MIB, 4096)], timeout=10)
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK), (8 * MIB, 4096)]
    file.close()


def test_a_block_that_is_held_meanwhile_is_as_others(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as the master says so: calls for parts of it cost no more than these."""
    monkeypatch.setattr(reader, "_COLD_RACE_S", NEVER_S)
    file = File(cluster.source(), "/f")
    cluster.workers[0].blocks[cluster.master.files["/f"].blockIds[0]] = DATA[:BLOCK]
    cluster.locate("/f", 0)
    file.read(0, MIB)
    assert file.read(8 * MIB, MIB) == DATA[8 * MIB :][:MIB]
    assert [read[1:3] for read in reads(cluster)] == [(0, BLOCK), (8 * MIB, MIB)]
    file.close()


def test_a_block_that_was_freed_and_is_held_again(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its holder did not have counts until the master has heard of that."""
    monkeypatch.setattr(reader, "_COLD_RACE_S", 0.05)
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
    monkeypatch.setattr(reader, "_RACE_S", NEVER_S)
    monkeypatch.setattr(reader, "_COLD_RACE_S", NEVER_S)
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
