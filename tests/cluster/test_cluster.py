"""The cluster itself: it serves files, its servers can be ended and started again, and it leaves nothing behind."""

from __future__ import annotations

import os
import socket

import pytest

from cluster.cluster import Cluster

pytestmark = pytest.mark.cluster


def test_a_file_copied_in_is_listed_and_in_the_under_store(cluster: Cluster) -> None:
    """What copyFromLocal writes is in Alluxio, in the memory of a worker and in the under-store."""
    cluster.shell.write("/copied/ä b%", b"content" * 100_000, block_size=1 << 18)
    assert "/copied/ä b%" in cluster.shell.fs("ls", "/copied")
    assert (cluster.ufs / "copied" / "ä b%").read_bytes() == b"content" * 100_000
    blocks = [path for ramdisk in cluster.ramdisks for path in ramdisk.glob("alluxioworker/*") if path.is_file()]
    assert len(blocks) >= 3


def test_a_cluster_leaves_nothing() -> None:
    """No process, no port, no directory."""
    with Cluster() as made:
        pids = [process.pid for process in made.processes.values()]
        ports = [*made.layout.masters[0], *made.layout.workers[0]]
        paths = [made.base, made.plan.ramdisk]
        assert all(path.exists() for path in paths)
    assert not any(path.exists() for path in paths)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
