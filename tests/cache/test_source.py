"""A source behind the client cache: what is stored is not asked for again, what fails is as if it were not there."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stores import used_by

from alluxio_jnifuse._core import Cancelled
from alluxio_jnifuse.cache import guard as guard_module
from alluxio_jnifuse.cache.evictors import make_evictor
from alluxio_jnifuse.cache.guard import Guard
from alluxio_jnifuse.cache.local.store import LocalStore
from alluxio_jnifuse.cache.place import Place
from alluxio_jnifuse.cache.source import CachedSource
from alluxio_jnifuse.cache.store import Figures, Store, StoredFile
from alluxio_jnifuse.errors import CorruptContents, MountError, StaleVersion
from alluxio_jnifuse.sources.base import Extent, OpenFile
from alluxio_jnifuse.testing import MemorySource, Pattern

MIB = 1 << 20
PAGE = 64 << 10
LARGE = 3 * MIB + 12345
WAIT_S = 100.0
FILES = {b"large": Pattern(LARGE), b"small": Pattern(10_000), b"empty": b"", b"odd": Pattern(4097)}


class Small(MemorySource):
    """Has small files, which are never opened."""

    small_bytes = 16 << 10

    def read_small(
        self, path: bytes, version: int, size: int, offset: int, buffer: memoryview, progress: Callable[[int], None]
    ) -> int:
        return self.read_into(self.open(path, version).handle, offset, buffer, progress)


class Bench:
    """A source in memory behind a cache in a directory, and ways to read from it."""

    def __init__(self, directory: Path, timeout: float = 0.0, writers: bool = False, limit: int = 64 * MIB) -> None:
        self.memory = Small(FILES)
        self.directory = directory
        self.store = LocalStore(str(directory), limit, PAGE, make_evictor("LRUCacheEvictor"))
        self.store.restore()
        guard = Guard("disk", timeout, 8)
        self.place = Place(self.store, guard, Guard("disk", timeout, 8) if writers else None)
        self.source = CachedSource(self.memory, "memory", [self.place])
        self.source.passthrough = True

    def version(self, path: bytes) -> int:
        return self.source.stat(path).version

    def open(self, path: bytes) -> OpenFile:
        return self.source.open(path, self.version(path))

    def read(self, path: bytes, offset: int = 0, length: int | None = None) -> bytes:
        """Opens, reads and closes, as the core does."""
        opened = self.open(path)
        length = opened.size - offset if length is None else length
        try:
            if opened.extents:
                (extent,) = opened.extents
                return os.pread(extent.fd, length, extent.offset + offset)
            buffer = bytearray(length)
            told: list[int] = []
            n = self.source.read_into(opened.handle, offset, memoryview(buffer), told.append)
            assert told == sorted(told)
            assert not told or told[-1] <= n
            return bytes(buffer[:n])
        finally:
            for extent in opened.extents:
                os.close(extent.fd)
            if opened.handle is not None:
                self.source.close_file(opened.handle)

    def read_small(self, path: bytes) -> bytes:
        attr = self.source.stat(path)
        buffer = bytearray(attr.size)
        n = self.source.read_small(path, attr.version, attr.size, 0, memoryview(buffer), lambda n: None)
        return bytes(buffer[:n])

    def right(self, path: bytes, offset: int = 0, length: int | None = None) -> None:
        """Reads, and compares."""
        size = self.memory.stat(path).size
        length = size - offset if length is None else length
        assert self.read(path, offset, length) == self.memory.content(path, offset, length)


@pytest.fixture
def benches(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """A factory of benches, one after the other in the same directory."""
    made: list[Bench] = []

    def make(**keywords: Any) -> Bench:
        if made:
            made[-1].source.close()
        made.append(Bench(tmp_path, **keywords))
        return made[-1]

    yield make
    for bench in made:
        until(lambda bench=bench: not bench.store.held, "files to be let go")
        bench.source.close()


@pytest.fixture(params=[0.0, WAIT_S], ids=["direct", "guarded"])
def bench(benches: Callable[..., Bench], request: pytest.FixtureRequest) -> Bench:
    return benches(timeout=request.param)


@pytest.mark.parametrize("path", [b"/large", b"/odd", b"/small", b"/empty"])
def test_the_second_read_asks_nothing(bench: Bench, path: bytes) -> None:
    """Of a file that was read as a whole not even an open; an empty file has nothing to store."""
    bench.right(path)
    before = dict(bench.memory.calls)
    bench.right(path)
    after = {kind: n - before.get(kind, 0) for kind, n in bench.memory.calls.items() if kind != "stat"}
    if path != b"/empty":
        assert not any(after.values()), after
        assert bench.source.counters()["cache_lent_files"] == 1


def test_a_restart_keeps_what_was_stored(benches: Callable[..., Bench]) -> None:
    """It is checked before it is lent."""
    benches().right(b"/large")
    again = benches()
    again.right(b"/large")
    assert again.memory.bytes_read == 0
    assert again.source.counters()["cache_restored_pages"] == LARGE // PAGE + 1


def test_small_files_are_stored_too(bench: Bench) -> None:
    """They are never opened."""
    for _ in range(2):
        assert bench.read_small(b"/small") == bench.memory.content(b"/small", 0, 10_000)
    assert bench.memory.calls["read"] == 1
    assert bench.source.counters()["cache_hit_bytes"] == bench.source.counters()["cache_miss_bytes"] == 10_000


def test_only_what_is_missing_is_asked_for(bench: Bench) -> None:
    """Whatever ranges were read before, in whatever order: never more than was asked for, nothing that is all there."""
    order = random.Random(7)
    there: set[int] = set()
    for _ in range(60):
        first = order.randrange(LARGE // 4096)
        wanted = set(range(first, min(first + order.randint(1, 60), LARGE // 4096 + 1)))
        length = min(len(wanted) * 4096, LARGE - first * 4096)
        before = bench.memory.bytes_read
        bench.right(b"/large", first * 4096, length)
        asked = bench.memory.bytes_read - before
        assert asked <= length
        assert (asked == 0) == (wanted <= there)
        there |= wanted
    bench.right(b"/large")
    before = bench.memory.bytes_read
    bench.right(b"/large")
    assert bench.memory.bytes_read == before


def test_another_version_is_another_file(bench: Bench) -> None:
    """Bytes of the old one are never those of the new one."""
    bench.right(b"/large")
    bench.memory.replace(b"/large", Pattern(LARGE))
    bench.right(b"/large")
    assert bench.memory.bytes_read == 2 * LARGE


def test_a_version_that_goes_in_mid_file(bench: Bench) -> None:
    """Who has it open and reads on what is stored has the old bytes; what is not, is stale."""
    old = bench.memory.content(b"/large", 0, LARGE)
    bench.right(b"/large", 0, MIB)
    opened = bench.open(b"/large")
    bench.memory.replace(b"/large", Pattern(LARGE))
    buffer = bytearray(2 * MIB)
    with pytest.raises(StaleVersion):
        bench.source.read_into(opened.handle, 0, memoryview(buffer), lambda n: None)
    assert buffer[:MIB] == old[:MIB]
    bench.source.close_file(opened.handle)


def test_a_source_that_opens_another_version(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It should refuse; nothing of the new version is shown or stored as the old one, at whichever try."""
    bench.source.passthrough = False
    bench.right(b"/large")
    opened = bench.open(b"/large")  # all of it is stored: nothing is asked
    bench.store.give_space(1)
    bench.memory.replace(b"/large", Pattern(LARGE))
    new, closed = bench.version(b"/large"), []
    real_open, real_close = bench.memory.open, bench.memory.close_file
    monkeypatch.setattr(bench.memory, "open", lambda path, version: real_open(path, new))
    monkeypatch.setattr(bench.memory, "close_file", lambda handle: (closed.append(handle), real_close(handle)))
    for _ in range(3):
        with pytest.raises(StaleVersion):
            bench.source.read_into(opened.handle, 0, memoryview(bytearray(LARGE)), lambda n: None)
    assert len(closed) == 3
    bench.source.close_file(opened.handle)
    assert len(closed) == 3


def test_what_was_final_before_a_failure_is_kept(bench: Bench) -> None:
    """Nobody wants the rest any more."""
    opened = bench.open(b"/large")

    def enough(n: int) -> None:
        if n >= 2 * MIB:
            raise Cancelled

    with pytest.raises(Cancelled):
        bench.source.read_into(opened.handle, 0, memoryview(bytearray(LARGE)), enough)
    bench.source.close_file(opened.handle)
    read = bench.memory.bytes_read
    bench.right(b"/large", 0, 2 * MIB)
    assert bench.memory.bytes_read == read


def test_contents_that_the_storage_disowns_are_not_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the last piece nor those before it."""
    bench.right(b"/large", 0, MIB)

    def disown(handle: object, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        progress(len(buffer))
        raise CorruptContents("not what was uploaded")

    with monkeypatch.context() as patch:
        patch.setattr(bench.memory, "read_into", disown)
        with pytest.raises(CorruptContents):
            bench.read(b"/large", MIB, MIB)
    before = bench.memory.bytes_read
    bench.right(b"/large")
    assert bench.memory.bytes_read - before == LARGE


def test_a_source_that_begins_to_lend(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file was open from the store alone, and something of it is lost there; the source has its file here by now."""
    bench.right(b"/large")
    opened = bench.open(b"/large")
    for extent in opened.extents:
        os.close(extent.fd)
    opened.handle.held.drop()
    content = bench.memory.content(b"/large", 0, LARGE)
    for name, piece in (("one", content[:MIB]), ("two", content[MIB:])):
        (tmp_path / name).write_bytes(piece)

    def lend(path: bytes, version: int) -> OpenFile:
        fds = [os.open(tmp_path / name, os.O_RDONLY) for name in ("one", "two")]
        return OpenFile(None, version, LARGE, (Extent(fds[0], 0, MIB), Extent(fds[1], 0, LARGE - MIB)))

    monkeypatch.setattr(bench.memory, "open", lend)
    buffer = bytearray(LARGE)
    assert bench.source.read_into(opened.handle, 0, memoryview(buffer), lambda n: None) == LARGE
    assert bytes(buffer) == content
    bench.source.close_file(opened.handle)


def test_what_the_source_lends_is_not_stored(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is on this machine already."""
    (tmp_path / "file").write_bytes(b"x" * 5000)

    def lend(path: bytes, version: int) -> OpenFile:
        return OpenFile(None, version, 5000, (Extent(os.open(tmp_path / "file", os.O_RDONLY), 0, 5000),))

    monkeypatch.setattr(bench.memory, "open", lend)
    for _ in range(2):
        assert bench.read(b"/large", 0, 5000) == b"x" * 5000
    assert bench.source.counters()["cache_pages"] == 0


def test_pages_are_stored_while_nobody_waits(benches: Callable[..., Bench]) -> None:
    """With writers of their own, also when the file is closed before they come to it."""
    bench = benches(writers=True)
    for _ in range(5):
        bench.right(b"/large")
        bench.read_small(b"/small")
    done = threading.Event()
    while not done.wait(0.001):
        if bench.source.counters()["cache_pages"] == LARGE // PAGE + 2 and not bench.store.held:
            done.set()
    before = bench.memory.bytes_read
    bench.right(b"/large")
    assert bench.memory.bytes_read == before


def test_what_is_still_to_be_written_when_the_mount_ends(
    benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is written before the directory is given up."""
    bench = benches(writers=True)
    go_on = slow_writes(bench, monkeypatch)
    threading.Timer(0.1, go_on.set).start()
    bench.source.close()
    again = benches()
    before = again.memory.bytes_read
    again.right(b"/large")
    assert again.memory.bytes_read == before


def test_a_disk_that_hangs_when_the_mount_ends(benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not waited for without end, and the directory stays locked."""
    monkeypatch.setattr("alluxio_jnifuse.cache.place._CLOSING_S", 0.1)
    bench = benches(writers=True)
    go_on = slow_writes(bench, monkeypatch)
    bench.source.close()
    with pytest.raises(MountError, match="another mount"):
        Bench(bench.directory)
    go_on.set()


def test_a_store_that_hangs_while_it_is_closed(benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """Is left behind, as one that hangs before."""
    monkeypatch.setattr("alluxio_jnifuse.cache.place._CLOSING_S", 0.1)
    monkeypatch.setattr("alluxio_jnifuse.cache.place._STORE_CLOSING_S", 0.1)
    bench = benches()
    bench.right(b"/large")
    go_on = threading.Event()
    real = bench.store.close
    monkeypatch.setattr(bench.store, "close", lambda: (go_on.wait(), real()))
    bench.source.close()
    with pytest.raises(MountError, match="another mount"):
        Bench(bench.directory)
    go_on.set()


def slow_writes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Reads the large file, which is written when the event is set."""
    go_on = threading.Event()
    opened = bench.open(b"/large")
    honest = opened.handle.held.write

    def slowly(*arguments: Any) -> None:
        go_on.wait(WAIT_S)
        honest(*arguments)

    monkeypatch.setattr(opened.handle.held, "write", slowly)
    bench.source.read_into(opened.handle, 0, memoryview(bytearray(LARGE)), lambda n: None)
    bench.source.close_file(opened.handle)
    return go_on


def test_the_budget_is_kept(benches: Callable[..., Bench], tmp_path: Path) -> None:
    """Many times more is read than there is room for, by several at once; all of it is right."""
    bench = benches(limit=8 * MIB)
    bench.memory.replace(b"/many", {b"%d" % i: Pattern(300_000 + i) for i in range(100)})

    def read(seed: int) -> None:
        order = random.Random(seed)
        for _ in range(100):
            if order.random() < 0.2:
                first = order.randrange(LARGE // 4096)
                bench.right(b"/large", first * 4096, min(MIB, LARGE - first * 4096))
            else:
                bench.right(b"/many/%d" % order.randrange(100))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < bench.source.counters()["cache_disk_used_bytes"] <= 8 * MIB
    assert used_by(tmp_path) <= 8 * MIB
    assert bench.source.counters()["cache_corrupt_granules"] == 0


def until(condition: Callable[[], Any], what: str) -> None:
    """Waits until a condition is fulfilled."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


class Broken(Store):
    """Fails, or hangs in, everything that is asked of it."""

    def __init__(self, how: Callable[[], object]) -> None:
        super().__init__()
        self._how = how

    def restore(self) -> None: ...

    def hold(self, digest: bytes, size: int = -1) -> StoredFile:
        self._how()
        raise OSError(errno.EIO, "broken")

    def give_space(self, size: int) -> None: ...

    def keep_births(self) -> None: ...

    def expire(self, age: float) -> bool:
        return False

    def figures(self) -> Figures:
        return Figures(0, 0, 0, 0)

    def close(self) -> None: ...


def test_a_store_that_fails_is_no_store(bench: Bench) -> None:
    """Every read is right, and after some failures it is not asked any more."""
    bench.place.store = Broken(lambda: None)
    for _ in range(20):
        bench.right(b"/large", 0, MIB)
        assert bench.read_small(b"/small") == bench.memory.content(b"/small", 0, 10_000)
    assert 8 <= bench.source.counters()["cache_errors"] <= 4 * 8  # of each kind of work


def test_a_store_that_hangs_is_no_store(benches: Callable[..., Bench]) -> None:
    """The first read waits for the timeout, the others do not; nothing that hangs writes into a reader's bytes."""
    bench = benches(timeout=0.1)
    hang = threading.Event()
    bench.place.store = Broken(lambda: hang.wait(WAIT_S))
    try:
        for _ in range(20):
            bench.right(b"/large", 0, MIB)
        assert bench.source.counters()["cache_timeouts"] == 1
    finally:
        hang.set()


def test_a_store_that_hangs_in_mid_read(benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever read what is stored goes on with the source; what hung ends in memory of its own."""
    monkeypatch.setattr(guard_module, "_PAUSE_S", 0.0)
    bench = benches(timeout=0.2)
    bench.right(b"/large", 0, MIB)
    opened = bench.open(b"/large")
    hang, entered = threading.Event(), threading.Event()
    held = opened.handle.held
    honest = held.read_into

    def slowly(offset: int, buffer: memoryview) -> int:
        entered.set()
        hang.wait(WAIT_S)
        buffer[:] = b"?" * len(buffer)
        return honest(offset, buffer)

    monkeypatch.setattr(held, "read_into", slowly)
    buffer = bytearray(MIB)
    assert bench.source.read_into(opened.handle, 0, memoryview(buffer), lambda n: None) == MIB
    assert entered.is_set()
    hang.set()
    assert bytes(buffer) == bench.memory.content(b"/large", 0, MIB)
    bench.source.close_file(opened.handle)
    assert bytes(buffer) == bench.memory.content(b"/large", 0, MIB)


def test_files_are_let_go_while_the_store_is_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of it, and nobody waits."""
    opened = bench.open(b"/large")
    monkeypatch.setattr(bench.place._guard, "_closed_until", float("inf"))
    monkeypatch.setattr(bench.place._guard, "_pause_s", 1.0)
    bench.source.close_file(opened.handle)
    until(lambda: not bench.store.held, "the file to be let go")


def test_what_hangs_keeps_its_file_open(benches: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that was given up goes on when everybody else has let go: its descriptors are still those of its file."""
    bench = benches(timeout=0.2)
    opened = bench.open(b"/large")
    held = opened.handle.held
    hang, honest = threading.Event(), held._put

    def slowly(offset: int, data: memoryview) -> int:
        hang.wait(WAIT_S)
        return honest(offset, data)

    monkeypatch.setattr(held, "_put", slowly)
    bench.source.read_into(opened.handle, 0, memoryview(bytearray(MIB)), lambda n: None)
    bench.source.close_file(opened.handle)
    assert held.refs
    hang.set()
    until(lambda: not bench.store.held, "the file to be let go")
    assert bench.store.figures().pages == MIB // PAGE


def test_an_error_of_the_disk_in_mid_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sector that cannot be read: the rest of each READ comes from the source, at once."""
    bench.right(b"/large")
    bench.source.passthrough = False

    def bad(fd: int, buffers: list[memoryview], offset: int) -> int:
        if offset <= 2 * MIB < offset + len(buffers[0]):
            raise OSError(errno.EIO, "bad sector")
        return honest(fd, buffers, offset)

    honest = os.preadv
    monkeypatch.setattr(os, "preadv", bad)
    for _ in range(3):
        bench.right(b"/large")
    assert bench.memory.bytes_read <= LARGE + 3 * (LARGE - MIB)


def test_bytes_that_were_read_before_they_were_disowned(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another read of the same version finds out; what the first one has is not stored any more."""
    opened = bench.open(b"/large")
    digest = opened.handle.digest

    def then_disowned(handle: object, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        n = honest(handle, offset, buffer, progress)
        bench.place.disown(digest)
        return n

    honest = bench.memory.read_into
    with monkeypatch.context() as patch:
        patch.setattr(bench.memory, "read_into", then_disowned)
        bench.source.read_into(opened.handle, 0, memoryview(bytearray(MIB)), lambda n: None)
    bench.source.close_file(opened.handle)
    until(lambda: not bench.store.is_disowned(digest), "what was stored to be dropped")
    assert bench.store.figures().pages == 0
    bench.right(b"/large")
    bench.right(b"/large")
    assert bench.store.figures().pages == LARGE // PAGE + 1


def test_small_islands_are_fetched_with_what_is_around_them(bench: Bench) -> None:
    """Every other granule is stored: that is one call of the source, not one for each gap."""
    for first in range(0, 256, 2):
        bench.right(b"/large", first * 4096, 4096)
    before = bench.memory.calls["read"]
    bench.right(b"/large", 0, MIB)
    assert bench.memory.calls["read"] - before <= 2


def test_a_source_that_tells_no_progress(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its readers do not wait until what they read has been stored."""
    order: list[str] = []

    def silent(handle: object, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        return honest(handle, offset, buffer, lambda n: None)

    honest, keep = bench.memory.read_into, bench.place.keep
    monkeypatch.setattr(bench.memory, "read_into", silent)
    monkeypatch.setattr(bench.place, "keep", lambda *args: (order.append("kept"), keep(*args)))
    opened = bench.open(b"/large")
    bench.source.read_into(opened.handle, 0, memoryview(bytearray(MIB)), lambda n: order.append(f"told {n}"))
    bench.source.close_file(opened.handle)
    assert order == [f"told {MIB}", "kept"]


def test_without_passthrough_nothing_is_lent(bench: Bench) -> None:
    """Reads of a lent file would then be made by threads that serve everybody, unguarded."""
    bench.source.passthrough = False
    for _ in range(2):
        bench.right(b"/large")
    assert bench.source.counters()["cache_lent_files"] == 0
    assert bench.memory.bytes_read == LARGE


def test_files_are_spread_by_budget(tmp_path: Path) -> None:
    """Two directories, one with three times the room; each file is always looked for in the same one."""
    stores = []
    for name, limit in (("a", 16 * MIB), ("b", 48 * MIB)):
        store = LocalStore(str(tmp_path / name), limit, PAGE, make_evictor("LRUCacheEvictor"))
        store.restore()
        stores.append(store)
    memory = MemorySource({b"%d" % i: Pattern(5000) for i in range(400)})
    source = CachedSource(memory, "memory \udcff", [Place(store, Guard("disk", 0, 1)) for store in stores])
    for _ in range(2):
        for i in range(400):
            path = b"/%d" % i
            opened = source.open(path, memory.stat(path).version)
            for extent in opened.extents:
                os.close(extent.fd)
            if not opened.extents:
                source.read_into(opened.handle, 0, memoryview(bytearray(5000)), lambda n: None)
            source.close_file(opened.handle)
    assert memory.bytes_read == 400 * 5000
    small, large = (store.figures().pages for store in stores)
    assert 60 <= small <= 140
    assert small + large == 400
    source.close()
