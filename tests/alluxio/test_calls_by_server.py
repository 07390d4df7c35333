"""Calls of a cluster by server: to the master what masters are asked, to each worker what it was asked and sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest
from fake_cluster import FakeCluster, File, pattern
from fake_worker import MIB, failing

from alluxio_jnifuse.sources.alluxio.workers.link import WorkerLink

SIZE = 3 * MIB
DATA = pattern("/f", SIZE)


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    """Two blocks, each held by one of two workers."""
    made = FakeCluster(workers=2)
    made.put("/f", DATA, 2 * MIB, holders=[0, 1])
    yield made
    made.close()


def added_up(servers: dict[str, dict[str, int]]) -> dict[str, int]:
    """All servers together, by counter."""
    total: dict[str, int] = {}
    for counts in servers.values():
        for name, number in counts.items():
            total[name] = total.get(name, 0) + number
    return total


@pytest.mark.parametrize("way", [WorkerLink.read, WorkerLink.read_over_channel], ids=["connection", "channel"])
def test_bytes_and_calls_are_those_of_the_worker(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, way: Callable[..., object]
) -> None:
    """Also where all goes over the channel."""
    monkeypatch.setattr(WorkerLink, "read", way)
    source = cluster.source()
    file = File(source, "/f")
    assert file.read_all(MIB) == DATA
    file.close()
    servers = source.servers()
    assert set(servers) <= {cluster.master.target, *(worker.target for worker in cluster.workers)}
    assert not any(name in servers[cluster.master.target] for name in ("rpc_ReadBlock", "cluster_bytes"))
    assert servers[cluster.master.target]["rpc_GetStatus"] == source.counters()["rpc_GetStatus"]
    assert added_up(servers) == {name: number for name, number in source.counters().items() if number}
    assert source.counters()["cluster_bytes"] >= SIZE
    assert source.counters()["cluster_failures"] == source.counters()["cluster_retries"] == 0


def test_failures_are_those_of_the_worker_that_failed(cluster: FakeCluster) -> None:
    """Each is a failure and, as the bytes come from elsewhere, a repetition."""
    cluster.workers[0].always = failing(grpc.StatusCode.UNAVAILABLE)
    cluster.locate("/f", 0)
    source = cluster.source()
    file = File(source, "/f")
    assert file.read_all(MIB) == DATA
    file.close()
    servers = source.servers()
    bad, good = (servers[worker.target] for worker in cluster.workers)
    assert bad["cluster_failures"] >= 1
    assert bad["cluster_retries"] >= 1
    assert bad.get("cluster_bytes", 0) == 0
    assert good["cluster_bytes"] >= SIZE
    assert "cluster_failures" not in good


def test_what_is_not_there_is_no_failure(cluster: FakeCluster) -> None:
    """A master that says so has answered; one that cannot has failed."""
    source = cluster.source()
    with pytest.raises(FileNotFoundError):
        source.stat(b"/absent")
    assert source.counters()["cluster_failures"] == 0
    cluster.master.fail("GetStatus", grpc.StatusCode.UNAVAILABLE, times=1)
    with pytest.raises(FileNotFoundError):
        source.stat(b"/absent2")
    servers = source.servers()
    assert servers[cluster.master.target]["cluster_failures"] == 1
    assert servers[cluster.master.target]["cluster_retries"] == 1
