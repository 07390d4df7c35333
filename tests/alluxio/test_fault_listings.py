"""A master that goes away in the middle of a listing, or says nothing, and what was told before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from fake_cluster import FakeCluster

from alluxio_jnifuse.sources.alluxio.metadata import master
from alluxio_jnifuse.sources.alluxio.proto import file_pb2
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, Denied

FILES = 20


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    """It has a directory of FILES files, whose listing comes in as many messages."""
    made = FakeCluster(workers=1)
    for number in range(FILES):
        made.put(f"/d/f{number:02}", b"x" * 10, 100, [0])
    made.master.files["/d"] = file_pb2.FileInfo(path="/d", name="d", folder=True, completed=True, mode=0o755, fileId=5)
    yield made
    made.close()


def break_off(cluster: FakeCluster, status: grpc.StatusCode, times: int) -> list[int]:
    """The first `times` listings end in their middle; returns a list that has one item for each listing."""
    real, asked = cluster.master._list_status, []

    def answer(request: bytes, context: grpc.ServicerContext) -> Iterator[Any]:
        asked.append(len(asked))
        for number, message in enumerate(real(request, context)):
            if number == FILES // 2 and len(asked) <= times:
                context.abort(status, "handing over")
            yield message

    cluster.master.on("ListStatus", answer)
    return asked


def test_a_listing_that_breaks_off_is_begun_anew(cluster: FakeCluster) -> None:
    """Nobody has seen any of it; what it was to tell is told once."""
    source = cluster.source()
    asked = break_off(cluster, grpc.StatusCode.UNAVAILABLE, 2)
    listing = source.list(b"/d")
    assert listing.names == b"".join(b"f%02d" % number for number in range(FILES))
    assert len(asked) == 3


def test_it_has_an_end(cluster: FakeCluster) -> None:
    source = cluster.source(rpc_retry_max_duration_s=0.5)
    asked = break_off(cluster, grpc.StatusCode.UNAVAILABLE, 10_000)
    with pytest.raises(CallError):
        source.list(b"/d")
    assert asked


def test_an_answer_is_an_answer(cluster: FakeCluster) -> None:
    source = cluster.source()
    asked = break_off(cluster, grpc.StatusCode.PERMISSION_DENIED, 1)
    with pytest.raises(Denied):
        source.list(b"/d")
    assert len(asked) == 1


def test_a_master_that_says_nothing(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is stopped, and the connection stands: what it said before counts, soon."""
    monkeypatch.setattr(master, "_CALL_KNOWN_S", 0.2)
    monkeypatch.setattr(master, "_LIST_KNOWN_S", 0.2)
    source = cluster.source(remembered_s=0.0)
    attr, listing = source.stat(b"/d/f01"), source.list(b"/d")
    held = ("GetStatus", "ListStatus", "getServiceVersion")
    for method in held:
        cluster.master.hold(method)
    try:
        assert source.stat(b"/d/f01") == attr
        assert source.list(b"/d").names == listing.names
    finally:
        for method in held:
            cluster.master.release(method)
