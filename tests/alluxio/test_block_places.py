"""Block files that are opened where the worker has others: without waiting for it, which learns of it afterwards."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import certificates
import grpc
import pytest
from fake_cluster import FakeCluster, pattern
from fake_worker import MIB
from lender import Lender, lending, read

from alluxio_jnifuse.sources.alluxio.data import locks
from alluxio_jnifuse.sources.alluxio.source import AlluxioSource
from alluxio_jnifuse.sources.alluxio.workers.link import WorkerLink

FILES = 40
SMALL = 3000


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster(workers=1)
    yield made
    made.close()


@pytest.fixture
def lender(cluster: FakeCluster, tmp_path: Path) -> Lender:
    """The one of the cluster."""
    return lender_of(cluster, tmp_path)


def lender_of(cluster: FakeCluster, tmp_path: Path) -> Lender:
    """It has small files /0, /1 ..., and larger ones /l0, /l1."""
    made = Lender(cluster, tmp_path / "alluxioworker")
    made.directory.mkdir()
    for name in map(str, range(FILES)):
        made.keep(cluster.put(f"/{name}", pattern(name, SMALL), MIB, holders=[0]))
    for name in ("l0", "l1"):
        made.keep(cluster.put(f"/{name}", pattern(name, 2 * MIB), 2 * MIB, holders=[0]))
    return made


def small(source: AlluxioSource, number: int, offset: int = 0) -> bytes:
    """The bytes of a small file from `offset` on."""
    path = b"/%d" % number
    buffer = bytearray(SMALL + 10)
    filled = source.read_small(path, source.stat(path).version, SMALL, offset, memoryview(buffer), lambda _: None)
    return bytes(buffer[:filled])


def is_right(source: AlluxioSource, number: int) -> bool:
    return small(source, number) == pattern(str(number), SMALL)


def is_read_from_the_worker(source: AlluxioSource, name: str) -> bool:
    """A small file, or a larger one, of which nothing is lent then."""
    if name.isdecimal():
        return is_right(source, int(name))
    return read(source, b"/" + name.encode()) == (pattern(name, 2 * MIB), 0)


def block_file(cluster: FakeCluster, lender: Lender, name: str) -> Path:
    """The only one of a file."""
    (block,) = cluster.master.files[f"/{name}"].blockIds
    return lender.directory / str(block)


def test_small_files_do_not_wait_for_the_worker(cluster: FakeCluster, lender: Lender) -> None:
    """It says nothing after the first one; later it learns of each of them, and keeps none."""
    source = lending(cluster)
    assert is_right(source, 0)
    lender.worker.hold("OpenLocalBlock")
    for number in range(1, FILES):
        assert is_right(source, number)
    assert small(source, 1, 7) == pattern("1", SMALL)[7:]
    lender.worker.release("OpenLocalBlock")
    lender.worker.wait_for(lambda: lender.asked == FILES + 1)
    lender.unlocked()
    assert not lender.worker.reads


def test_a_large_file_does_not_wait_for_the_worker(cluster: FakeCluster, lender: Lender) -> None:
    """It is lent at once, and locked as soon as the worker answers, until it is closed."""
    source = lending(cluster)
    assert is_right(source, 0)
    lender.unlocked()
    lender.worker.hold("OpenLocalBlock")
    opened = source.open(b"/l0", source.stat(b"/l0").version)
    (extent,) = opened.extents
    assert os.pread(extent.fd, extent.length, 0) == pattern("l0", 2 * MIB)
    os.close(extent.fd)
    lender.worker.release("OpenLocalBlock")
    lender.locked(1)
    source.close_file(opened.handle)
    lender.unlocked()


def test_a_large_file_that_is_closed_before_the_worker_knows(cluster: FakeCluster, lender: Lender) -> None:
    """Is no longer locked when it does."""
    source = lending(cluster)
    assert is_right(source, 0)
    lender.worker.hold("OpenLocalBlock")
    assert read(source, b"/l0") == (pattern("l0", 2 * MIB), 1)
    lender.worker.release("OpenLocalBlock")
    lender.worker.wait_for(lambda: lender.asked == 2)
    lender.unlocked()


def test_locks_end_with_the_source(cluster: FakeCluster, lender: Lender) -> None:
    """Those of files that are open, too: the one that was asked for and the one that was told of."""
    source = lending(cluster)
    opened = [source.open(path, source.stat(path).version) for path in (b"/l0", b"/l1")]
    lender.locked(2)
    source.close()
    lender.unlocked()
    for each in opened:
        os.close(each.extents[0].fd)
        source.close_file(each.handle)


def test_a_block_that_has_moved(cluster: FakeCluster, lender: Lender, tmp_path: Path) -> None:
    """To another tier: the worker says where it is. Then both places are known."""
    source = lending(cluster)
    assert is_right(source, 0)
    slow = tmp_path / "slow" / "alluxioworker"
    slow.mkdir(parents=True)
    for name in ("1", "2"):
        block_file(cluster, lender, name).rename(slow / block_file(cluster, lender, name).name)
    lender.answer = f"{slow}/{{block}}"
    assert is_right(source, 1)
    assert lender.asked == 2
    lender.worker.hold("OpenLocalBlock")
    assert is_right(source, 2)
    assert is_right(source, 3)
    lender.worker.release("OpenLocalBlock")
    assert not lender.worker.reads


@pytest.mark.parametrize("name", ["1", "l1"])
def test_a_block_that_was_evicted(cluster: FakeCluster, lender: Lender, name: str) -> None:
    """It is read from the under store."""
    source = lending(cluster)
    assert is_right(source, 0)
    source.stat(b"/" + name.encode())
    block_file(cluster, lender, name).unlink()
    cluster.evict(f"/{name}")
    assert is_read_from_the_worker(source, name)
    assert {each.ufs for each in lender.worker.reads if each.ufs} == {f"file:///{name}"}


@pytest.mark.parametrize("name", ["1", "l1"])
def test_half_of_a_block_file(cluster: FakeCluster, lender: Lender, name: str) -> None:
    """A half copy lies there while it is copied to another tier: the worker sends the bytes."""
    source = lending(cluster)
    assert is_right(source, 0)
    half = block_file(cluster, lender, name)
    os.truncate(half, half.stat().st_size - 1)
    assert is_read_from_the_worker(source, name)
    assert {each.block for each in lender.worker.reads} == set(cluster.master.files[f"/{name}"].blockIds)
    lender.unlocked()


def test_a_place_is_forgotten_with_the_session(cluster: FakeCluster, lender: Lender, tmp_path: Path) -> None:
    """Another worker may be there now, whose blocks lie elsewhere, and what is left in the old place counts no more."""
    source = lending(cluster)
    assert is_right(source, 0)
    channel = source._workers.link_to(next(iter(source._workers.list())).address).channel
    session = channel.living_session()
    assert session is not None
    lender.worker.end_sessions()
    while channel.living_session() is session:  # its end is told by a thread of gRPC
        os.sched_yield()
    other = tmp_path / "other" / "alluxioworker"
    other.mkdir(parents=True)
    left = block_file(cluster, lender, "1")
    (other / left.name).write_bytes(left.read_bytes())
    left.write_bytes(bytes(SMALL))
    lender.answer = f"{other}/{{block}}"
    assert is_right(source, 1)
    assert lender.asked == 2


def test_a_worker_that_shall_promote_is_asked_each_time(cluster: FakeCluster, lender: Lender) -> None:
    source = lending(cluster, read_type="CACHE_PROMOTE")
    for number in range(3):
        assert is_right(source, number)
        assert lender.asked == number + 1


def test_nobody_is_told_of_what_is_opened_directly(cluster: FakeCluster, lender: Lender) -> None:
    source = lending(cluster, direct_local_io=True, tier_directories=(str(lender.directory.parent),))
    for number in range(FILES):
        assert is_right(source, number)
    assert read(source, b"/l0") == (pattern("l0", 2 * MIB), 1)
    source.close()
    assert lender.asked == 0
    assert not lender.worker.reads


def test_a_worker_that_ends_while_it_is_told(cluster: FakeCluster, lender: Lender) -> None:
    """The block that lies there is read all the same; its next session is told again."""
    source = lending(cluster)
    assert is_right(source, 0)
    lender.worker.hold("OpenLocalBlock")
    for number in range(1, FILES):
        assert is_right(source, number)
    lender.worker.end_sessions()
    lender.worker.forget_sessions()
    lender.worker.release("OpenLocalBlock")
    for number in range(FILES):
        assert is_right(source, number)
    lender.unlocked()


def test_a_worker_that_does_not_know_us_any_more(cluster: FakeCluster, lender: Lender) -> None:
    """Though nobody waits for what it is told, this is noticed, and another session begins."""
    source = lending(cluster)
    assert is_right(source, 0)
    lender.worker.forget_sessions()
    assert is_right(source, 1)
    lender.worker.wait_for(lambda: lender.worker.count("OpenLocalBlock") == 3)
    for number in range(2, FILES):
        assert is_right(source, number)
    lender.worker.wait_for(lambda: lender.worker.count("authenticate") == 2)
    lender.unlocked()
    assert not lender.worker.reads


def test_open_files_of_a_worker_that_does_not_know_us_any_more(cluster: FakeCluster, lender: Lender) -> None:
    """They are locked in the next session."""
    source = lending(cluster)
    assert is_right(source, 0)
    lender.unlocked()
    lender.worker.forget_sessions()
    opened = [source.open(path, source.stat(path).version) for path in (b"/l0", b"/l1")]
    lender.locked(2)
    for each in opened:
        os.close(each.extents[0].fd)
        source.close_file(each.handle)
    lender.unlocked()


@pytest.mark.parametrize("plain", [True, False])
def test_uses_of_blocks_that_are_gone(cluster: FakeCluster, lender: Lender, plain: bool) -> None:
    """The worker is told of the others."""
    source = lending(cluster)
    link = source._workers.link_to(next(iter(source._workers.list())).address)
    link.plain = plain
    (block,) = cluster.master.files["/0"].blockIds
    row = locks._IN_A_ROW
    locks.Uses()._tell_all([locks._Use(link, number, None) for number in (*range(1, row + 1), *[block] * row)])
    lender.worker.wait_for(lambda: lender.asked >= 2 * row)
    lender.unlocked()


def test_uses_of_a_worker_that_hangs(cluster: FakeCluster, lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs its patience once for all that is to be told, and files that are open are used without locks."""
    source = lending(cluster)
    assert is_right(source, 0)
    lender.unlocked()
    made = []

    def fail(link: WorkerLink, block_id: int, promote: bool = False) -> None:
        made.append(block_id)
        raise TimeoutError

    monkeypatch.setattr(locks, "BlockLock", fail)
    link = source._workers.link_to(next(iter(source._workers.list())).address)
    uses = locks.Uses()
    holds = [locks.Hold(uses) for _ in range(5)]
    told = [locks._Use(link, number, hold) for number, hold in enumerate((*holds, None))]
    uses._tell_all(told)
    assert made == [0]
    assert lender.asked == 1
    for hold in holds:
        hold.release()


def test_block_files_of_a_worker_that_does_not_answer(cluster: FakeCluster, lender: Lender) -> None:
    """Those where it has others are read all the same; for the rest it is not asked."""
    source = lending(cluster)
    assert is_right(source, 0)
    asked = lender.asked
    block_file(cluster, lender, "2").unlink()
    source._workers.note_silence(next(iter(source._workers.list())).address)
    assert is_right(source, 1)
    assert not lender.worker.reads
    assert is_right(source, 2)
    assert len(lender.worker.reads) == 1
    lender.worker.wait_for(lambda: lender.asked == asked + 1)  # it is told of the one that was read
    assert read(source, b"/l0") == (pattern("l0", 2 * MIB), 1)


@pytest.mark.parametrize("name", ["BlockLock", "_tell"])
def test_a_use_that_cannot_be_told(
    cluster: FakeCluster, lender: Lender, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """For want of a thread, say: the worker is told of the next ones."""
    source = lending(cluster)
    assert is_right(source, 0)
    lender.unlocked()
    failed = threading.Event()

    def fail(*_: object) -> None:
        failed.set()
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(locks, name, fail)
        opened = source.open(b"/l0", source.stat(b"/l0").version)
        assert is_right(source, 1)
        assert failed.wait(60)
    other = source.open(b"/l1", source.stat(b"/l1").version)
    lender.locked(1 if name == "BlockLock" else 2)
    for each in (opened, other):
        os.close(each.extents[0].fd)
        source.close_file(each.handle)
    lender.unlocked()


def test_over_tls(tmp_path: Path) -> None:
    """Each call goes over gRPC; nobody waits for it either."""
    authority = tmp_path / "ca.pem"
    authority.write_bytes(certificates.CERTIFICATE)
    pair = [(certificates.KEY, certificates.CERTIFICATE)]
    cluster = FakeCluster(workers=1, credentials=grpc.ssl_server_credentials(pair))
    try:
        lender = lender_of(cluster, tmp_path)
        source = lending(cluster, tls=True, tls_ca_path=str(authority))
        assert is_right(source, 0)
        lender.worker.hold("OpenLocalBlock")
        assert is_right(source, 1)
        opened = source.open(b"/l0", source.stat(b"/l0").version)
        os.close(opened.extents[0].fd)
        lender.worker.release("OpenLocalBlock")
        lender.worker.wait_for(lambda: lender.asked == 3)
        lender.locked(1)
        source.close_file(opened.handle)
        lender.unlocked()
        assert not lender.worker.reads
    finally:
        cluster.close()
