"""A worker's domain socket that anybody could have made is not taken for the worker."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_cluster import FakeCluster, File, pattern
from fake_worker import FakeWorker

from alluxio_jnifuse.sources.alluxio.proto import common_pb2
from alluxio_jnifuse.sources.alluxio.workers.domainsockets import DomainSockets

STRANGER = 65534
SIZE = 300_000
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    made = FakeCluster(workers=1)
    yield made
    made.close()


@pytest.fixture
def answers(private: Path, cluster: FakeCluster) -> Iterator[Callable[[Path], bytes]]:
    """What is read when the master says that the worker has a socket at a path, where somebody else listens."""
    squatters: list[FakeWorker] = []

    def read(path: Path) -> bytes:
        squatter = FakeWorker(cluster.store, f"unix:{path}")
        squatters.append(squatter)
        os.chown(path, STRANGER, STRANGER)
        plain = cluster.address

        def address(number: int) -> common_pb2.WorkerNetAddress:
            made = plain(number)
            made.host = "localhost"
            made.domainSocketPath = str(path)
            return made

        cluster.address = address  # type: ignore[method-assign]
        for block in cluster.put("/file", pattern("right", SIZE), SIZE, [0]):
            squatter.blocks[block] = pattern("forged", SIZE)
        file = File(cluster.source(), "/file")
        try:
            return file.read_all(100_000)
        finally:
            file.close()

    yield read
    for squatter in squatters:
        squatter.close()


@as_root
def test_a_socket_where_anybody_may_make_one(private: Path, answers: Callable[[Path], bytes]) -> None:
    """As one below /tmp is, while the worker is away."""
    (private / "domain").mkdir()
    (private / "domain").chmod(0o1777)
    assert answers(private / "domain" / "socket") == pattern("right", SIZE)


@as_root
def test_a_socket_in_a_directory_that_anybody_may_have_made(private: Path, answers: Callable[[Path], bytes]) -> None:
    (private / "tmp").mkdir()
    (private / "tmp").chmod(0o1777)
    (private / "tmp" / "domain").mkdir()
    os.chown(private / "tmp" / "domain", STRANGER, STRANGER)
    assert answers(private / "tmp" / "domain" / "socket") == pattern("right", SIZE)


@as_root
def test_a_worker_of_another_user(private: Path, answers: Callable[[Path], bytes]) -> None:
    """Is believed in a directory that was given to it: there nobody else can make a socket."""
    (private / "domain").mkdir(0o755)
    os.chown(private / "domain", STRANGER, STRANGER)
    assert answers(private / "domain" / "socket") == pattern("forged", SIZE)


# ------------------------------------------------------------------------------------------------ by themselves


@pytest.fixture
def listening(private: Path) -> Iterator[Callable[[str], str]]:
    """Makes a socket at a path."""
    made = []

    def listen(name: str) -> str:
        made.append(socket.socket(socket.AF_UNIX))
        made[-1].bind(str(private / name))
        return str(private / name)

    yield listen
    for each in made:
        each.close()


def test_what_is_one(private: Path, listening: Callable[[str], str]) -> None:
    sockets = DomainSockets()
    (private / "file").touch()
    (private / "link").symlink_to(listening("socket"))
    assert sockets.usable(str(private / "socket"))
    assert sockets.usable(str(private / "link"))
    assert not sockets.usable("")
    assert not sockets.usable(str(private / "file"))
    assert not sockets.usable(str(private / "missing"))
    assert not sockets.usable(str(private / "a\0b"))
    assert not sockets.usable(os.path.relpath(private / "socket"))
    assert not sockets.usable(f"{private}/../{private.name}/socket")


def test_a_place_that_everybody_may_write(
    private: Path, listening: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    """A sticky one will do for our own socket; it is said once why another is not used."""
    (private / "d").mkdir()
    path = listening("d/socket")
    (private / "d").chmod(0o1777)
    assert DomainSockets().usable(path)
    (private / "d").chmod(0o777)
    sockets = DomainSockets()
    assert not sockets.usable(path)
    assert not sockets.usable(path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert path in caplog.text


@as_root
def test_one_that_is_replaced(private: Path, listening: Callable[[str], str]) -> None:
    """By somebody else's, after the worker has gone."""
    (private / "d").mkdir()
    (private / "d").chmod(0o1777)
    path, sockets = listening("d/socket"), DomainSockets()
    assert sockets.usable(path)
    os.unlink(path)
    assert not sockets.usable(path)
    listening("d/socket")
    os.chown(path, STRANGER, STRANGER)
    assert not sockets.usable(path)
