"""The oldest release there is a promise for, 2.3.0: it lacks calls that later ones have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.cluster import Cluster
from harness.children import Children, until
from harness.mounting import Mounts
from on_cluster import calls

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

BLOCK = 1 << 20
FILES = {"empty": b"", "small": os.urandom(50_000), "one": os.urandom(BLOCK), "several": os.urandom(5 * BLOCK + 4711)}
UNLOADED = os.urandom(3 * BLOCK)


@pytest.fixture(scope="module")
def oldest() -> Iterator[Cluster]:
    """Files in blocks of 1 MiB in the ramdisk, and some that only the under-store has."""
    with Cluster(version="2.3.0") as cluster:
        for name, content in FILES.items():
            cluster.shell.write(f"/d/ä/{name}", content, block_size=BLOCK)
        for name in ("unloaded", "unloaded too"):
            (cluster.ufs / name).write_bytes(UNLOADED)
        yield cluster


@pytest.mark.parametrize("short_circuit", ["true", "false"])
def test_it_is_mounted_and_read(
    oldest: Cluster, mounts: Mounts, children: Children, private: Path, short_circuit: str
) -> None:
    """Names and bytes, by way of the block files and without them."""
    properties = {**oldest.client_properties(), "alluxio.user.short.circuit.enabled": short_circuit}
    mounted = mounts.mount(oldest.uri(), properties=properties)
    assert mounted.lines("Alluxio 2.3.0")
    assert sorted(children.command("ls", mounted.join("d/ä")).stdout.split()) == sorted(FILES)
    for name, content in FILES.items():
        (private / name).write_bytes(content)
        assert children.command("cmp", private / name, mounted.join(f"d/ä/{name}")).returncode == 0
    made = calls(mounted.stats())
    assert ("ReadBlock" in made) == (short_circuit == "false")


def test_a_file_of_the_under_store_alone(oldest: Cluster, mounts: Mounts, children: Children, private: Path) -> None:
    """A worker reads it for us, and keeps what it has read whole."""
    mounted = mounts.mount(oldest.uri(), properties=oldest.client_properties())
    (private / "unloaded").write_bytes(UNLOADED)
    assert children.command("cmp", private / "unloaded", mounted.join("unloaded")).returncode == 0
    until(lambda: all(oldest.shell.locations("/unloaded")), "the block to be kept")


def test_some_of_a_file_of_the_under_store_alone(oldest: Cluster, mounts: Mounts, children: Children) -> None:
    """The copy of the rest is asked for in the old way where the new one is not known."""
    mounted = mounts.mount(oldest.uri(), properties=oldest.client_properties())
    done = children.command("head", "-c", "1000", mounted.join("unloaded too"), text=False, errors=None)
    assert done.stdout == UNLOADED[:1000]
    mounted.until(lambda stats: calls(stats).get("AsyncCache"), "the copy is asked for")
