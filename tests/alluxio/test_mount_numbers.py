"""Inode numbers of a cluster are its file ids, and the programs that go by them agree with the under-store."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster.cluster import Cluster
from cluster.dataset import Place
from harness import inodes
from harness.children import Children
from harness.mounting import CACHE, Mounts
from on_cluster import mount

pytestmark = [pytest.mark.cluster, pytest.mark.fuse, pytest.mark.drops_caches]

DIRECTORIES = ("a", "d", "d/a", "d/e/f")


def fill(top: Path) -> dict[str, int]:
    """The same names in several directories; returns the sizes by path."""
    sizes = {}
    for directory in DIRECTORIES:
        (top / directory).mkdir(parents=True, exist_ok=True)
        for i in range(100):
            (top / directory / f"file-{i}").write_text(f"{directory} {i}")
            sizes[f"{directory}/file-{i}"] = len(f"{directory} {i}")
    return sizes


def test_a_new_cluster(clusters: Callable[..., Cluster], mounts: Mounts, children: Children) -> None:
    """The first directory that a cluster makes has the file id 1, and its root has none."""
    cluster = clusters()
    fill(cluster.ufs)
    mounted, seen = inodes.lasting(children, lambda: mount(mounts, cluster))
    assert inodes.shared(seen) == []
    assert seen[""].number >= 1 << 62
    assert min(each.number for each in seen.values()) == 1
    expected = children.command("find", ".", cwd=cluster.ufs).stdout
    found = children.command("find", ".", cwd=mounted.path, timeout=inodes.TIMEOUT_S)
    assert (found.returncode, found.stderr) == (0, "")
    assert sorted(found.stdout.splitlines()) == sorted(expected.splitlines())
    # A directory of it as the root shows the number that it has below the other root.
    top, below = inodes.lasting(children, lambda: mount(mounts, cluster, "/d"))
    assert {f"d/{path}".rstrip("/"): each.number for path, each in below.items()} == {
        path: each.number for path, each in seen.items() if path == "d" or path.startswith("d/")
    }
    assert children.command("find", top.path, "-samefile", top.path).stdout == f"{top.path}\n"


@pytest.mark.parametrize("properties", [{}, CACHE], ids=["window", "cached"])
def test_programs(
    cluster: Cluster,
    place: Place,
    mounts: Mounts,
    children: Children,
    private: Path,
    properties: dict[str, str],
) -> None:
    """du, cp, rsync and tar, each after the kernel has dropped its caches, and once more in another mount."""
    sizes = fill(place.ufs)
    for number in range(2):
        mounted = mount(mounts, cluster, place.path, "", properties)
        done = children.command("du", "-scb", *DIRECTORIES[:2], cwd=mounted.path, timeout=inodes.TIMEOUT_S)
        assert (done.returncode, done.stderr) == (0, "")
        assert int(done.stdout.split()[-2]) == sum(sizes.values()) + (len(DIRECTORIES) + 1) * 4096
        for words in (
            ("cp", "-a", mounted.path, private / f"cp{number}"),
            ("rsync", "-aH", f"{mounted.path}/", private / f"rsync{number}"),
            ("sh", "-c", f"mkdir tar{number} && tar -cC {mounted.path} . | tar -xC tar{number}"),
        ):
            inodes.drop_caches()
            done = children.command(*words, cwd=private, timeout=inodes.TIMEOUT_S)
            assert (done.returncode, done.stderr) == (0, "")
        for copy in (f"cp{number}", f"rsync{number}", f"tar{number}"):
            subprocess.run(["diff", "-r", private / copy, place.ufs], check=True)
        assert not mounted.end()
