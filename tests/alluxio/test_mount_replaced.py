"""Files of a cluster that are deleted and written anew while the kernel trusts what a listing said of them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from cluster.cluster import Cluster
from cluster.dataset import Place
from harness.children import Children
from harness.mounting import Mounts
from on_cluster import mount

from alluxio_jnifuse.testing import pattern

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

BLOCK = 1 << 20
JUST_NOW_S = 0.2  # what is younger is not asked for anew when a large file is opened
SIZES = {"small": 50_000, "large": 5 * BLOCK + 4711}


def write(cluster: Cluster, place: Place, generation: int, growth: int) -> dict[str, bytes]:
    """All files anew; what was there is deleted first. No two generations agree in any of their pages."""
    written = {}
    for name, size in SIZES.items():
        for number in range(4):
            data = pattern(name.encode(), generation, 0, size + growth * (number + 1))
            cluster.shell.write(f"{place.path}/d/{name}{number}", data, block_size=BLOCK, overwrite=True)
            written[f"{name}{number}"] = data
    return written


def read_all(top: str) -> dict[str, bytes]:
    return {name: Path(top, name).read_bytes() for name in sorted(os.listdir(top))}


def list_long(path: str) -> dict[str, int]:
    with os.scandir(path) as found:
        return {entry.name: entry.stat().st_size for entry in found}


@pytest.mark.parametrize("growth", [0, 7000, -7000])
@pytest.mark.parametrize("here", ["true", "false"], ids=["short-circuit", "remote"])
def test_files_that_were_replaced(
    cluster: Cluster, place: Place, mounts: Mounts, children: Children, here: str, growth: int
) -> None:
    """Whoever opens one that nobody has read yet gets one version of it, the old or the new one, and no error."""
    old = write(cluster, place, 1, 0)
    mounted = mount(mounts, cluster, place.path, "", {"alluxio.user.short.circuit.enabled": here})
    assert children.run(list_long, mounted.join("d")) == {name: len(data) for name, data in old.items()}
    new = write(cluster, place, 2, growth)
    time.sleep(JUST_NOW_S)
    found = children.run(read_all, mounted.join("d"), timeout=120)
    assert [name for name, data in found.items() if data not in (old[name], new[name])] == []
