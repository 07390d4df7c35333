"""What stores take of a disk, and what they do when it takes no more."""

from __future__ import annotations

import errno
import os
import random
import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest
from stores import (
    EVICTORS,
    LIMIT,
    MIB,
    PAGE,
    close_all,
    contents,
    digest,
    open_store,
    right_bytes,
    used_by,
    write,
)

from alluxio_jnifuse.cache.guard import Guard
from alluxio_jnifuse.cache.local import file as local_file
from alluxio_jnifuse.cache.place import Place
from alluxio_jnifuse.cache.store import Store


@contextmanager
def watched(directory: Path) -> Iterator[list[int]]:
    """What a directory takes of the disk, again and again."""
    seen: list[int] = []
    end = threading.Event()

    def watch() -> None:
        while not end.wait(0.002):
            seen.append(used_by(directory))

    thread = threading.Thread(target=watch)
    thread.start()
    yield seen
    end.set()
    thread.join()


@pytest.mark.stress
@pytest.mark.parametrize("evictor", EVICTORS)
def test_the_budget_is_kept(kind: str, directory: Path, evictor: str) -> None:
    """Three times the budget is written by two threads, and some of it read, so pages go in no order."""
    store = open_store(kind, directory, evictor=evictor)

    def work(half: int) -> None:
        rng = random.Random(half)
        for step in range(3 * LIMIT // MIB // 2):
            for at in range(4):  # of different sizes: a third of them small
                write(store, (half, step, at), (MIB // 3, 5 * PAGE, 4097, 3 * PAGE + 1)[at])
            for _ in range(3):
                name = (half, rng.randrange(step + 1), rng.randrange(2))
                right_bytes(store, name, (MIB // 3, 5 * PAGE)[name[2]])

    threads = [threading.Thread(target=work, args=(half,)) for half in (0, 1)]
    with watched(directory) as seen:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert store.figures().evicted > 0
    assert store.counts.corrupt == 0
    assert 0.7 * LIMIT < store.figures().used <= store.figures().limit
    print(f"{max(seen) / LIMIT:.3f} of the budget at most, pages {store.figures().used / LIMIT:.3f}")
    assert max(seen) <= 1.05 * LIMIT
    assert used_by(directory) > 0.8 * LIMIT
    store.close()


def test_small_files_take_little(directory: Path) -> None:
    """ROCKS: not a block each, as LOCAL must."""
    used = {}
    for kind in ("LOCAL", "ROCKS"):
        store = open_store(kind, directory)
        for name in range(1000):
            write(store, name, 1000)
        store.close()
        used[kind] = used_by(directory / "alluxio-jnifuse" / kind)
    assert used["ROCKS"] < 1.5 * MIB < 7 * MIB < used["LOCAL"]


def write_many(store: Store) -> None:
    for name in range(20):
        write(store, name, MIB)


def fill(path: Path) -> None:
    """Leaves nothing of the file system."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Larger files cannot be written by this process (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_does_not_take_it(kind: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ROCKS: writing fails with OSError; LOCAL: files that are too large are not stored, and nothing has failed.

    Stored bytes are served on, and later it can be written again.
    """
    store = open_store(kind, directory)
    write(store, "before", MIB)
    with files_limited_to(100_000), pytest.raises(OSError) if kind == "ROCKS" else nullcontext():
        write_many(store)
        assert not any(right_bytes(store, number, MIB) for number in range(20))
    assert right_bytes(store, "before", MIB) > MIB / 2
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)  # ROCKS waits before it tries again
    write(store, "after", MIB)
    assert right_bytes(store, "after", MIB) == MIB
    sizes = dict.fromkeys(["before", "after", *range(20)], MIB)
    for name, size in sizes.items():
        right_bytes(store, name, size)
    assert store.counts.corrupt == 0
    store.close()
    store = open_store(kind, directory)
    assert right_bytes(store, "after", MIB) == MIB
    for name, size in sizes.items():
        right_bytes(store, name, size)
    assert store.counts.corrupt == 0
    store.close()


@pytest.fixture
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", directory], check=True)
    yield directory
    close_all()
    subprocess.run(["umount", directory], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_disk_that_is_full(kind: str, small_disk: Path) -> None:
    """The budget is larger than the disk, and somebody else fills that, too: old pages go for new ones."""
    store = open_store(kind, small_disk, limit=64 * MIB)
    guard = Guard("disk", 0.0, 1)
    place = Place(store, guard)
    for name in range(60):
        place.keep_small(digest(name), MIB, 0, memoryview(contents(name, MIB)), 0)
        if name == 15:
            (small_disk / "somebody").write_bytes(bytes(6 * MIB))
    assert guard.errors <= 1
    right = [right_bytes(store, name, MIB) for name in range(60)]
    assert sum(right) > 8 * MIB
    assert right[-1] == MIB
    store.close()
    store = open_store(kind, small_disk, limit=64 * MIB)
    assert sum(right_bytes(store, name, MIB) for name in range(60)) > 8 * MIB
    assert store.counts.corrupt == 0
    store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_disk_that_is_full_to_the_last_byte(kind: str, small_disk: Path) -> None:
    """Nothing can be written, whatever goes: errors, and right bytes."""
    store = open_store(kind, small_disk)
    write(store, "a", MIB)
    store.close()
    store = open_store(kind, small_disk)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        fill(small_disk / "somebody")
    with pytest.raises(OSError) as caught:
        write_many(store)
    assert caught.value.errno == errno.ENOSPC
    assert right_bytes(store, "a", MIB) == MIB
    store.close()


def test_a_disk_that_takes_bytes_but_no_sums(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LOCAL: nobody would count what was written, so it is given back; with room the next write stores it."""
    store = open_store("LOCAL", directory)
    write(store, "a", MIB, 0, PAGE)
    before = used_by(directory)
    real = local_file.write_all

    def write_all(fd: int, data: memoryview, offset: int) -> None:
        if len(data) < PAGE:
            real(fd, data[: len(data) // 2], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd, data, offset)

    with monkeypatch.context() as patched:
        patched.setattr(local_file, "write_all", write_all)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            write(store, "a", MIB, 8 * PAGE, PAGE)
    assert right_bytes(store, "a", MIB) == PAGE
    assert used_by(directory) <= before + 4096
    assert store.figures().pages == 1
    write(store, "a", MIB, 8 * PAGE, PAGE)
    assert right_bytes(store, "a", MIB) == 2 * PAGE
    assert store.counts.corrupt == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_disk_without_room_for_another_file(directory: Path) -> None:
    """Small files may use up its inodes long before its bytes. It can be mounted on, and room is made on it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=300", "tmpfs", directory], check=True)
    try:
        store = open_store("LOCAL", directory)
        place = Place(store, Guard("disk", 0, 1))
        for number in range(400):
            data = memoryview(contents(number, 3000))
            place.keep_small(digest(number), 3000, 0, data, store.generation(digest(number)))
        assert place.guards[0].errors == 0
        for number in range(300):  # to the last one
            with suppress(OSError):
                (directory / f"x{number}").touch()
        assert os.statvfs(directory).f_ffree == 0
        store.close()
        store = open_store("LOCAL", directory)
        assert store.punches
        place = Place(store, Guard("disk", 0, 1))
        place.keep_small(digest("new"), 3000, 0, memoryview(contents("new", 3000)), store.generation(digest("new")))
        assert right_bytes(store, "new", 3000) == 3000
        store.close()
    finally:
        close_all()
        subprocess.run(["umount", directory], check=True)
