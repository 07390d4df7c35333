"""Many requests at once: they do not wait for each other, nor for a file that hangs."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from harness.children import Children, results, until
from harness.mounting import CACHE, Mounted, Mounts
from harness.readers import MIB, check, check_ranges, random_ranges, write
from harness.remote import RemoteSource

from alluxio_jnifuse.testing import Pattern, pattern

pytestmark = pytest.mark.fuse

Remote = Callable[..., RemoteSource]
TOGETHER = 64


def read_together(reads: Iterable[tuple[int, int]], length: int = 4096) -> list[bytes]:
    """Reads (descriptor, offset) in a thread each, all at once; returns the bytes."""
    reads = list(reads)
    start = threading.Barrier(len(reads))
    found = [b""] * len(reads)

    def read(number: int, fd: int, offset: int) -> None:
        start.wait()
        found[number] = os.pread(fd, length, offset)

    threads = [threading.Thread(target=read, args=(i, *where)) for i, where in enumerate(reads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("options", ["", "direct_io"])
def test_reads_on_one_descriptor(mounts: Mounts, children: Children, remote: Remote, options: str) -> None:
    """Of 64 reads at once on one descriptor, half at least are asked of the source before one of them is answered."""
    source = remote({b"file": Pattern(8 << 30)}, rules=[("read", "read", None)])
    mounted = mounts.mount(source, f"fetchers=64,{options}", CACHE)
    offsets = [i * 40 * MIB for i in range(TOGETHER)]

    def read() -> list[bytes]:
        fd = os.open(mounted.join("file"), os.O_RDONLY)
        return read_together((fd, offset) for offset in offsets)

    children.run(os.stat, mounted.join("file"))
    source.hold("read")
    reading = children.start(read)
    until(lambda: source.waiting("read") >= TOGETHER // 2, "reads to be asked of the source")
    source.release("read")
    assert reading.result() == [pattern(b"/file", 1, offset, 4096) for offset in offsets]


@pytest.mark.parametrize("properties", [{}, CACHE], ids=["window", "cached"])
def test_reads_on_many_descriptors(
    mounts: Mounts, children: Children, remote: Remote, properties: dict[str, str]
) -> None:
    """Of 64 reads at once of 64 files, half at least are asked of the source before one of them is answered."""
    names = [b"%d" % i for i in range(TOGETHER)]
    source = remote({name: Pattern(100_000) for name in names}, rules=[("read", "read", None)])
    mounted = mounts.mount(source, "fetchers=64", properties)

    def read() -> list[bytes]:
        held = [os.open(mounted.join(os.fsdecode(name)), os.O_RDONLY) for name in names]
        return read_together((fd, 0) for fd in held)

    children.run(os.stat, mounted.join("0"))
    source.hold("read")
    reading = children.start(read)
    until(lambda: source.waiting("read") >= TOGETHER // 2, "reads to be asked of the source")
    source.release("read")
    assert reading.result() == [pattern(b"/" + name, 1, 0, 4096) for name in names]


def opens_together(paths: list[str]) -> None:
    """Opens and stats files, each in a thread of its own."""
    threads = [threading.Thread(target=lambda p: os.close(os.open(p, os.O_RDONLY)), args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_opens_of_many_files(mounts: Mounts, children: Children, remote: Remote) -> None:
    """Look-ups of many names are asked of the source at once, and so are opens."""
    rules = [(kind, kind, None) for kind in ("stat", "open")]
    source = remote({b"%d" % i: Pattern(5 * MIB) for i in range(32)}, rules=rules)
    mounted = mounts.mount(source)
    children.run(os.statvfs, mounted.path)
    for kind in ("stat", "open"):
        source.hold(kind)
    opening = children.start(opens_together, [mounted.join(str(i)) for i in range(32)])
    for kind in ("stat", "open"):
        until(lambda kind=kind: source.waiting(kind) >= 4, f"calls of {kind} to be made at once")
        source.release(kind)
    opening.result()


def hang(mounted: Mounted, source: RemoteSource, children: Children, readers: int) -> None:
    """Makes many processes wait for /hung, each for another part of it, so that the kernel reads ahead for each."""
    source.hold("hung")
    for i in range(readers):
        children.start(check_ranges, mounted.join("hung"), 8 << 30, [(i * 100 * MIB, MIB)])
    mounted.until(lambda s: s["requests_born"] - s["requests_died"] >= readers, "all readers to wait")


@pytest.mark.parametrize("properties", [{}, CACHE], ids=["window", "cached"])
def test_a_file_that_hangs(mounts: Mounts, children: Children, remote: Remote, properties: dict[str, str]) -> None:
    """While 64 readers wait for a file that hangs, names are looked up, listed and opened, and others are read."""
    tree = {b"hung": Pattern(8 << 30), b"large": Pattern(100 * MIB), b"d": {b"%d" % i: b"x" for i in range(100)}}
    tree.update((b"small-%d" % i, Pattern(10_000)) for i in range(50))
    source = remote(tree, rules=[("hung", "read", b"/hung")])
    mounted = mounts.mount(source, "", properties)
    hang(mounted, source, children, 64)
    children.run(os.stat, mounted.join("small-1"))
    children.run(os.listdir, mounted.join("d"))
    children.run(os.statvfs, mounted.path)
    children.run(check, mounted.join("large"), 100 * MIB)
    children.run(lambda: [check(mounted.join(f"small-{i}"), 10_000) for i in range(50)])
    assert source.waiting("hung") > 0
    assert mounted.stats()["requests_born"] - mounted.stats()["requests_died"] >= 64
    assert mounted.stats()["op_timed_out"] == 0
    source.release("hung")
    mounted.settled()


def test_requests_in_the_background(mounts: Mounts, children: Children, remote: Remote) -> None:
    """Read-ahead for readers of a file that hangs does not use up what the kernel allows for all files."""
    source = remote({b"hung": Pattern(8 << 30), b"file": Pattern(50 * MIB)}, rules=[("hung", "read", b"/hung")])
    mounted = mounts.mount(source)

    def start_reading_ahead(number: int) -> None:
        fd = os.open(mounted.join("hung"), os.O_RDONLY)
        for i in range(4):
            os.posix_fadvise(fd, (number * 4 + i) * 20 * MIB, 2 * MIB, os.POSIX_FADV_WILLNEED)

    source.hold("hung")
    results([children.start(start_reading_ahead, number) for number in range(64)])
    mounted.until(lambda s: s["requests_born"] - s["requests_died"] >= 200, "read-ahead to be asked for")
    children.run(check, mounted.join("file"), 50 * MIB)
    assert mounted.stats()["requests_born"] - mounted.stats()["requests_died"] >= 200
    assert mounted.stats()["op_timed_out"] == 0
    source.release("hung")
    mounted.settled()


def workers(pid: int) -> int:
    """How many threads of a daemon take requests, by their names."""
    names = [Path(f"/proc/{pid}/task/{task}/comm") for task in os.listdir(f"/proc/{pid}/task")]
    return sum(name.read_text().startswith("ajf-work") for name in names if name.exists())


def test_pool_of_threads(mounts: Mounts, children: Children, private: Path) -> None:
    """With MAX_IDLE_THREADS=2 the pool grows in bursts, up to max_threads, and has two threads after each one."""
    (private / "source").mkdir()
    write(private / "source" / "file", 16 * MIB)
    environ = {"MAX_IDLE_THREADS": "2"}
    mounted = mounts.mount(private / "source", "direct_io,max_threads=12", environ=environ)
    assert workers(mounted.pid) <= 3
    burst = f"for i in $(seq 12); do dd if={mounted.join('file')} of=/dev/null bs=16k status=none & done; wait"
    for _ in range(10):
        assert children.command("sh", "-c", burst).returncode == 0
        mounted.until(lambda s: s["threads"] == s["threads_idle"] == 2, "two threads to be left")
        until(lambda: workers(mounted.pid) == 2, "the other threads to end")
    assert 2 < mounted.closed()["threads_peak"] <= 12


def test_limits_of_the_pool(mounts: Mounts, private: Path) -> None:
    """max_threads is never below max_idle_threads, and the option counts more than the variable."""
    (private / "source").mkdir()
    for options, environ in (("max_idle_threads=30", {}), ("max_threads=3", {"MAX_IDLE_THREADS": "7"})):
        mounted = mounts.mount(private / "source", options, environ=environ)
        assert mounted.lines("settings:", options)


def storm(mounted: Mounted, sizes: dict[str, int], seed: int) -> None:
    """Does to a mount, in random order, whatever can be done by reading."""
    chance = random.Random(seed)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        name = chance.choice(list(sizes))
        path, size = mounted.join(name), sizes[name]
        what = chance.randrange(5)
        if what == 0:
            assert set(os.listdir(mounted.path)) == set(sizes)
        elif what == 1:
            assert os.stat(path).st_size == size
        elif what == 2:
            check(path, size)
        else:
            check_ranges(path, size, random_ranges(size, 5, 200_000, chance.randrange(1 << 30)))


@pytest.mark.parametrize("options", ["", "passthrough=off,attr_timeout=0,entry_timeout=0", "direct_io"])
@pytest.mark.parametrize("cache", [{}, CACHE], ids=["window", "cache"])
def test_a_storm(mounts: Mounts, children: Children, remote: Remote, options: str, cache: dict[str, str]) -> None:
    """Six processes do everything at once, with less memory than they need, while others are killed in the middle."""
    sizes = {**{f"s{i}": 1 + i * 4001 for i in range(60)}, **{f"l{i}": 5 * MIB + i * 1_000_003 for i in range(12)}}
    source = remote({os.fsencode(name): Pattern(size) for name, size in sizes.items()})
    properties = {**cache, "alluxio.user.client.cache.size": "32MB"}
    mounted = mounts.mount(source, f"transient_window=16MB,{options}", properties)
    stormy = [children.start(storm, mounted, sizes, seed) for seed in range(6)]
    chance = random.Random(5)
    while not all(child.ended() for child in stormy):
        victim = children.start(storm, mounted, sizes, chance.randrange(1 << 30))
        time.sleep(chance.random() / 20)  # any moment will do
        victim.kill()
    results(stormy)
    mounted.settled()
