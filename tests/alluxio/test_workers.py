"""The list of workers, who is asked for what, and copies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import grpc
import pytest
from fake_cluster import QUICK, FakeCluster, File, pattern
from fake_server import unused_port
from fake_worker import MIB, Proxy, failing

from alluxio_jnifuse.errors import SourceError
from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient
from alluxio_jnifuse.sources.alluxio.metadata.status import Addresses, FileStatus, from_info
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, Closed
from alluxio_jnifuse.sources.alluxio.settings import Settings
from alluxio_jnifuse.sources.alluxio.workers import known as workers
from alluxio_jnifuse.sources.alluxio.workers import link
from alluxio_jnifuse.sources.alluxio.workers.known import Workers
from alluxio_jnifuse.sources.alluxio.workers.locality import Locality
from alluxio_jnifuse.sources.alluxio.workers.placement import policy

BLOCK = MIB
DATA = pattern("/f", 3 * BLOCK + 100)
HERE, THERE = "127.0.0.2:0", "127.0.0.3:0"


def is_here(address: tuple[int, tuple[str, int]]) -> bool:
    """Whether an address is this machine's, as far as these tests are concerned."""
    return address[1][0] == "127.0.0.2"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A worker on this machine, and two elsewhere."""
    monkeypatch.setattr("alluxio_jnifuse.sources.alluxio.workers.locality.is_own_address", is_here)
    made = FakeCluster(addresses=(HERE, THERE, THERE))
    yield made
    made.close()


class Made:
    """A Workers, without a source."""

    def __init__(self, cluster: FakeCluster, **settings: object) -> None:
        self.settings = Settings(masters=(cluster.master.target,), **{**QUICK, **settings})
        self.master = MasterClient(self.settings)
        self.addresses = Addresses()
        locality = Locality(self.settings)
        chosen, _ = policy("LocalFirstPolicy", rank=locality.rank)
        self.workers = Workers(self.settings, self.master, locality, chosen, self.addresses)

    def status(self, path: str) -> FileStatus:
        return from_info(self.master.get_status(path), self.addresses)

    def close(self) -> None:
        self.workers.close()
        self.master.close()


@pytest.fixture
def made(cluster: FakeCluster) -> Iterator[Made]:
    one = Made(cluster)
    yield one
    one.close()


# ------------------------------------------------------------------------------------------------------- the list


def test_the_list_is_believed_for_its_time(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """And asked for again then, or when it seems to be wrong."""
    one = Made(cluster, worker_refresh_s=3600.0)
    assert len(one.workers.list()) == len(one.workers.list()) == 3
    assert cluster.asked("GetWorkerInfoList") == 1
    cluster.gone = {1}
    one.workers.expire()
    assert len(one.workers.list()) == 2
    real = time.monotonic
    monkeypatch.setattr(workers.time, "monotonic", lambda: real() + 3601)
    cluster.gone = set()
    assert len(one.workers.list()) == 3
    assert cluster.asked("GetWorkerInfoList") == 3
    one.close()


def test_an_empty_list_is_not_believed_for_long(
    cluster: FakeCluster, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers register one after the other."""
    monkeypatch.setattr(workers, "_RETRY_LIST_S", 0.1)
    cluster.gone = {0, 1, 2}
    assert made.workers.list() == ()
    cluster.gone = set()
    until(lambda: len(made.workers.list()) == 3)


def test_while_no_master_answers_the_list_stays(
    cluster: FakeCluster, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first who notices waits for a moment, those after him do not."""
    monkeypatch.setattr(workers, "_MASTER_S", 0.3)
    known = made.workers.list()
    cluster.master.close()
    made.workers.expire()
    assert made.workers.list() == known
    monkeypatch.setattr(workers, "_MASTER_S", 3600.0)
    made.workers.expire()
    assert made.workers.list() == known


def test_without_a_list_there_is_nothing_to_go_by(cluster: FakeCluster, made: Made) -> None:
    """An error in time."""
    cluster.master.close()
    with pytest.raises(CallError):
        made.workers.list()


def test_the_worker_of_this_machine(cluster: FakeCluster, made: Made) -> None:
    """Is found by its address."""
    here = made.workers.local()
    assert here is not None
    assert here.address.host == "127.0.0.2"
    cluster.gone = {0}
    made.workers.expire()
    assert made.workers.local() is None


# ------------------------------------------------------------------------------------------------------ who is asked


def test_a_mount_connects_to_the_worker_of_this_machine(cluster: FakeCluster) -> None:
    """And to no other, before anybody reads: then nothing has to be made but the call itself."""
    source = cluster.source()
    cluster.put("/f", DATA, BLOCK, holders=[0])
    source.mounted(0)
    made = source._workers.link_to(source._workers.local().address)  # type: ignore[union-attr]
    until(lambda: made._idle)
    assert [worker.count("authenticate") for worker in cluster.workers] == [1, 0, 0]
    assert File(source, "/f").read(0, 1000) == DATA[:1000]
    assert cluster.workers[0].count("authenticate") == 1


def test_a_mount_whose_worker_is_away(cluster: FakeCluster, made: Made) -> None:
    """It is connected to later, by whom it is needed."""
    cluster.workers[0].close()
    made.workers.prepare()
    cluster.master.fail("GetWorkerInfoList", grpc.StatusCode.PERMISSION_DENIED)
    made.workers.expire()
    made.workers.prepare()
    made.close()
    made.workers.prepare()


def test_a_silent_worker_is_asked_last_for_a_while(
    cluster: FakeCluster, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For all files, and nobody takes it for gone."""
    monkeypatch.setattr(workers, "_SILENT_S", 3600.0)
    cluster.put("/f", DATA, BLOCK, holders=[0, 1])
    cluster.put("/only", DATA, BLOCK, holders=[0], persisted=False)
    status, only = made.status("/f"), made.status("/only")
    nearest = made.workers.choose(status, 0, {})
    assert nearest.local
    made.workers.note_silence(nearest.address)
    assert made.workers.is_silent(nearest.address)
    other = made.workers.choose(status, 0, {})
    assert (other.address.host, other.cached) == ("127.0.0.3", True)
    assert made.workers.choose(only, 0, {}).address == nearest.address
    real = time.monotonic
    monkeypatch.setattr(workers.time, "monotonic", lambda: real() + 3601)
    assert not made.workers.is_silent(nearest.address)
    assert made.workers.choose(status, 0, {}) == nearest


def test_with_a_copy_at_hand_nobody_asks_for_the_list(cluster: FakeCluster, made: Made) -> None:
    """The master may be away."""
    cluster.put("/f", DATA, BLOCK, holders=[1])
    status = made.status("/f")
    assert made.workers.choose(status, 0, {}).cached
    assert cluster.asked("GetWorkerInfoList") == 0
    failed = {status.locations[0][0]: time.monotonic()}
    assert not made.workers.choose(status, 0, failed).cached
    assert cluster.asked("GetWorkerInfoList") == 1


# ------------------------------------------------------------------------------------------------------------ links


def test_links_end_with_the_workers(cluster: FakeCluster) -> None:
    """Nobody gets a new one, nobody sleeps on."""
    one = Made(cluster)
    address = one.workers.list()[0].address
    link_ = one.workers.link_to(address)
    assert one.workers.link_to(address) is link_
    one.close()
    with pytest.raises(Closed):
        one.workers.link_to(address)
    with pytest.raises(Closed):
        link_.take()
    with pytest.raises(SourceError):
        one.workers.sleep(60)
    one.workers.close()


def test_links_to_workers_that_are_gone(cluster: FakeCluster, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are closed, unless somebody uses them."""
    addresses = [worker.address for worker in made.workers.list()]
    links = [made.workers.link_to(address) for address in addresses]
    connection, _ = links[1].take()
    monkeypatch.setattr(workers, "_UNUSED_S", -1.0)
    cluster.gone = {1, 2}
    made.workers.expire()
    made.workers.list()
    assert [made.workers.link_to(address) is one for address, one in zip(addresses, links)] == [True, True, False]
    links[1].drop(connection)


def test_idle_connections_are_used_again_but_not_for_ever(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something on the way may have forgotten them."""
    proxy = Proxy(cluster.workers[1].target)
    try:
        cluster.targets[1] = proxy.target
        cluster.put("/f", DATA, BLOCK, holders=[1])
        file = File(cluster.source(), "/f")
        file.read(0, 10)
        made = proxy.accepted
        for at in range(0, 1000, 10):
            assert file.read(at, 10) == DATA[at : at + 10]
        assert proxy.accepted == made
        monkeypatch.setattr(link, "_IDLE_S", 0.0)
        file.read(0, 10)
        assert proxy.accepted == made + 1
        file.close()
    finally:
        proxy.close()


# ----------------------------------------------------------------------------------------------------------- copies


def read_and_close(cluster: FakeCluster, pieces: int = 3, **settings: object) -> None:
    """Reads some of the first two blocks of /f, of which the second one is begun ahead."""
    file = File(cluster.source(**settings), "/f")
    for _ in range(pieces):
        for at in range(0, 2 * BLOCK, 300_000):
            assert file.read(at, 5000) == DATA[at : at + 5000]
    file.close()


def test_what_was_read_from_elsewhere_is_copied_here(cluster: FakeCluster) -> None:
    """Each block that was read, once; from the worker that has it, not from the under store."""
    blocks = cluster.put("/f", DATA, BLOCK, holders=[1])
    read_and_close(cluster)
    here = cluster.workers[0]
    here.wait_for(lambda: len(here.copies) == 2)
    time.sleep(0.1)
    assert sorted(copy.block_id for copy in here.copies) == blocks[:2]
    there = cluster.workers[1].target.rpartition(":")
    for copy in here.copies:
        assert (copy.source_host, copy.source_port, copy.length) == (there[0], int(there[2]), BLOCK)
        assert not copy.open_ufs_block_options.HasField("ufs_path")
        assert copy.open_ufs_block_options.block_size == BLOCK
    assert not cluster.workers[1].copies


def test_blocks_that_nobody_read_are_not_copied(cluster: FakeCluster) -> None:
    """Though their calls were begun."""
    big = pattern("/f", 6 * MIB)
    cluster.put("/f", big, 2 * MIB, holders=[1])
    file = File(cluster.source(), "/f")
    assert file.read(0, 2 * MIB) == big[: 2 * MIB]
    cluster.workers[1].wait_for(lambda: len(cluster.workers[1].reads) == 3)
    file.close()
    here = cluster.workers[0]
    here.wait_for(lambda: len(here.copies) == 1)
    time.sleep(0.1)
    assert len(here.copies) == 1


@pytest.mark.parametrize("passive", [True, False])
def test_what_was_read_from_the_under_store_is_kept_where_it_was_read(cluster: FakeCluster, passive: bool) -> None:
    """Which is the worker of this machine, if there is one."""
    cluster.put("/f", DATA, BLOCK)
    cluster.gone = set() if passive else {0}
    read_and_close(cluster, passive_cache=passive)
    until(lambda: sum(len(worker.copies) for worker in cluster.workers) == 2)
    for worker in cluster.workers:
        for copy in worker.copies:
            assert (copy.source_host, copy.source_port) == tuple(
                kind(part) for kind, part in zip((str, int), worker.target.rsplit(":", 1))
            )
            assert copy.open_ufs_block_options.ufs_path == "file:///f"
            assert worker.reads
    assert bool(cluster.workers[0].copies) is passive


@pytest.mark.parametrize("here", [True, False])
def test_what_a_worker_has_read_whole_it_keeps(cluster: FakeCluster, here: bool) -> None:
    """It may still be at that: asked for a copy it would read the block once more. Only another worker is asked."""
    cluster.put("/f", DATA, BLOCK)
    if not here:
        cluster.workers[0].faults += [failing(grpc.StatusCode.UNAVAILABLE)] * 2
    file = File(cluster.source(), "/f")
    assert file.read(0, BLOCK) == DATA[:BLOCK]
    assert file.read(BLOCK, 5000) == DATA[BLOCK : BLOCK + 5000]
    file.close()
    worker = cluster.workers[0]
    worker.wait_for(lambda: worker.copies)
    time.sleep(0.1)
    blocks = list(cluster.master.files["/f"].blockIds)
    assert sorted(copy.block_id for copy in worker.copies) == (blocks[1:2] if here else blocks[:2])


@pytest.mark.parametrize("settings", [{"read_type": "NO_CACHE"}, {"passive_cache": False}])
def test_no_copies_are_wanted(cluster: FakeCluster, settings: dict[str, object]) -> None:
    """By reads that shall leave nothing, or where another machine's copy will do."""
    cluster.put("/f", DATA, BLOCK, holders=[1])
    read_and_close(cluster, **settings)
    time.sleep(0.2)
    assert not any(worker.copies for worker in cluster.workers)


def test_there_are_enough_copies(cluster: FakeCluster) -> None:
    """As the file's limit says."""
    cluster.put("/f", DATA, BLOCK, holders=[1, 2])
    cluster.master.files["/f"].replicationMax = 2
    read_and_close(cluster)
    time.sleep(0.2)
    assert not any(worker.copies for worker in cluster.workers)


def test_an_old_worker_is_asked_in_the_old_way(cluster: FakeCluster) -> None:
    """Which it is from then on at once."""
    cluster.put("/f", DATA, BLOCK, holders=[1])
    here = cluster.workers[0]
    here.fail("Cache", grpc.StatusCode.UNIMPLEMENTED, times=1000)
    read_and_close(cluster)
    here.wait_for(lambda: here.count("AsyncCache") == 2)
    assert here.count("Cache") == 1
    assert {copy.source_host for copy in here.copies} == {"127.0.0.3"}


def test_copies_hold_nobody_up(cluster: FakeCluster) -> None:
    """Neither a worker that does not answer, nor one that is not there."""
    cluster.put("/f", DATA, BLOCK, holders=[1])
    for target in ("", f"127.0.0.2:{unused_port()}"):
        if target:
            cluster.targets[0] = target
        else:
            cluster.workers[0].hold("Cache")
        source = cluster.source(read_timeout_s=3600.0, read_retry_max_duration_s=3600.0)
        file = File(source, "/f")
        file.read(0, 5000)
        file.close()
        source.close()
