"""The command load on a mount of a cluster: names that others find hard, and what the cluster is asked afterwards."""

from __future__ import annotations

import json

import pytest
from cluster.cluster import Cluster
from cluster.dataset import DataSet
from harness.children import Children
from harness.datasets import check
from harness.mounting import CACHE, COMMAND, Mounts, run
from on_cluster import mount

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

LOADED = {**CACHE, "alluxio.user.client.cache.size": "3GB"}


def test_small_files(cluster: Cluster, small_files: DataSet, mounts: Mounts, children: Children) -> None:
    """A load reads every file; who reads them afterwards makes nobody send bytes or lend files."""
    mounted = mount(mounts, cluster, small_files.path, "", LOADED)
    done = run([*COMMAND, "load", "--quiet", "--json", mounted.path], mounted.environ, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert (said["files"], said["bytes"]) == (len(small_files.files), sum(small_files.files.values()))
    before = mounted.settled()

    def read() -> None:
        for name, size in list(small_files.files.items())[::10]:
            check(mounted.join(name), name, size)

    children.run(read, timeout=120)
    asked = mounted.since(before)
    assert not {"fetch_bytes", "rpc_ReadBlock", "rpc_OpenLocalBlock"} & set(asked)
