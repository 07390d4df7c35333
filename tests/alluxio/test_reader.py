"""Open files: the right bytes however they are asked for, and no more calls than it takes."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest
from fake_cluster import FakeCluster, File, pattern, run_all
from fake_worker import MIB, Read, slow

from alluxio_jnifuse._core import Cancelled
from alluxio_jnifuse.errors import SourceError
from alluxio_jnifuse.sources.alluxio.data import reader

BLOCK = 6 * MIB
SIZE = 4 * BLOCK + 12_345
DATA = pattern("/f", SIZE)
NEVER_S = 1000.0


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster(workers=2)
    made.put("/f", DATA, BLOCK, holders=[0])
    yield made
    made.close()


@pytest.fixture
def file(cluster: FakeCluster) -> Iterator[File]:
    made = File(cluster.source(), "/f")
    yield made
    made.close()


@pytest.mark.parametrize("threads", [1, 4])
def test_blocks_are_read_in_order_on_one_stream(cluster: FakeCluster, file: File, threads: int) -> None:
    """One call for each block, from its start to its end, though several threads take pieces of the file."""
    assert file.read_all(MIB, threads) == DATA
    reads = sorted(cluster.workers[0].reads)
    blocks = cluster.master.files["/f"].blockIds
    assert [(read.block, read.offset) for read in reads if read.offset == 0] == [(block, 0) for block in blocks]
    if threads == 1:  # else a thread may have been faster than the one before it, and begun a stream of its own
        assert len(reads) == len(blocks)
    assert len(reads) <= len(blocks) + threads
    assert all(read.end == min(BLOCK, SIZE - (read.block & 0xFFFFFF) * BLOCK) for read in reads)
    assert not any(read.ufs for read in reads)
    assert cluster.asked() == 1  # by the look-up


def test_the_next_two_blocks_are_begun_before_they_are_wanted(cluster: FakeCluster, file: File) -> None:
    """When some of a block was streamed, so that their first bytes are there when they are wanted."""
    worker = cluster.workers[0]
    blocks = cluster.master.files["/f"].blockIds
    for at in range(0, 3 * MIB, MIB):
        file.read(at, MIB)
    assert {read.block for read in worker.reads} == {blocks[0]}
    file.read(3 * MIB, MIB)
    worker.wait_for(lambda: len(worker.reads) == 3)
    assert sorted(worker.reads)[1:] == [Read(block, 0, BLOCK, False, "") for block in blocks[1:3]]
    assert file.read(BLOCK, MIB) == DATA[BLOCK : BLOCK + MIB]
    assert len(worker.reads) == 3


def test_small_ranges_anywhere_are_calls_of_their_own(cluster: FakeCluster, file: File) -> None:
    """For exactly the bytes that were asked for."""
    chance = random.Random(1)
    expected = []
    for _ in range(50):
        at, length = chance.randrange(SIZE - 300_000), chance.choice((1, 4096, 300_000))
        assert file.read(at, length) == DATA[at : at + length]
        while length:
            index, within = divmod(at, BLOCK)
            part = min(length, BLOCK - within)
            expected.append((cluster.master.files["/f"].blockIds[index], within, part, True))
            at, length = at + part, length - part
    assert [read[:4] for read in cluster.workers[0].reads] == expected


def test_a_long_range_behind_another_is_a_stream(cluster: FakeCluster, file: File) -> None:
    """To the end of the block, because more of it will be wanted."""
    expected = [(MIB + 7, MIB), (2 * MIB + 7, BLOCK - 2 * MIB - 7)]
    for at, length in ((MIB + 7, MIB), (2 * MIB + 7, MIB), (3 * MIB + 7, 4096)):  # a short one goes on with it
        assert file.read(at, length) == DATA[at : at + length]
    assert [read[1:3] for read in cluster.workers[0].reads] == expected
    assert file.read(BLOCK + 7, MIB) == DATA[BLOCK + 7 :][:MIB]
    assert [read[1:3] for read in cluster.workers[0].reads] == [*expected, (7, MIB)]


@pytest.mark.parametrize("seed", range(2))
def test_any_ranges_by_many_threads(file: File, seed: int) -> None:
    """Overlapping, neighbouring and far ones, long and short, at the same time."""
    chance = random.Random(seed)
    ranges = []
    for _ in range(80):
        at = chance.choice((chance.randrange(SIZE), chance.randrange(SIZE // MIB) * MIB))
        ranges.append((at, min(SIZE - at, chance.choice((1, 5000, 128 << 10, MIB, 3 * MIB, BLOCK + 1)))))
    chance.shuffle(ranges)
    assert file.read_ranges(ranges, threads=6) == b"".join(DATA[at : at + length] for at, length in ranges)


def test_readers_that_go_through_the_file_at_once(cluster: FakeCluster, file: File) -> None:
    """Each in order, each at its own pace."""
    failures = []

    def go(piece: int) -> None:
        for at in range(0, SIZE, piece):
            if file.read(at, min(piece, SIZE - at)) != DATA[at : at + piece]:
                failures.append((piece, at))

    run_all([lambda piece=piece: go(piece) for piece in (MIB, 700_001, 2 * MIB, 300_007)])
    assert not failures
    assert cluster.workers[0].under_way <= 8  # what is not used any more is ended


def test_a_piece_that_comes_before_the_one_it_continues(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for it, and goes on with the same call: threads overtake each other."""
    monkeypatch.setattr(reader, "_RACE_S", NEVER_S)
    file = File(cluster.source(), "/f")
    file.read(0, MIB)
    early, parts = threading.Event(), {}

    def read(at: int, length: int) -> None:
        parts[at] = file.read(at, length)

    def late() -> None:
        early.wait(120)
        read(MIB, MIB)

    def piece(at: int, length: int) -> None:
        early.set()
        read(at, length)

    run_all([lambda: piece(3 * MIB, BLOCK - 3 * MIB), lambda: piece(2 * MIB, MIB), late])
    assert b"".join(parts[at] for at in sorted(parts)) == DATA[MIB:BLOCK]
    assert len(cluster.workers[0].begun(cluster.master.files["/f"].blockIds[0])) == 1
    file.close()


def test_a_short_read_beside_a_stream_does_not_wait_for_it(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody reads a few bytes that a stream has not come to yet: it may never come."""
    monkeypatch.setattr(reader, "_RACE_S", NEVER_S)
    file = File(cluster.source(), "/f")
    file.read(0, MIB)
    at = 3 * MIB + 7

    def read() -> None:
        assert file.read(at, 128 << 10) == DATA[at:][: 128 << 10]

    run_all([read], timeout=120)
    file.close()


def test_the_end_of_the_file(file: File) -> None:
    """What lies behind it is not read."""
    assert file.read(SIZE - 10, 1000) == DATA[-10:]
    assert file.read(SIZE, 1000) == b""
    assert file.read(SIZE + MIB, 1) == b""


def test_a_range_that_crosses_blocks(file: File) -> None:
    """Of which each lies on its own."""
    assert file.read(BLOCK - 5, 2 * BLOCK + 10) == DATA[BLOCK - 5 : 3 * BLOCK + 5]


def test_blocks_that_do_not_add_up(cluster: FakeCluster) -> None:
    """A master that knows too few of them, or one that is too short: an error, and no bytes."""
    info = cluster.master.files["/f"]
    info.fileBlockInfos[1].blockInfo.length -= 1
    file = File(cluster.source(), "/f")
    with pytest.raises(SourceError, match="block 1 is shorter"):
        file.read(2 * BLOCK - 10, 20)
    file.close()
    info.lastModificationTimeMs += 1
    del info.blockIds[-1]
    file = File(cluster.source(), "/f")
    with pytest.raises(SourceError, match="fewer blocks"):
        file.read(SIZE - 10, 10)
    file.close()


def test_a_block_that_is_longer_than_blocks_are(cluster: FakeCluster) -> None:
    """What is too much of it belongs to nobody."""
    info = cluster.master.files["/f"]
    info.fileBlockInfos[0].blockInfo.length += 100
    cluster.workers[0].blocks[info.blockIds[0]] += bytes(100)
    file = File(cluster.source(), "/f")
    assert file.read_all(MIB) == DATA
    file.close()


@pytest.mark.parametrize("length", [64 << 10, 2 * MIB])
def test_nobody_wants_the_rest(cluster: FakeCluster, file: File, length: int) -> None:
    """What the core says in `progress` passes, and ends the call at the worker."""

    def cancel(filled: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        file.read(0, length, cancel)
    worker = cluster.workers[0]
    worker.wait_for(lambda: worker.under_way == 0)
    assert file.read(0, length) == DATA[:length]


def test_whoever_waits_for_a_stream_that_is_cancelled_reads_on(file: File) -> None:
    """The one whose turn it was gives up; the others still get their bytes."""
    first = threading.Event()

    def cancel(filled: int) -> None:
        first.set()
        raise Cancelled

    def give_up() -> None:
        with pytest.raises(Cancelled):
            file.read(0, MIB, cancel)

    parts = {}

    def read(at: int) -> None:
        first.wait(120)
        parts[at] = file.read(at, MIB)

    run_all([give_up, *(lambda at=at: read(at) for at in (MIB, 2 * MIB, 3 * MIB))])
    assert parts == {at: DATA[at : at + MIB] for at in (MIB, 2 * MIB, 3 * MIB)}


def test_closing_ends_the_streams(cluster: FakeCluster) -> None:
    """Those that were read from, and those that were begun ahead."""
    file = File(cluster.source(), "/f")
    file.read(0, 5 * MIB)
    worker = cluster.workers[0]
    worker.wait_for(lambda: worker.under_way == 3)
    file.close()
    worker.wait_for(lambda: worker.under_way == 0)


def test_a_slow_first_byte_is_no_failure(cluster: FakeCluster, file: File) -> None:
    """As long as it comes in time."""
    cluster.workers[0].faults = [slow(0.3)]
    assert file.read(0, 4 * MIB) == DATA[: 4 * MIB]
    assert len(cluster.workers[0].begun(cluster.master.files["/f"].blockIds[0])) == 1


def test_small_files_take_one_call(cluster: FakeCluster) -> None:
    """And none to the master when it was looked up, nor a new connection each."""
    source = cluster.source()
    data = pattern("/s", 50_000)
    cluster.put("/s", data, BLOCK, holders=[0])
    attr = source.stat(b"/s")
    before = cluster.asked()
    for _ in range(3):
        buffer = bytearray(len(data))
        assert source.read_small(b"/s", attr.version, len(data), 0, memoryview(buffer), lambda _: None) == len(data)
        assert buffer == data
    assert cluster.asked() == before
    assert len(cluster.workers[0].reads) == 3
    assert all(read.length == len(data) and not read.ufs for read in cluster.workers[0].reads)
