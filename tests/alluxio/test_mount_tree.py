"""A tree of thousands of files, the same bytes through the mount as in the under-store, in every way to get them.

With AJF_TREE=full in the environment there are 10,000 small files and files of up to a GiB in blocks of 64 MiB;
without, a fifth of them, and files of some blocks of 8 MiB.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from cluster import dataset
from cluster.cluster import Cluster
from harness.children import Children, results
from harness.datasets import check, check_mapped, check_ranges, walk
from harness.mounting import Mounted, Mounts
from on_cluster import calls, mount

pytestmark = [pytest.mark.cluster, pytest.mark.fuse, pytest.mark.timeout(600)]

Clusters = Callable[..., Cluster]
FULL = os.environ.get("AJF_TREE") == "full"
BLOCK = 64 * dataset.MIB if FULL else 8 * dataset.MIB
LARGE = dataset.large()
if not FULL:
    LARGE = {name: size * BLOCK // dataset.BLOCK for name, size in LARGE.items() if name != "large/GiB"}
    LARGE |= {"large/block less 1": BLOCK - 1, "large/block and 1": BLOCK + 1, "large/64 MiB": 8 * BLOCK}
FILES = {**dataset.small(10_000 if FULL else 2_000), **LARGE}
FEWER = FILES if FULL else {**dataset.small(300), **LARGE}
READERS = 4
FEW = len(FILES) // 30  # small files may be left out of memory: a worker keeps what it has read when it finds the time
TIMEOUT_S = 500.0 if FULL else 100.0


def read(top: str, files: Mapping[str, int], number: int) -> None:
    """One of several readers: some of the small files, each in another way than the one before, and all large ones."""
    chance = random.Random(number)
    names = sorted(name for name in files if name not in LARGE)[number::READERS]
    chance.shuffle(names)
    for index, name in enumerate(names):
        path, size = f"{top}/{name}", files[name]
        if index % 4 == 0 and size:
            check_mapped(path, name, size)
        elif index % 4 == 1:
            check_ranges(path, name, size, 3, max(1, size // 2), index)
        else:
            check(path, name, size, 4096 if index % 16 == 2 else 1 << 20)
    for index, (name, size) in enumerate(LARGE.items()):
        path = f"{top}/{name}"
        way = (number + index) % READERS
        if way == 0:
            check_mapped(path, name, size)
        elif way == 1:
            check_ranges(path, name, size, 60, 100_000, number)
            check_ranges(path, name, size, 4, 3 << 20, number)
        elif way == 2:
            check(path, name, size)
        else:
            check(path, name, size, 5_000_011)


def check_tree(mounted: Mounted, children: Children, files: Mapping[str, int]) -> None:
    """Lists everything, with one call for a directory, then reads everything, with several readers at a time."""
    listed = children.run(walk, mounted.path, timeout=TIMEOUT_S)
    assert calls(mounted.stats())["ListStatus"] <= len(dataset.directories(files)) + 1
    assert {name: size for name, (kind, size) in listed.items() if kind == 0o100000} == files
    assert {name for name, (kind, _) in listed.items() if kind == 0o040000} == dataset.directories(files)
    results([children.start(read, mounted.path, files, number) for number in range(READERS)], TIMEOUT_S)


def load(cluster: Cluster, name: str) -> None:
    """Has workers take what they do not hold yet of the large files: blocks that no reader read from end to end."""
    cluster.shell.fs("load", f"{name}/large")
    assert all(all(cluster.shell.locations(f"{name}/{large}")) for large in LARGE)


def blocks(cluster: Cluster) -> list[int]:
    """How many blocks each worker holds."""
    return [len(list(ramdisk.glob("alluxioworker/[0-9]*"))) for ramdisk in cluster.ramdisks]


def connections(socket: Path) -> int:
    """How many connections a domain socket has."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return sum(line.endswith(f" {socket}") and line.split()[5] == "03" for line in lines)


# ------------------------------------------------------------------------------------------- two workers, block files


@pytest.fixture(scope="module")
def workers() -> Iterator[Cluster]:
    """Two workers, and a tree in the under-store."""
    with Cluster(workers=2, block_size=str(BLOCK)) as cluster:
        dataset.make(cluster.ufs / "tree", FILES)
        yield cluster


def test_cold(workers: Cluster, mounts: Mounts, children: Children) -> None:
    """From the under-store, through workers that keep what they read."""
    mounted = mount(mounts, workers, "/tree")
    check_tree(mounted, children, FILES)
    assert calls(mounted.stats())["ReadBlock"] >= sum(size > 0 for size in FILES.values())
    assert min(blocks(workers)) > len(FILES) // 4
    load(workers, "/tree")


def test_short_circuit(workers: Cluster, mounts: Mounts, children: Children) -> None:
    """Everything from the files of the workers: what has one block by the kernel itself, the rest lent."""
    mounted = mount(mounts, workers, "/tree")
    check_tree(mounted, children, FILES)
    stats = mounted.stats()
    assert calls(stats).get("ReadBlock", 0) < FEW
    assert stats["read_borrowed_bytes"] > 0
    assert stats["open_passthrough"] > 0 or not mounted.has("passthrough")


VARIANTS = {
    "short-circuit off": ("", {"alluxio.user.short.circuit.enabled": "false"}),
    "passthrough off": ("passthrough=off", {}),
    "client cache": ("", {"alluxio.user.client.cache.enabled": "true", "alluxio.user.client.cache.size": "64MB"}),
    "direct": ("", {"alluxio.user.direct.memory.io.enabled": "true"}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_memory(workers: Cluster, mounts: Mounts, children: Children, variant: str) -> None:
    """What the workers hold, taken from them in other ways."""
    options, properties = VARIANTS[variant]
    if variant == "direct":
        ramdisks = ",".join(map(str, workers.ramdisks))
        properties = {**properties, "alluxio.worker.tieredstore.level0.dirs.path": ramdisks}
    mounted = mount(mounts, workers, "/tree", options, properties)
    check_tree(mounted, children, FILES)
    if variant in ("passthrough off", "client cache"):
        mounted.until(lambda stats: stats["rpc_OpenLocalBlock"] > FEW, "the worker to be told of the blocks")
    stats = mounted.stats()
    made = calls(stats)
    assert (made.get("ReadBlock", 0) > FEW) == (variant == "short-circuit off")
    assert variant in ("passthrough off", "client cache") or made.get("OpenLocalBlock", 0) <= FEW
    if variant in ("short-circuit off", "passthrough off"):
        assert stats["open_passthrough"] == 0


def test_no_cache(workers: Cluster, mounts: Mounts, children: Children) -> None:
    """From the under-store, and no worker keeps any of it."""
    dataset.make(workers.ufs / "uncached", FEWER)
    before = blocks(workers)
    mounted = mount(mounts, workers, "/uncached", "", {"alluxio.user.file.readtype.default": "NO_CACHE"})
    check_tree(mounted, children, FEWER)
    assert blocks(workers) == before
    assert not {"Cache", "OpenLocalBlock"} & set(calls(mounted.stats()))


# --------------------------------------------------------------------------------------------- other kinds of workers


def test_domain_socket(clusters: Clusters, mounts: Mounts, children: Children) -> None:
    """Cold, in memory, and with alluxio.user.short.circuit.preferred."""
    cluster = clusters(domain_socket=True, block_size=str(BLOCK))
    dataset.make(cluster.ufs / "tree", FEWER)
    for preferred in ("false", "false", "true"):
        mounted = mount(mounts, cluster, "/tree", "", {"alluxio.user.short.circuit.preferred": preferred})
        check_tree(mounted, children, FEWER)
        made = calls(mounted.stats())
        assert connections(cluster.domain_sockets[0]) > 0
        assert ("OpenLocalBlock" in made) == (preferred == "true")
        load(cluster, "/tree")
    assert made.get("ReadBlock", 0) < FEW


def test_page_store(clusters: Clusters, mounts: Mounts, children: Children) -> None:
    """A worker that keeps pages has no block files, whatever it is asked for."""
    cluster = clusters(store="PAGE", block_size=str(BLOCK))
    dataset.make(cluster.ufs / "tree", FEWER)
    for _ in range(2):
        mounted = mount(mounts, cluster, "/tree")
        check_tree(mounted, children, FEWER)
    assert calls(mounted.stats())["OpenLocalBlock"] < FEW  # as often as it takes to find out
    assert len(mounted.lines("has no block files")) == 1
    assert not mounted.lines("WARN")
