"""Copies of cold blocks whose calls were ended early: a worker makes none before it has let go of the call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import certificates
import grpc
import pytest
from fake_cluster import FakeCluster, File, pattern
from fake_worker import MIB, FakeWorker, chunks, held
from harness.children import until

from alluxio_jnifuse.sources.alluxio.rpc import streams
from alluxio_jnifuse.sources.alluxio.source import AlluxioSource
from alluxio_jnifuse.sources.alluxio.workers import copies, link

BLOCK = 12 * MIB
DATA = pattern("/f", 2 * BLOCK)
SOON_S = 60.0


class Made:
    """A cluster with one worker and the cold files /f and /g, and a source of it."""

    def __init__(self, cluster: FakeCluster, source: AlluxioSource, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cluster = cluster
        self.source = source
        self.worker: FakeWorker = cluster.workers[0]
        self.blocks = {name: cluster.put(name, DATA, BLOCK) for name in ("/f", "/g")}
        self.awaited = threading.Event()  # the end of a call
        for kind in (link._Direct, streams.ReadStream):
            self._note(kind, monkeypatch)

    def _note(self, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
        real = kind.await_end  # type: ignore[attr-defined]

        def await_end(call: object, seconds: float) -> None:
            self.awaited.set()
            real(call, seconds)

        monkeypatch.setattr(kind, "await_end", await_end)

    def read_first(self, name: str) -> None:
        """The first MiB, and no more."""
        file = File(self.source, name)
        assert file.read(0, MIB) == DATA[:MIB]
        file.close()

    def copied(self) -> list[int]:
        """The blocks of which copies were asked for."""
        with self.worker.lock:
            return [copy.block_id for copy in self.worker.copies]


@pytest.fixture(params=["plain", "tls"])
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    tls = request.param == "tls"
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificates.CERTIFICATE)
    pair = [(certificates.KEY, certificates.CERTIFICATE)]
    cluster = FakeCluster(workers=1, **({"credentials": grpc.ssl_server_credentials(pair)} if tls else {}))
    yield Made(cluster, cluster.source(tls=tls, tls_ca_path=str(ca) if tls else ""), monkeypatch)
    cluster.close()


def test_the_worker_lets_go_first(made: Made) -> None:
    """However long that takes; and what it sends meanwhile is in nobody's way. The file is closed long before."""
    go_on = threading.Event()
    made.worker.faults.append(held(2 * MIB, threading.Event(), go_on))
    made.read_first("/f")
    assert made.awaited.wait(SOON_S)
    assert not made.copied()
    go_on.set()
    made.worker.wait_for(lambda: made.worker.copies)
    assert made.copied() == made.blocks["/f"][:1]
    assert not made.worker.too_early
    until(lambda: not made.worker.under_way, "the call to end")


def test_a_worker_that_never_ends_a_call(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked all the same after a while, and so is what comes behind it."""
    monkeypatch.setattr(copies, "_END_S", 0.0)
    go_on = threading.Event()
    made.worker.faults += [held(2 * MIB, threading.Event(), go_on)] * 2
    for name in ("/f", "/g"):
        made.read_first(name)
    made.worker.wait_for(lambda: len(made.worker.copies) == 2)
    assert made.copied() == made.worker.too_early == [made.blocks["/f"][0], made.blocks["/g"][0]]
    go_on.set()
    until(lambda: not made.worker.under_way, "the calls to be given up")


def test_a_worker_that_sends_too_much(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its call is cut off."""
    for module in (link, streams):
        monkeypatch.setattr(module, "LEFT_BYTES", 0)
    made.worker.faults.append(lambda _worker, _read, data, _context: _endless(data[:MIB]))
    made.read_first("/f")
    made.worker.wait_for(lambda: made.worker.copies)
    until(lambda: not made.worker.under_way, "the call to be cut off")


def _endless(data: bytes) -> Iterator[bytes]:
    while True:
        yield from chunks(data)


def test_the_end_of_a_mount_is_not_held_up(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a call that does not end, nor by those behind it: all of them are over."""
    monkeypatch.setattr(copies, "_END_S", 3600.0)
    monkeypatch.setattr(copies, "_LEAST_END_S", 3600.0)
    go_on = threading.Event()
    made.worker.faults += [held(2 * MIB, threading.Event(), go_on)] * 2
    for name in ("/f", "/g"):
        made.read_first(name)
    assert made.awaited.wait(SOON_S)
    made.source.close()
    go_on.set()
    until(lambda: not made.worker.under_way, "the calls to be over")
    until(lambda: all(thread.name != "copies" for thread in threading.enumerate()), "the thread to end")
    assert not made.copied()


@pytest.mark.parametrize("reason", ["nothing is kept", "the file was replaced", "too many wait"])
def test_where_no_copy_is_asked_for_the_call_is_cut_off(
    made: Made, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    """At once."""
    if reason == "too many wait":
        monkeypatch.setattr(copies, "_MOST_WAITING_WITH_CALLS", 0)
    if reason == "nothing is kept":
        made.source._workers.settings = made.source._workers.settings._replace(read_type="NO_CACHE")
    go_on = threading.Event()
    made.worker.faults.append(held(2 * MIB, threading.Event(), go_on))
    file = File(made.source, "/f")
    file.read(0, MIB)
    if reason == "the file was replaced":
        file.opened.handle.reader._blocks._stale = True  # type: ignore[union-attr]
    file.close()
    go_on.set()
    until(lambda: not made.worker.under_way, "the call to be over")
    assert not made.awaited.is_set()
    assert not made.copied()


def test_more_blocks_than_calls(made: Made) -> None:
    """A reader that goes on to other blocks: their calls are left while the file is open, and the oldest are over."""
    size = MIB
    data = pattern("/many", 30 * size)
    blocks = made.cluster.put("/many", data, size)
    file = File(made.source, "/many")
    for number in range(30):
        assert file.read(number * size, 5000) == data[number * size :][:5000]
    left = file.opened.handle.reader._blocks._left  # type: ignore[union-attr]
    assert len(left) == 8
    file.close()
    made.worker.wait_for(lambda: len(made.worker.copies) == len(blocks))
    assert sorted(made.copied()) == blocks
    until(lambda: not made.worker.under_way, "the calls to end")
