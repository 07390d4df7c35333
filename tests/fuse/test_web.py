"""The endpoint of a real mount: figures that move with a known load, and a mount that no client of it can hurt."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from harness.children import Children, until
from harness.mounting import Mounted, Mounts
from harness.readers import errno_of
from harness.remote import RemoteSource
from oss.bucket import KEY_ID, SECRET, Bucket
from prometheus_client.parser import text_string_to_metric_families

from alluxio_jnifuse import __version__

pytestmark = pytest.mark.fuse

WEB = {"alluxio.fuse.web.enabled": "true", "alluxio.fuse.web.port": "0"}
ABSENT, LISTED = 13, 3
GUARD_S = 60.0
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def port_of(mounted: Mounted) -> int:
    """The port that the log tells."""
    (line,) = mounted.lines("metrics at http://127.0.0.1:")
    found = re.search(r"127\.0\.0\.1:(\d+)/", line)
    assert found is not None
    return int(found[1])


def get(port: int, path: str, host: str = "") -> tuple[int, str]:
    """Status and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=GUARD_S)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def samples(port: int) -> Samples:
    """What Prometheus's own client reads."""
    status, body = get(port, "/metrics/prometheus")
    assert status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def until_told(port: int, name: str, value: float, **labels: str) -> Samples:
    """The samples, once one of them has this value: a page is as old as a second at most."""
    key = (name, frozenset(labels.items()))

    def look() -> Samples | None:
        found = samples(port)
        return found if found.get(key) == value else None

    found: Samples = until(look, f"{name} {labels} to be {value}")
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A file and a directory."""
    (tmp_path / "tree" / "d").mkdir(parents=True)
    (tmp_path / "tree" / "file").write_bytes(b"x" * 100_000)
    return tmp_path / "tree"


def test_figures_move_with_the_load(mounts: Mounts, tree: Path, children: Children) -> None:
    """Exactly, where the kernel cannot answer by itself; under names of Alluxio's and in `stat --stats`, too."""
    mounted = mounts.mount(tree, "attr_timeout=0,entry_timeout=0", WEB)
    port = port_of(mounted)
    for number in range(ABSENT):
        assert children.run(errno_of, os.stat, mounted.join(f"absent{number}")) == errno.ENOENT
    for _ in range(LISTED):
        children.run(os.listdir, mounted.join("d"))
    found = until_told(port, "alluxio_jnifuse_request_errors_total", ABSENT, op="lookup", errno="ENOENT")
    found = until_told(port, "alluxio_jnifuse_request_seconds_count", LISTED, op="opendir")
    assert found["alluxio_jnifuse_op_opendir_total", frozenset()] == LISTED
    assert found["Fuse_GetattrFailures", frozenset()] == ABSENT
    assert found["Fuse_TotalCalls_count", frozenset()] >= ABSENT + LISTED
    info = frozenset([("mount_point", mounted.path), ("version", __version__)])
    assert found["alluxio_jnifuse_info", info] == 1
    told = json.loads(get(port, "/metrics/json")[1])
    assert told["counters"]["Fuse.GetattrFailures"]["count"] == ABSENT
    assert told["counters"]["op_opendir"]["count"] == mounted.stats()["op_opendir"] == LISTED


def test_a_bucket_by_server_and_without_its_key(mounts: Mounts, bucket: Bucket, children: Children) -> None:
    """Requests are told by host; no page has a secret in it."""
    bucket.put_many({"file": b"y" * 5000})
    mounted = mounts.mount(bucket.uri, "", {**bucket.properties(), **WEB})
    port = port_of(mounted)
    assert children.run(Path(mounted.join("file")).read_bytes) == b"y" * 5000

    def counted() -> Any:
        found = samples(port)
        hosts = {value for name, labels in found for key, value in labels if key == "server"}
        return hosts and [n for (name, _), n in found.items() if name == "alluxio_jnifuse_server_bytes_total"] == [5000]

    until(counted, "the bytes to be told by server")
    text = "".join(get(port, path)[1] for path in ("/metrics/prometheus", "/metrics/json", "/healthz"))
    assert f'server="{bucket.server.endpoint.rpartition("/")[2]}"' in text
    assert not [secret for secret in (KEY_ID, SECRET) if secret in text]


def test_strangers_are_refused(mounts: Mounts, tree: Path) -> None:
    """It listens on this machine alone; a name that nobody set gets nothing."""
    mounted = mounts.mount(tree, "", {**WEB, "alluxio.fuse.web.hostname": "node1.example, node2.example"})
    port = port_of(mounted)
    assert get(port, "/healthz") == (200, "ok\n")
    for host in ("localhost", f"127.0.0.1:{port}", "NODE2.example:80"):
        assert get(port, "/metrics/json", host)[0] == 200
    for path in ("/metrics/prometheus", "/metrics/json", "/healthz"):
        status, body = get(port, path, f"evil.example:{port}")
        assert status == 421
        assert mounted.path not in body
    assert get(port, "/etc/passwd")[0] == get(port, "/index.html")[0] == 404


def test_silent_scrapers_do_not_delay_a_reader(
    mounts: Mounts, remote: Callable[..., RemoteSource], children: Children
) -> None:
    """Many connections that say nothing take few descriptors; the end of the mount does not wait for them either."""
    mounted = mounts.mount(remote({b"file": b"z" * 10_000}), "", WEB)
    port = port_of(mounted)
    assert get(port, "/healthz")[0] == 200
    silent = [socket.create_connection(("127.0.0.1", port), timeout=GUARD_S) for _ in range(100)]
    for each in silent[::2]:
        each.send(b"GET /metrics/prom")
    assert children.run(Path(mounted.join("file")).read_bytes) == b"z" * 10_000
    assert get(port, "/healthz")[0] == 200
    sockets = [name for name in mounted.files() if name.startswith("socket:")]
    assert len(sockets) < 60
    assert mounted.unmount().returncode == 0
    for each in silent:
        each.close()


def test_a_port_that_is_taken(mounts: Mounts, tree: Path, children: Children) -> None:
    """The mount goes on, and the log says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        mounted = mounts.mount(tree, "", {**WEB, "alluxio.fuse.web.port": str(taken.getsockname()[1])})
        (line,) = mounted.lines("WARN", "no metrics over HTTP")
        assert "Address already in use" in line
        assert "a port of its own" in line
        assert children.run(os.listdir, mounted.path) != []


def hold_open(path: str, held: str, done: str) -> None:
    """Has a file open until it is told."""
    with open(path, "rb"):
        Path(held).touch()
        until(Path(done).exists, "to be told")


def test_health_of_a_mount_that_is_gone_but_in_use(
    mounts: Mounts, tree: Path, tmp_path: Path, children: Children
) -> None:
    """Its daemon lives as long as a file is open; the mount point is another's."""
    mounted = mounts.mount(tree, "", {**WEB, "alluxio.fuse.umount.timeout": "0"})
    port = port_of(mounted)
    assert get(port, "/healthz") == (200, "ok\n")
    held = children.start(hold_open, mounted.join("file"), str(tmp_path / "held"), str(tmp_path / "done"))
    until((tmp_path / "held").exists, "the file to be open")
    assert children.command("umount", "-l", mounted.path).returncode == 0
    until(lambda: get(port, "/healthz") == (503, "it is mounted no more\n"), "the fault to be told")
    (tmp_path / "done").touch()
    held.result()
    until(mounted.gone, "the daemon to end")
