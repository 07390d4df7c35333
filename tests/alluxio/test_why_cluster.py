"""`why` in mounts of a real cluster whose servers are away: it names the server, and what it answers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster.cluster import Cluster
from cluster.dataset import MIB
from harness.children import Children, until
from harness.mounting import COMMAND, Mounted, Mounts, run
from on_cluster import mount

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

REMOTE = {"alluxio.user.short.circuit.enabled": "false"}


def told_by(mounted: Mounted) -> dict[str, Any]:
    """What it tells, as JSON."""
    done = run([*COMMAND, "why", "--json", "-s", "0", mounted.path], mounted.environ)
    assert (done.returncode, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def finding(mounted: Mounted, *words: str) -> Callable[[], bool]:
    """Whether a finding has all of the words."""

    def found() -> bool:
        return any(all(word in each["what"] for word in words) for each in told_by(mounted)["findings"])

    return found


def test_a_worker_that_is_dead(cluster: Cluster, mounts: Mounts, children: Children) -> None:
    """It alone has the block."""
    data = os.urandom(2 * MIB)
    cluster.shell.write("/why", data, write_type="MUST_CACHE", worker=cluster.workers[0])
    mounted = mount(mounts, cluster, "/", "", REMOTE)
    children.run(os.stat, mounted.join("why"))
    try:
        for number in range(len(cluster.workers)):
            cluster.kill9(f"worker{number}")
        reader = children.start(Path(mounted.join("why")).read_bytes)
        until(finding(mounted, f"worker {cluster.workers[0].rpartition(':')[0]}:", "is asked again"), "the worker")
        cluster.repair()
        reader.kill()
    finally:
        cluster.repair()
        cluster.shell.fs("rm", "/why")


def test_a_master_that_is_away(cluster: Cluster, mounts: Mounts, children: Children) -> None:
    """Look-ups wait until there is one; so they say."""
    mounted = mount(mounts, cluster, "/", "", REMOTE)
    try:
        for number in range(len(cluster.masters)):
            cluster.kill9(f"master{number}")
        waiting = children.start(os.path.exists, mounted.join("nothing"))
        until(finding(mounted, "names, attributes and opens wait for the masters", cluster.masters[0]), "the master")
        (request,) = told_by(mounted)["requests"]
        assert (request["pid"], request["operation"]) == (waiting.pid, "Lookup")
    finally:
        cluster.repair()
    assert waiting.result() is False
