"""Block files of a worker on this machine: opened, lent, given back, and done without where that is not possible."""

from __future__ import annotations

import logging
import os
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from fake_cluster import FakeCluster, pattern
from fake_worker import MIB
from lender import Lender, lending, read

from alluxio_jnifuse.errors import StaleVersion
from alluxio_jnifuse.sources.alluxio.data.blockfiles import Place

BLOCK = MIB
DATA = pattern("/f", 3 * BLOCK + 100)


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster(workers=1)
    yield made
    made.close()


@pytest.fixture
def lender(cluster: FakeCluster, tmp_path: Path) -> Lender:
    blocks = cluster.put("/f", DATA, BLOCK, holders=[0])
    made = Lender(cluster, tmp_path / "alluxioworker")
    made.directory.mkdir()
    made.keep(blocks)
    return made


def fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_all_blocks_are_lent(cluster: FakeCluster, lender: Lender) -> None:
    """The worker keeps them as long as the file is open; nothing is sent, nothing left."""
    source = lending(cluster)
    read(source)
    before = fds()
    opened = source.open(b"/f", source.stat(b"/f").version)
    assert [extent.length for extent in opened.extents] == [BLOCK, BLOCK, BLOCK, 100]
    lender.locked(4)
    assert b"".join(os.pread(each.fd, each.length, 0) for each in opened.extents) == DATA
    for extent in opened.extents:
        os.close(extent.fd)
    source.close_file(opened.handle)
    lender.unlocked()
    assert not lender.worker.reads
    assert fds() <= before + 2 * 4  # both ends of the connections that are idle now


def test_some_blocks_are_here(cluster: FakeCluster, lender: Lender) -> None:
    """The others are sent."""
    blocks = cluster.master.files["/f"].blockIds
    (lender.directory / str(blocks[1])).unlink()
    lender.worker.blocks[blocks[2]], kept = b"", lender.worker.blocks[blocks[2]]
    (lender.directory / str(blocks[2])).write_bytes(kept[:-1])  # too short
    lender.worker.blocks[blocks[2]] = kept
    assert read(lending(cluster)) == (DATA, 0)
    assert {each.block for each in lender.worker.reads} == set(blocks[1:3])
    lender.unlocked()


@pytest.mark.parametrize("gone", [True, False])
def test_a_file_that_was_replaced_before_it_is_opened(
    cluster: FakeCluster, lender: Lender, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """The master says so when the block files that are here are open already: they are closed, and unlocked."""
    source = lending(cluster)
    (lender.directory / str(cluster.master.files["/f"].blockIds[3])).unlink()
    version = source.stat(b"/f").version
    monkeypatch.setattr("alluxio_jnifuse.sources.alluxio.source._JUST_NOW_S", 0.0)
    del cluster.master.files["/f"]  # its worker does not know yet
    if not gone:
        cluster.put("/f", DATA[1:], BLOCK)
    with pytest.raises(FileNotFoundError if gone else StaleVersion):
        source.open(b"/f", version)
    assert lender.asked
    assert not block_files_open(lender)
    lender.unlocked()


def test_an_answer_that_is_none(cluster: FakeCluster, lender: Lender) -> None:
    """The blocks are sent, and each call has ended."""

    def nonsense(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        next(messages)
        context.add_callback(ended.release)
        yield b"\x0a\x7f"
        for _ in messages:
            pass

    ended = threading.Semaphore(0)
    source = lending(cluster)
    lender.worker.on("OpenLocalBlock", nonsense)
    assert read(source) == (DATA, 0)
    assert {each.block for each in lender.worker.reads} == set(cluster.master.files["/f"].blockIds)
    for _ in range(lender.worker.count("OpenLocalBlock")):
        assert ended.acquire(timeout=60)


def test_a_place_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """For want of descriptors, that is: it is not said to be missing."""
    (tmp_path / "alluxioworker").mkdir()
    here, elsewhere = (Place(os.fsencode(tmp_path), folder) for folder in (b"alluxioworker/", b"none/"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert here.is_seen()
    assert not elsewhere.is_seen()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        fd, seen = here.open(1, 0), here.is_seen()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (fd, seen) == (None, True)


def block_files_open(lender: Lender) -> list[str]:
    """Those that this process has open."""
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    names = [os.readlink(link) for link in links if os.path.lexists(link)]
    return [name for name in names if name.startswith(str(lender.directory))]


@pytest.mark.parametrize("answer", ["DUMMY_FILE_PATH", "", "{directory}/1", "/", "{directory}", "/dev/zero"])
def test_an_answer_that_names_no_block_file(
    cluster: FakeCluster, lender: Lender, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    """Another store's, or half a path, which may be another block's."""
    (lender.directory / "1").write_bytes(bytes(BLOCK))
    lender.answer = answer
    with caplog.at_level(logging.WARNING):
        assert read(lending(cluster)) == (DATA, 0)
    lender.unlocked()


def test_a_symbolic_link_is_no_block_file(cluster: FakeCluster, lender: Lender) -> None:
    """Nor is a FIFO."""
    blocks = cluster.master.files["/f"].blockIds
    for block, make in ((blocks[0], lambda path: path.symlink_to("/etc/passwd")), (blocks[1], os.mkfifo)):
        path = lender.directory / str(block)
        path.unlink()
        make(path)
    assert read(lending(cluster)) == (DATA, 0)


def steal(lender: Lender, directory: Path) -> None:
    """Has the worker's blocks lie in another directory, of the same length and with other bytes."""
    directory.mkdir(parents=True)
    for block in lender.worker.blocks:
        (directory / str(block)).write_bytes(b"root alone reads this " * (BLOCK // 16))


@pytest.mark.parametrize("configured", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        "{directory}/../secret/{block}",
        "{directory}/../secret/../secret/{block}",
        "{directory}/./{block}",
        "{directory}//{block}",
        "{directory}/link/{block}",
        "{directory}/../linked/alluxioworker/{block}",
        "{top}/linked/alluxioworker/{block}",
        "{top}/secret/{block}",
        "{top}/secret/alluxioworker{block}",
        "/proc/self/cwd/alluxioworker/{block}",
        "{top}/secret/{block}\0/alluxioworker/{block}",
    ],
)
def test_a_hostile_worker(
    cluster: FakeCluster,
    lender: Lender,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    configured: bool,
    answer: str,
) -> None:
    """It names files that are none of its blocks: they are not opened, and its bytes are asked of it."""
    steal(lender, tmp_path / "secret")
    steal(lender, tmp_path / "other" / "alluxioworker")
    (lender.directory / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "linked").symlink_to(tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    lender.answer = answer.replace("{top}", str(tmp_path))
    more = {"tiers_configured": True, "tier_directories": (str(tmp_path),)} if configured else {}
    assert read(lending(cluster, **more)) == (DATA, 0)
    lender.unlocked()


def test_block_files_lie_in_configured_directories_and_nowhere_else(
    cluster: FakeCluster, lender: Lender, tmp_path: Path
) -> None:
    """A data folder elsewhere is not enough then; that a directory is reached through a link is."""
    (tmp_path / "link").symlink_to(tmp_path)
    for directory, opened in ((tmp_path, 4), (tmp_path / "link", 4), (tmp_path.parent, 0), (lender.directory, 0)):
        lender.answer = f"{directory}/alluxioworker/{{block}}" if opened else "{directory}/{block}"
        source = lending(cluster, tiers_configured=True, tier_directories=(str(directory),))
        assert read(source) == (DATA, opened)
        lender.unlocked()


def test_a_directory_that_cannot_be_seen(
    cluster: FakeCluster, lender: Lender, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line in the log says so; the worker is not asked again for a while, and then it is."""
    lender.answer = "/no/such/directory/{block}"
    source = lending(cluster)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert read(source) == (DATA, 0)
    assert lender.asked == 1
    assert len([each for each in caplog.records if "/no/such/directory" in each.getMessage()]) == 1
    lender.answer = "{directory}/{block}"
    later = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert read(source) == (DATA, 4)


def test_a_block_that_was_evicted(cluster: FakeCluster, lender: Lender) -> None:
    """The worker says that it does not have it: it is read from the under store."""
    cluster.evict("/f")
    assert read(lending(cluster)) == (DATA, 0)
    assert {each.block for each in lender.worker.reads if each.ufs} == set(cluster.master.files["/f"].blockIds)


def test_blocks_that_were_freed_say_nothing_of_the_others(cluster: FakeCluster, lender: Lender) -> None:
    """Of a worker that has lent block files: what it still holds is lent as before."""
    freed = pattern("/g", 9 * BLOCK)
    lender.keep(cluster.put("/g", freed, BLOCK, holders=[0]))
    source = lending(cluster)
    assert read(source) == (DATA, 4)
    cluster.evict("/g")
    for block in cluster.master.files["/g"].blockIds:
        (lender.directory / str(block)).unlink()
    assert read(source, b"/g") == (freed, 0)
    assert read(source) == (DATA, 4)


@pytest.mark.parametrize("behaviour", ["held", "refused", "unknown"])
def test_a_worker_that_does_not_answer(cluster: FakeCluster, lender: Lender, behaviour: str) -> None:
    """Costs its patience once, not for each block."""
    if behaviour == "held":
        lender.worker.hold("OpenLocalBlock")
    else:
        status = grpc.StatusCode.UNAVAILABLE if behaviour == "refused" else grpc.StatusCode.UNIMPLEMENTED
        lender.worker.fail("OpenLocalBlock", status, times=1000)
    assert read(lending(cluster)) == (DATA, 0)
    if behaviour == "held":
        assert lender.worker.count("OpenLocalBlock") == 1


def test_a_worker_that_does_not_know_us_any_more(cluster: FakeCluster, lender: Lender) -> None:
    """The file is read in any case; the next one is lent again."""
    source = lending(cluster)
    assert read(source) == (DATA, 4)
    lender.worker.forget_sessions()
    assert read(source)[0] == DATA
    assert read(source) == (DATA, 4)


def test_blocks_are_opened_without_asking(cluster: FakeCluster, lender: Lender) -> None:
    """Where that is wanted."""
    assert read(lending(cluster, direct_local_io=True, tier_directories=(str(lender.directory.parent),))) == (DATA, 4)
    assert lender.asked == 0
