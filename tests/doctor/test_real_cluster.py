"""A real cluster: the doctor is silent on a good one, and finds what is planted in the mount's own namespace."""

from __future__ import annotations

import os
import subprocess

import pytest
from cluster.cluster import Cluster
from cluster.dataset import Place
from harness.mounting import Mounts
from on_cluster import mount
from patient import Doctor, Fault

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]


def test_a_mount_of_a_cluster(doctor: Doctor, cluster: Cluster, place: Place, mounts: Mounts) -> None:
    """Masters, workers, the one of this machine, and its block files: seen, hidden; then a worker is gone."""
    cluster.shell.write(f"{place.path}/file", os.urandom(1 << 20), block_size=1 << 20, worker=cluster.workers[0])
    mounted = mount(mounts, cluster, place.path)
    report = doctor.examine(mounted.path)
    assert (report.code, report.problems()) == (0, [])
    well = [each["what"] for each in report.told["findings"] if each["check"] == "cluster"]
    assert "is the master that serves" in well
    assert "2 workers, of which 2 were connected to" in well
    assert "the worker's block files can be opened here" in well

    def hide() -> None:
        for path in cluster.ramdisks:
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path], check=True)

    line = f"docker run -v {cluster.ramdisks[0]}:{cluster.ramdisks[0]} ..."
    Fault("cluster", "warning", "has block files that cannot be opened here", line).is_found(
        doctor.examine(mounted.path, plant=hide)
    )
    cluster.kill9("worker1")
    Fault("cluster", "warning", "1 of 2 workers cannot be reached", "nc -vz").is_found(doctor.examine(mounted.path))
