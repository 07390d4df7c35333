"""What is fetched, kept and given back: the client cache, the window without it, and the kernel's pages."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Child, Children, results
from harness.mounting import CACHE, Mounted, Mounts
from harness.readers import MIB, check, check_mapped, check_ranges, write
from harness.remote import RemoteSource

from alluxio_jnifuse.testing import Pattern

pytestmark = pytest.mark.fuse

Remote = Callable[..., RemoteSource]
SMALL_CACHE = {**CACHE, "alluxio.user.client.cache.size": "64MB"}


def memory_of(pid: int) -> int:
    """Bytes of files in memory that a process has touched; what is mapped twice counts once."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("Pss_Shmem:"))


def watch(mounted: Mounted, readers: list[Child]) -> tuple[int, int]:
    """The most bytes that the cache says it held, and that it really did, while readers ran."""
    cached, resident = 0, 0
    while not all(reader.ended() for reader in readers):
        cached = max(cached, mounted.stats()["cache_used_bytes"])
        resident = max(resident, memory_of(mounted.pid))
    results(readers)
    return cached, resident


@pytest.mark.parametrize("size", [64 * MIB, 3 * MIB + 5, 100_000], ids=["large", "middle", "small"])
def test_budget(mounts: Mounts, children: Children, remote: Remote, size: int) -> None:
    """A data set of four times the cache's size passes through it without it growing beyond its size."""
    names = [b"%d" % i for i in range(256 * MIB // size)]
    mounted = mounts.mount(remote({name: Pattern(size) for name in names}), "", SMALL_CACHE)

    def read(mine: list[bytes]) -> None:
        for name in mine:
            check(mounted.join(os.fsdecode(name)), size)

    for _ in range(2):
        cached, resident = watch(mounted, [children.start(read, names[half::2]) for half in (0, 1)])
        assert cached <= 1.1 * 64 * MIB
        assert resident <= 1.1 * 64 * MIB
    assert mounted.stats()["pages_evicted"] > 0


def test_budget_of_the_window(mounts: Mounts, children: Children, remote: Remote) -> None:
    """Without the client cache the memory in use is that of the window, whatever is read, and none afterwards."""
    mounted = mounts.mount(remote({b"a": Pattern(200 * MIB), b"b": Pattern(200 * MIB)}), "transient_window=32MB")
    readers = [children.start(check, mounted.join(name), 200 * MIB) for name in "ab"]
    cached, _ = watch(mounted, readers)
    assert cached <= 1.1 * 32 * MIB
    mounted.closed()
    mounted.until(lambda stats: stats["cache_used_bytes"] == 0, "what was being fetched ahead to be given back")


def test_budget_of_files_kept_open(mounts: Mounts, children: Children, remote: Remote) -> None:
    """Files that are all open at once share the budget; each is read to its end."""
    mounted = mounts.mount(remote({b"%d" % i: Pattern(16 * MIB) for i in range(16)}), "", SMALL_CACHE)

    def read() -> None:
        held = [os.open(mounted.join(str(i)), os.O_RDONLY) for i in range(16)]
        for _ in range(2):
            for i in range(16):
                check(mounted.join(str(i)), 16 * MIB)
        assert len(held) == 16

    cached, _ = watch(mounted, [children.start(read)])
    assert cached <= 1.1 * 64 * MIB


def test_second_read_is_passthrough(mounts: Mounts, children: Children, remote: Remote) -> None:
    """A file that is complete in the cache is opened in passthrough and fetched no more; small ones stay cached."""
    mounted = mounts.mount(remote({b"large": Pattern(50 * MIB), b"small": Pattern(5000)}), "", CACHE)
    if not mounted.has("passthrough"):
        pytest.skip("passthrough is not granted here")
    for name, size in (("large", 50 * MIB), ("small", 5000)):
        children.run(check, mounted.join(name), size)
    before = mounted.settled()
    for name, size in (("large", 50 * MIB), ("small", 5000)):
        children.run(check, mounted.join(name), size)
        children.run(check_mapped, mounted.join(name), size)
    after = mounted.since(before)
    assert after["open_passthrough"] == 2
    assert "fetch_bytes" not in after


def test_pages_of_the_kernel_are_kept(mounts: Mounts, children: Children, remote: Remote) -> None:
    """An unchanged file that is opened again is read from the kernel's pages, with auto_cache and with kernel_cache."""
    for options in ("", "kernel_cache"):
        mounted = mounts.mount(remote({b"file": Pattern(5 * MIB)}), f"passthrough=off,{options}")
        children.run(check, mounted.join("file"), 5 * MIB)
        before = mounted.settled()
        children.run(check, mounted.join("file"), 5 * MIB, 4096)
        after = mounted.since(before)
        assert after["op_open"] == 1
        assert "op_read" not in after


def test_direct_io_keeps_nothing(mounts: Mounts, children: Children, private: Path) -> None:
    """With direct_io every read of the application is a request of its own, each time."""
    (private / "source").mkdir()
    write(private / "source" / "file", MIB)
    mounted = mounts.mount(private / "source", "direct_io")
    for _ in range(2):
        before = mounted.stats()
        children.run(check_ranges, mounted.join("file"), MIB, [(at, 4096) for at in range(0, MIB, 4096)])
        after = mounted.since(before)
        assert after["op_read"] == 256
        assert after["op_read_bytes"] == MIB
        assert after["open_direct"] == 1


def test_max_read(mounts: Mounts, children: Children, private: Path) -> None:
    """No request is larger than max_read."""
    (private / "source").mkdir()
    write(private / "source" / "file", 10 * MIB)
    mounted = mounts.mount(private / "source", "passthrough=off,max_read=131072")
    children.run(check, mounted.join("file"), 10 * MIB, 4 * MIB)
    stats = mounted.stats()
    assert stats["op_read_bytes"] / stats["op_read"] <= 131072
    assert stats["op_read"] >= 80
    mounted = mounts.mount(private / "source", "passthrough=off")
    children.run(check, mounted.join("file"), 10 * MIB, 4 * MIB)
    stats = mounted.stats()
    assert stats["op_read_bytes"] / stats["op_read"] > 131072


@pytest.mark.parametrize("cache", [{}, CACHE], ids=["window", "cache"])
@pytest.mark.parametrize("options", ["", "direct_io"])
def test_random_reads_fetch_what_they_read(
    mounts: Mounts, children: Children, remote: Remote, cache: dict[str, str], options: str
) -> None:
    """Random reads of 64 KiB in a large file make the source send at most a fifth more than was asked for."""
    mounted = mounts.mount(remote({b"file": Pattern(1 << 30)}), options, cache)
    chance = random.Random(7)
    ranges = [(chance.randrange((1 << 30) - (64 << 10)), 64 << 10) for _ in range(500)]
    children.run(check_ranges, mounted.join("file"), 1 << 30, ranges)
    stats = mounted.settled()
    asked = len(ranges) * (64 << 10)
    assert stats["fetch_bytes"] / asked <= 1.2


def test_sequential_reads_are_read_ahead(mounts: Mounts, children: Children, remote: Remote) -> None:
    """A sequential reader finds most bytes there already, and nothing is fetched twice."""
    mounted = mounts.mount(remote({b"file": Pattern(200 * MIB)}, {"read": 0.01}), "", CACHE)
    children.run(check, mounted.join("file"), 200 * MIB)
    stats = mounted.settled()
    assert stats["fetch_bytes"] == 200 * MIB
    assert stats["fetch_prefetch_bytes"] > 100 * MIB


def test_readers_share_a_fetch(mounts: Mounts, children: Children, remote: Remote) -> None:
    """Eight processes that read one file at the same time make the source send it once."""
    source = remote({b"file": Pattern(20 * MIB)}, {"read": 0.02})
    mounted = mounts.mount(source, "direct_io", CACHE)
    results([children.start(check, mounted.join("file"), 20 * MIB) for _ in range(8)])
    assert mounted.settled()["fetch_bytes"] == source.bytes_read() == 20 * MIB
