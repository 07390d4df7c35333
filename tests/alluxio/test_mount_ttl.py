"""A mount deletes nothing, however often the master looks for what has expired.

A master takes the `ttl` that a client leaves out for 0, and then deletes the file in the under-store. Here such a
request is sent on purpose, for another directory: when that has gone, the master has looked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from cluster import dataset
from cluster.cluster import Cluster
from harness.children import Children, until
from harness.datasets import check, check_ranges, walk
from harness.mounting import Mounts
from on_cluster import calls, mount, snapshot

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

FILES = {**dataset.small(60), "blocks": 3 * dataset.MIB}
EVERYTHING = set(FILES) | dataset.directories(FILES)
KINDS: dict[str, dict[str, str]] = {
    "plain": {},
    "cached": {"alluxio.user.metadata.cache.enabled": "true", "alluxio.fuse.special.command.enabled": "true"},
    "synced": {
        "alluxio.user.file.metadata.sync.interval": "0",
        "alluxio.user.file.metadata.load.type": "ALWAYS",
        "alluxio.user.short.circuit.enabled": "false",
    },
}

# What a client must not send: a look at a file that has to be loaded, without options.
WITHOUT_TTL = """
import sys
from alluxio_jnifuse.sources.alluxio.rpc.channel import Channel
from alluxio_jnifuse.sources.alluxio.proto import file_pb2
from alluxio_jnifuse.sources.alluxio.settings import Settings

channel = Channel(sys.argv[1], Settings(masters=(), user="tester"))
request = file_pb2.GetStatusPRequest(path=sys.argv[2])
request.options.loadMetadataType = file_pb2.ONCE
method = "/alluxio.grpc.file.FileSystemMasterClientService/GetStatus"
channel.unary(method, request, file_pb2.GetStatusPResponse, 20)
channel.close()
"""


def doom(cluster: Cluster, name: str) -> Callable[[], bool]:
    """Makes a file that expires at the next check; returns a function that says whether it has."""
    path = cluster.ufs / name / "file"
    path.parent.mkdir()
    path.write_bytes(b"doomed")
    done = subprocess.run([sys.executable, "-c", WITHOUT_TTL, cluster.masters[0], f"/{name}/file"], timeout=120)
    assert done.returncode == 0
    return lambda: not path.exists()


def test_nothing_disappears(clusters: Callable[..., Cluster], mounts: Mounts, children: Children) -> None:
    """Neither from the under-store nor from Alluxio, whatever is done to a file that only the under-store has."""
    cluster = clusters(site={"alluxio.master.ttl.checker.interval": "2sec"})
    for kind in KINDS:
        dataset.make(cluster.ufs / kind, FILES)
    before = snapshot(cluster.ufs)
    for kind, properties in KINDS.items():
        mounted = mount(mounts, cluster, f"/{kind}", "passthrough=off", properties)
        listed = children.run(use, mounted.path, timeout=120)
        assert set(listed) == EVERYTHING
        assert {"GetStatus", "ListStatus", "GetBlockMasterInfo"} <= set(calls(mounted.stats()))
    for number in range(3):
        until(doom(cluster, f"doomed{number}"), "a check for what has expired", timeout=120)
    assert snapshot(cluster.ufs) == before
    for kind in KINDS:
        output = cluster.shell.fs("ls", "-R", f"/{kind}")
        assert sum(f" /{kind}/" in line for line in output.splitlines()) == len(EVERYTHING)
        for path in ("", "/blocks", "/small"):
            assert "ttl=-1," in cluster.shell.fs("stat", f"/{kind}{path}")


def use(top: str) -> dict[str, tuple[int, int]]:
    """Everything that can be done with a mount; returns what was listed."""
    name, other, *_ = (name for name, size in FILES.items() if size > 1000)
    os.stat(f"{top}/{name}")  # by name alone, before anything is listed
    check(f"{top}/{other}", other, FILES[other])
    assert not os.path.exists(f"{top}/no such file")
    listed = walk(top)
    for name, size in FILES.items():
        check(f"{top}/{name}", name, size)
    check_ranges(f"{top}/blocks", "blocks", FILES["blocks"], 20, 5000)
    os.statvfs(top)
    return listed
