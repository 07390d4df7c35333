"""Settings of the guide that are about a cluster: each changes what the servers are asked (tests/guide.py)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import grpc
import pytest
from fake_cluster import QUICK, FakeCluster, File, pattern
from fake_worker import MIB

from alluxio_jnifuse.config.values import Config
from alluxio_jnifuse.sources.alluxio import from_config
from alluxio_jnifuse.sources.alluxio.proto import block_pb2, file_pb2, worker_pb2

BLOCK = MIB
DATA = pattern("/f", 3 * BLOCK + 100)
HERE, THERE = "127.0.0.2:0", "127.0.0.3:0"
GIB = 1 << 30
POLICY = "alluxio.user.ufs.block.read.location.policy=alluxio.client.block.policy"
RESERVED = "alluxio.user.block.avoid.eviction.policy.reserved.size.bytes"


def is_here(address: tuple[int, tuple[str, int]]) -> bool:
    """Whether an address is this machine's, as far as these tests are concerned."""
    return address[1][0] == "127.0.0.2"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A worker on this machine, and one elsewhere."""
    monkeypatch.setattr("alluxio_jnifuse.sources.alluxio.workers.locality.is_own_address", is_here)
    made = FakeCluster(addresses=(HERE, THERE))
    yield made
    made.close()


def told(*properties: str, **more: Any) -> dict[str, Any]:
    """What a source is told by properties, but for its masters and the patience of tests."""
    config = Config.load(properties=properties, environ={"ALLUXIO_CONF_DIR": "/nonexistent", "HOME": "/nonexistent"})
    fields = from_config.settings(config, ["nobody:1"])._asdict()
    return {**{name: value for name, value in fields.items() if name not in (*QUICK, "masters")}, **more}


def read(cluster: FakeCluster, *properties: str) -> None:
    """Reads a little of each block of /f, and closes it."""
    file = File(cluster.source(**told(*properties)), "/f")
    for at in range(0, len(DATA), 300_000):
        assert file.read(at, 100) == DATA[at : at + 100]
    file.close()


@pytest.mark.parametrize(("value", "size"), [("32MB", 32 * MIB), ("1MB", MIB)])
def test_size_of_messages(cluster: FakeCluster, value: str, size: int) -> None:
    """alluxio.user.streaming.reader.chunk.size.bytes: what a worker puts into one message."""
    cluster.put("/f", DATA, BLOCK, holders=[1])
    asked: list[int] = []
    worker = cluster.workers[1]

    def look(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        first = next(messages)
        asked.append(worker_pb2.ReadRequest.FromString(first).chunk_size)
        return worker._read_block(chain([first], messages), context)

    worker.on("ReadBlock", look)
    read(cluster, f"alluxio.user.streaming.reader.chunk.size.bytes={value}")
    assert set(asked) == {size}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("alluxio.user.file.passive.cache.enabled=true", True),
        ("alluxio.user.file.passive.cache.enabled=false", False),
        ("alluxio.user.file.readtype.default=CACHE", True),
        ("alluxio.user.file.readtype.default=NO_CACHE", False),
    ],
)
def test_copies(cluster: FakeCluster, given: str, wanted: bool) -> None:
    """Whether the worker here is asked for a copy of what another one sent."""
    cluster.put("/f", DATA, BLOCK, holders=[1])
    read(cluster, given)
    if wanted:
        cluster.workers[0].wait_for(lambda: cluster.workers[0].copies)
    else:
        time.sleep(0.2)  # a copy that is asked for later makes the test pass, not fail
        assert not any(worker.copies for worker in cluster.workers)


@pytest.mark.parametrize(
    ("policy", "reserved", "chosen"),
    [
        ("LocalFirstPolicy", "2GB", 0),
        ("LocalFirstAvoidEvictionPolicy", "2GB", 1),
        ("LocalFirstAvoidEvictionPolicy", "0", 0),
    ],
)
def test_the_worker_that_keeps_a_block(cluster: FakeCluster, policy: str, reserved: str, chosen: int) -> None:
    """Of a block that no worker has: the one here, unless the policy spares it, and it is nearly full."""
    cluster.put("/f", DATA, BLOCK)

    def workers(request: bytes, context: object) -> block_pb2.GetWorkerInfoListPResponse:
        listed = cluster._list_workers(request, context)
        listed.workerInfos[0].capacityBytes, listed.workerInfos[0].usedBytes = 3 * GIB, 2 * GIB
        return listed

    cluster.master.on("GetWorkerInfoList", workers)
    read(cluster, f"{POLICY}.{policy}", f"{RESERVED}={reserved}")
    assert [number for number, worker in enumerate(cluster.workers) if worker.reads] == [chosen]


@pytest.mark.parametrize(("interval", "again"), [("1ms", True), ("2min", False)])
def test_the_list_of_workers(cluster: FakeCluster, interval: str, again: bool) -> None:
    """alluxio.user.worker.list.refresh.interval: for how long it is believed."""
    cluster.put("/f", DATA, BLOCK)
    file = File(cluster.source(**told(f"alluxio.user.worker.list.refresh.interval={interval}")), "/f")
    for at in range(0, len(DATA), BLOCK):
        time.sleep(0.002)
        file.read(at, 100)
    file.close()
    assert (cluster.asked("GetWorkerInfoList") > 1) is again


@pytest.mark.parametrize(("threshold", "slow"), [("100ms", True), ("1hour", False)])
def test_slow_calls(cluster: FakeCluster, caplog: pytest.LogCaptureFixture, threshold: str, slow: bool) -> None:
    """alluxio.user.logging.threshold: which calls to servers have a line."""
    cluster.put("/f", DATA, BLOCK, holders=[1])
    source = cluster.source(**told(slow_rpc_s=_threshold(threshold)))
    info = cluster.master.files["/f"]
    reply = file_pb2.GetStatusPResponse(fileInfo=info)
    cluster.master.on("GetStatus", lambda _request, _context: time.sleep(0.15) or reply)
    with caplog.at_level(logging.WARNING):
        source.stat(b"/f")
    lines = [text for text in caplog.messages if text.startswith("GetStatus(path=/f) returned in ")]
    assert [text.endswith(" ms (>=100 ms)") for text in lines] == [True] * slow


def _threshold(value: str) -> float:
    """The field of the settings: the tests of the cluster have one of their own."""
    config = Config.load(
        properties=[f"alluxio.user.logging.threshold={value}"],
        environ={"ALLUXIO_CONF_DIR": "/nonexistent", "HOME": "/nonexistent"},
    )
    return from_config.settings(config, ["nobody:1"]).slow_rpc_s


@pytest.mark.parametrize(
    ("properties", "asked"),
    [
        (["alluxio.user.metadata.cache.enabled=false"], 3),
        (["alluxio.user.metadata.cache.enabled=true", "alluxio.user.metadata.cache.expiration.time=2day"], 1),
        (["alluxio.user.metadata.cache.enabled=true", "alluxio.user.metadata.cache.expiration.time=1ms"], 3),
    ],
    ids=["off", "2day", "1ms"],
)
def test_metadata_is_remembered(cluster: FakeCluster, properties: list[str], asked: int) -> None:
    """alluxio.user.metadata.cache.*: how often the master is asked for the same attributes."""
    cluster.put("/f", DATA, BLOCK, holders=[1])
    source = cluster.source(**told(*properties, remembered_s=0.0))
    for _ in range(3):
        source.stat(b"/f")
        time.sleep(0.002)
    assert cluster.asked() == asked


@pytest.mark.parametrize(("most", "all_of_them"), [("10", False), ("1000000", True)])
def test_metadata_of_so_many_paths(cluster: FakeCluster, most: str, all_of_them: bool) -> None:
    """alluxio.user.metadata.cache.max.size."""
    for number in range(30):
        cluster.put(f"/{number}", b"x", BLOCK, holders=[1])
    enabled, size = "alluxio.user.metadata.cache.enabled=true", f"alluxio.user.metadata.cache.max.size={most}"
    source = cluster.source(**told(enabled, size, remembered_s=0.0))
    for number in range(30):
        source.stat(b"/%d" % number)
    assert (source.remembered() >= 30) is all_of_them
    assert source.remembered() <= int(most)
