"""Mounts that cannot come about: one clear message within seconds, exit code 1, and nothing is left."""

from __future__ import annotations

import os
import socket

import pytest
from cluster.cluster import Cluster
from fake_server import FakeServer, RawServer, unused_port
from harness.mounting import COMMAND, Mounts, run
from on_cluster import refused

pytestmark = [pytest.mark.fuse]

on_cluster = pytest.mark.cluster


def test_nobody_listens(mounts: Mounts) -> None:
    """The address is in the message, and what to do."""
    said = refused(mounts, f"localhost:{unused_port()}")
    assert "connection refused" in said
    assert "correct host and port" in said


def test_a_name_without_an_address(mounts: Mounts) -> None:
    """Such names end in .invalid."""
    assert "name has no address" in refused(mounts, "master.invalid:19998")


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "web port"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak gRPC"),
    ],
)
def test_something_else_listens(mounts: Mounts, greeting: bytes, expected: str) -> None:
    """A web server, or anything."""

    def greet(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(greeting)
        connection.recv(1 << 16)

    other = RawServer(greet)
    try:
        assert expected in refused(mounts, other.target)
    finally:
        other.close()


def test_somebody_who_says_nothing(mounts: Mounts) -> None:
    """Is not waited for as long as he likes."""
    silent = RawServer(lambda connection: connection.recv(1 << 20) and connection.recv(1 << 20))  # type: ignore[arg-type,return-value]
    try:
        said = refused(mounts, silent.target)
        assert "said nothing" in said or "does not answer" in said
    finally:
        silent.close()


def test_a_later_release(mounts: Mounts) -> None:
    """Alluxio 3 has another protocol."""
    from alluxio_jnifuse.sources.alluxio.proto import meta_pb2

    server = FakeServer()
    try:
        info = meta_pb2.MasterInfo(version="3.5.1")
        server.on("GetMasterInfo", lambda _r, _c: meta_pb2.GetMasterInfoPResponse(masterInfo=info))
        assert "3.5.1" in refused(mounts, server.target)
    finally:
        server.close()


@on_cluster
def test_a_workers_port(cluster: Cluster, mounts: Mounts) -> None:
    """It is of Alluxio, but no master."""
    assert "serves as no master" in refused(mounts, cluster.workers[0])


@on_cluster
def test_the_masters_web_port(cluster: Cluster, mounts: Mounts) -> None:
    """It speaks HTTP/1."""
    said = refused(mounts, f"localhost:{cluster.layout.masters[0].web}")
    assert "web port" in said
    assert "usually 19998" in said


@on_cluster
def test_tls_to_a_server_without(cluster: Cluster, mounts: Mounts) -> None:
    """The key that is wrong is named."""
    said = refused(mounts, cluster.masters[0], "alluxio.network.tls.enabled=true")
    assert "alluxio.network.tls.enabled" in said


@on_cluster
def test_acting_as_somebody_else(cluster: Cluster, mounts: Mounts) -> None:
    """What the servers do not allow is said with the key that would."""
    said = refused(
        mounts,
        cluster.masters[0],
        "alluxio.security.login.username=nobody",
        "alluxio.security.login.impersonation.username=root",
    )
    assert "alluxio.master.security.impersonation.nobody.users" in said
    assert "'nobody' for 'root'" in said


@on_cluster
def test_no_log_in_where_one_is_needed(cluster: Cluster, mounts: Mounts) -> None:
    """Another kind of authentication than the servers'."""
    said = refused(mounts, cluster.masters[0], "alluxio.security.authentication.type=NOSASL")
    assert "alluxio.security.authentication.type=SIMPLE" in said


@on_cluster
def test_a_path_that_is_not_there(cluster: Cluster, mounts: Mounts) -> None:
    """The cluster is, the directory is not."""
    path = str(mounts.root / "mnt")
    done = run([*COMMAND, "mount", "-u", cluster.uri("/no/such/directory"), path], mounts.environ())
    assert done.returncode == 1
    assert "/no/such/directory: no such directory there (" in done.stderr
    assert done.stderr.endswith("; correct the path\n")
    assert "does not answer" not in done.stderr
    assert not os.path.ismount(path)
