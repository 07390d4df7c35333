"""The daemon gives back the memory of large directories when they are forgotten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness import inodes
from harness.children import Children, until
from harness.mounting import Mounted, Mounts

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.drops_caches,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have the kernel forget"),
]

MIB = 1 << 20
NAMES = 150_000  # in each of two directories
# Of what was freed: the heap keeps 4 MiB, and 170 when the C library chooses its thresholds (daemon/serve.py).
KEPT = 16 * MIB
TIMEOUT_S = 300.0


def fill(path: Path) -> None:
    """Many empty files."""
    path.mkdir(parents=True)
    directory = os.open(path, os.O_RDONLY)
    for number in range(NAMES):
        os.close(os.open(f"name-of-an-entry-{number:07}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory))
    os.close(directory)


def walk(path: str) -> int:
    """Looks at every entry; how many there are."""
    with os.scandir(path) as entries:
        return sum(entry.stat().st_nlink for entry in entries)


def count(path: str) -> int:
    """How many entries there are."""
    return len(os.listdir(path))


def resident(mounted: Mounted) -> int:
    """Bytes of the daemon's heap. Records of inodes lie elsewhere; their memory is kept, and used again."""
    status = Path(f"/proc/{mounted.pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) << 10


def forget(mounted: Mounted) -> None:
    """Until the daemon has neither listings nor records, but for its root."""

    def forgotten() -> bool:
        inodes.drop_caches()
        now = mounted.stats()
        return now["listings_born"] == now["listings_died"] and now["inodes_born"] - now["inodes_died"] < 10

    until(forgotten, "all to be forgotten", TIMEOUT_S)


def test_large_directories_in_turn(private: Path, mounts: Mounts, children: Children) -> None:
    """The heap is as it was before them."""
    source = private / "source"
    for name in ("a", "b"):
        fill(source / name)
    mounted = mounts.mount(source, "entry_timeout=0,attr_timeout=0")  # no listing outlives its last reader
    assert sorted(children.run(os.listdir, mounted.path)) == ["a", "b"]
    heap = resident(mounted)
    for look in (walk, count, count):
        for name in ("a", "b"):
            assert children.run(look, mounted.join(name), timeout=TIMEOUT_S) == NAMES
    forget(mounted)
    print(f"heap: {heap >> 20} MiB, then {resident(mounted) >> 20}")
    assert resident(mounted) <= heap + KEPT
