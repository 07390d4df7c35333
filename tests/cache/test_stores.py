"""What every store of the client cache must do (cache/store.py)."""

from __future__ import annotations

import errno
import os
import random
import threading
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from stores import EVICTORS, LIMIT, MIB, PAGE, SIZES, close_all, contents, digest, open_store, read, right_bytes, write

from alluxio_jnifuse._wire import SUM_BYTES
from alluxio_jnifuse.cache.local.store import LocalStore
from alluxio_jnifuse.cache.store import Store
from alluxio_jnifuse.errors import MountError

Opening = Callable[..., Store]


@pytest.fixture
def opening(kind: str, directory: Path) -> Opening:
    """Opens stores in one directory, one after the other: each call closes the one before."""

    def make(**options: Any) -> Store:
        close_all()
        return open_store(kind, directory, **options)

    return make


# ---------------------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_read(opening: Opening, size: int) -> None:
    """At once, by those who do not know the size, and after a restart."""
    store = opening()
    write(store, "a", size)
    for _ in range(2):
        held = store.hold(digest("a"))
        assert held.size == size
        assert held.is_complete()
        assert read(held, 0, size) == contents("a", size)
        held.release()
        assert store.figures().pages == (size + PAGE - 1) // PAGE
        store = opening()
    assert store.counts.restored == store.figures().pages
    assert store.counts.corrupt == store.counts.discarded == 0


@pytest.mark.parametrize("seed", range(4))
def test_pieces_in_any_order(opening: Opening, seed: int) -> None:
    """Compared with a set of granules, while ranges are written over each other, and across restarts."""
    rng = random.Random(seed)
    size = 5 * PAGE + rng.randrange(PAGE)
    count = (size + SUM_BYTES - 1) // SUM_BYTES
    expected, there = contents("a", size), set[int]()
    store = opening()
    for step in range(60):
        first = rng.randrange(count)
        end = min(count, first + rng.choice((1, 2, 7, 16, 40)))
        write(store, "a", size, first * SUM_BYTES, (end - first) * SUM_BYTES)
        there.update(range(first, end))
        if step % 20 == 19:
            store = opening()
        held = store.hold(digest("a"), size)
        at = rng.randrange(count)
        missing = next((granule for granule in range(at, count) if granule not in there), count)
        got = read(held, at * SUM_BYTES, size)
        assert got == expected[at * SUM_BYTES : missing * SUM_BYTES]
        if missing == at < count:
            assert held.gap_end(at * SUM_BYTES, size) == gap_end(there, at, count, size)
        assert not held.is_empty
        assert held.is_complete() == (len(there) == count)
        held.release()


def gap_end(there: set[int], first: int, count: int, size: int) -> int:
    """Where the first stored run begins that is worth a request, or is the last."""
    missing = [granule for granule in range(first, count) if granule not in there]
    for one, other in zip(missing, [*missing[1:], count]):
        stored = other - one - 1
        if stored and (stored * SUM_BYTES >= 256 << 10 or other == count):
            return (one + 1) * SUM_BYTES
    return size


@pytest.mark.parametrize("size", [1 << 43, 1 << 62])
def test_a_file_that_is_said_to_be_very_long(opening: Opening, size: int) -> None:
    """It takes memory for what is stored of it, whoever says that there is more; and no time for the rest."""
    data = memoryview(contents("a", PAGE))
    far = (1 << 42) + PAGE
    tracemalloc.start()
    try:
        store = opening()
        held = store.hold(digest("a"), size)
        try:
            for offset in (0, far):
                held.write(offset, data, 0)
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            pytest.skip("no file of this file system can be that long")
        finally:
            held.release()
        store = opening()
        assert store.counts.restored == store.figures().pages == 2
        held = store.hold(digest("a"), size)
        for offset in (0, far):
            assert read(held, offset, PAGE) == data
        assert not held.is_complete()
        assert held.lend() is None
        held.drop()
        held.release()
        assert store.figures().pages == 0
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


def test_a_read_past_the_end(opening: Opening) -> None:
    """It ends where the file does."""
    store = opening()
    write(store, "a", PAGE + 5)
    held = store.hold(digest("a"))
    assert read(held, 0, 2 * PAGE) == contents("a", PAGE + 5)
    assert read(held, PAGE, PAGE) == contents("a", PAGE + 5)[PAGE:]
    assert read(held, 2 * PAGE, PAGE) == b""
    held.release()


def test_nothing_is_stored(opening: Opening) -> None:
    """Of a file that nobody has written, or that has no bytes."""
    held = opening().hold(digest("a"))
    assert held.size == -1
    assert held.is_empty
    assert not held.is_complete()
    assert held.lend() is None
    assert read(held, 0, PAGE) == b""
    held.release()


def test_files_do_not_answer_for_each_other(opening: Opening) -> None:
    """Neither one of another digest, nor the same one when it was of another size."""
    store = opening()
    write(store, "a", PAGE)
    for name, size in (("b", PAGE), ("a", PAGE + SUM_BYTES)):
        held = store.hold(digest(name), size)
        assert read(held, 0, PAGE) == b""
        assert held.gap_end(0, size) == size
        assert not held.is_complete()
        held.release()


def test_what_is_dropped_is_gone(opening: Opening) -> None:
    """For those who hold it, and after a restart; others stay."""
    store = opening()
    write(store, "a", 3 * PAGE)
    write(store, "b", 3 * PAGE)
    store = opening()
    held = store.hold(digest("a"))
    held.drop()
    assert read(held, 0, PAGE) == b""
    held.release()
    for _ in range(2):
        assert right_bytes(store, "a", 3 * PAGE) == 0
        assert right_bytes(store, "b", 3 * PAGE) == 3 * PAGE
        store = opening()


def test_what_is_disowned_is_not_used(opening: Opening) -> None:
    """From then on, on the disk as well; nor is what somebody began to read before."""
    store = opening()
    write(store, "a", 2 * PAGE)
    held = store.hold(digest("a"), 2 * PAGE)
    before = store.generation(digest("a"))
    store.disown(digest("a"))
    assert read(held, 0, PAGE) == b""
    assert not held.is_complete()
    held.write(0, memoryview(contents("a", 2 * PAGE)), store.generation(digest("a")))
    store.drop_disowned(digest("a"))
    held.release()
    assert store.figures().pages == 0
    held = store.hold(digest("a"), 2 * PAGE)
    held.write(0, memoryview(contents("a", 2 * PAGE)), before)
    assert read(held, 0, PAGE) == b""
    held.release()
    assert right_bytes(opening(), "a", 2 * PAGE) == 0
    write(opening(), "a", 2 * PAGE)
    assert right_bytes(opening(), "a", 2 * PAGE) == 2 * PAGE


def test_what_is_disowned_goes_as_a_whole(opening: Opening) -> None:
    """Also when its beginning is not stored, and nobody says how large it is."""
    store = opening()
    write(store, "a", 5 * PAGE, 2 * PAGE)
    store.disown(digest("a"))
    store.drop_disowned(digest("a"))
    for _ in range(2):
        assert store.figures().pages == right_bytes(store, "a", 5 * PAGE) == 0
        store = opening()


def test_nothing_new_before_it_is_known_what_is_there(opening: Opening) -> None:
    """Budgets would not be kept."""
    store = opening(restore=False)
    write(store, "a", PAGE)
    assert right_bytes(store, "a", PAGE) == 0
    store.restore()
    write(store, "a", PAGE)
    assert right_bytes(store, "a", PAGE) == PAGE


# --------------------------------------------------------------------------------------------------- what goes when


def kept(store: Store, names: range, size: int = PAGE) -> set[int]:
    """Those that are there as a whole; looking does not count as reading."""

    def is_complete(name: int) -> bool:
        held = store.hold(digest(name))
        try:
            return held.is_complete()
        finally:
            held.release()

    return {name for name in names if is_complete(name)}


@pytest.mark.parametrize(
    ("evictor", "stay"),
    [("FIFOCacheEvictor", False), ("LRUCacheEvictor", True), ("LFUCacheEvictor", True)],
)
def test_evictors_decide(opening: Opening, evictor: str, stay: bool) -> None:
    """Files that are read all the time stay, or go when they are the oldest."""
    store = opening(evictor=evictor)
    hot, n = range(0, 100, 10), 2 * LIMIT // PAGE
    for name in range(n):
        write(store, name, PAGE)
        if name % 10 == 9:
            for other in hot:
                right_bytes(store, other, PAGE)
    found = kept(store, range(n))
    assert (found & set(hot) == set(hot)) == stay
    assert len(found) == store.figures().pages >= 0.6 * LIMIT / PAGE
    assert n - 1 in found
    assert store.figures().evicted > 0


@pytest.mark.parametrize("evictor", EVICTORS)
def test_a_smaller_budget_after_a_restart(opening: Opening, evictor: str) -> None:
    """What is beyond it goes."""
    store = opening(limit=2 * LIMIT, evictor=evictor)
    for name in range(20):
        write(store, name, MIB)
    assert kept(store, range(20)) == set(range(20))
    store = opening(evictor=evictor)
    assert 0 < store.figures().used <= store.figures().limit <= LIMIT
    assert sum(right_bytes(store, name, MIB) for name in range(20)) > LIMIT / 2


def test_room_is_made_on_demand(opening: Opening) -> None:
    """As when somebody else has filled the disk."""
    store = opening()
    write(store, "a", 2 * MIB)
    before = store.figures()
    store.give_space(MIB)
    after = store.figures()
    assert before.used - after.used >= MIB
    assert after.pages == before.pages - (after.evicted - before.evicted) > 0
    assert right_bytes(store, "a", 2 * MIB) == after.pages * PAGE


def test_pages_have_a_time_to_live(opening: Opening) -> None:
    """It begins when they are written, or found at a start."""
    store = opening()
    write(store, "a", 2 * PAGE)
    store = opening(restore=False)
    store.keep_births()
    store.restore()
    write(store, "b", 2 * PAGE)
    assert not store.expire(60.0)
    assert store.figures().pages == 4
    while store.expire(0.0):
        pass
    assert store.figures()[:2] == (0, 0)
    assert right_bytes(store, "a", 2 * PAGE) == right_bytes(store, "b", 2 * PAGE) == 0


def test_lent_files_stay_whole(opening: Opening, kind: str) -> None:
    """The kernel has a file open that is complete: none of its pages goes before it is taken back."""
    store = opening()
    write(store, "a", MIB)
    held = store.hold(digest("a"))
    fd = held.lend()
    if kind == "ROCKS":
        assert fd is None
        held.release()
        return
    assert fd is not None
    store.give_space(MIB)
    for name in range(20):
        write(store, name, MIB)
    assert os.pread(fd, 2 * MIB, 0) == contents("a", MIB)
    held.take_back()
    held.release()
    os.close(fd)
    store.give_space(2 * LIMIT)
    assert store.figures()[:2] == (0, 0)
    assert isinstance(store, LocalStore)


# ---------------------------------------------------------------------------------------------------------- threads


@pytest.mark.stress
def test_many_threads(opening: Opening) -> None:
    """They write, read, evict and drop the same files and others; every byte that is found is right."""
    store = opening(limit=LIMIT, evictor="LRUCacheEvictor")
    sizes = dict(enumerate((1, 5000, PAGE, 3 * PAGE + 1, MIB, 2 * MIB + 77) * 6))
    failures: list[BaseException] = []
    found = [0]

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(400):
            name = rng.randrange(len(sizes))
            size = sizes[name]
            first = rng.randrange(size) // SUM_BYTES * SUM_BYTES
            length = rng.choice((SUM_BYTES, PAGE, MIB))
            action = rng.random()
            if action < 0.45:
                write(store, name, size, first, length)
            elif action < 0.9:
                held = store.hold(digest(name), size)
                got = read(held, first, min(length, size - first))
                held.release()
                assert got == contents(name, size)[first : first + len(got)]
                found[0] += len(got)
            elif action < 0.96:
                store.give_space(PAGE)
            else:
                held = store.hold(digest(name), size)
                held.drop()
                held.release()

    def guarded(seed: int) -> None:
        try:
            work(seed)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=partial(guarded, seed)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert found[0] > 0
    assert store.counts.corrupt == 0
    assert 0 <= store.figures().used <= store.figures().limit + 8 * MIB
    store = opening()
    assert store.counts.discarded == store.counts.corrupt == 0
    for name, size in sizes.items():
        right_bytes(store, name, size)
    assert store.counts.corrupt == 0


# -------------------------------------------------------------------------------------------------------- directories


def test_one_store_at_a_time(opening: Opening, kind: str, directory: Path) -> None:
    """The second one is told who has the directory."""
    opening()
    with pytest.raises(MountError, match=f"process {os.getpid()}"):
        open_store(kind, directory)


def test_a_directory_of_another_format_is_emptied(opening: Opening, kind: str, directory: Path) -> None:
    """And nothing beside it."""
    write(opening(), "a", PAGE)
    own = directory / "alluxio-jnifuse" / kind
    (directory / "foreign").write_text("somebody else's")
    opening().close()
    (own / "format").write_text("alluxio-jnifuse client cache, a later one")
    (own / "leftover").mkdir()
    store = opening()
    assert store.figures().pages == right_bytes(store, "a", PAGE) == 0
    assert not (own / "leftover").exists()
    assert (directory / "foreign").exists()


@pytest.mark.parametrize("form", ["", "a cache of another program\n"])
def test_a_directory_that_is_not_ours_is_left_alone(kind: str, directory: Path, form: str) -> None:
    """Whatever its names look like, and wherever it came from."""
    own = directory / "alluxio-jnifuse" / kind
    kept = own / "ab" / f"ab{'0' * 30}"
    kept.parent.mkdir(parents=True)
    kept.write_text("somebody else's")
    if form:
        (own / "format").write_text(form)
    with pytest.raises(MountError, match="not emptied"):
        open_store(kind, directory)
    assert kept.read_text() == "somebody else's"


@pytest.mark.parametrize("left", ["format.new", "lock"])
def test_a_process_that_was_killed_in_the_middle_of_making_it(
    opening: Opening, kind: str, directory: Path, left: str
) -> None:
    """The next one goes on."""
    own = directory / "alluxio-jnifuse" / kind
    own.mkdir(parents=True)
    (own / left).write_text("")
    write(opening(), "a", PAGE)


@pytest.mark.parametrize("kind", ["LOCAL"])
def test_bytes_that_a_killed_process_has_not_summed(opening: Opening, kind: str, directory: Path) -> None:
    """They are given back; the rest of the file stays, and is counted."""
    size = 8 * PAGE
    write(opening(), "a", size, 4 * PAGE, PAGE)
    opening().close()
    (data,) = (path for path in directory.rglob("*") if path.is_file() and path.stat().st_size == size)
    for lost in (0, 6):  # before what is known, and behind it
        with open(data, "r+b") as file:
            file.seek(lost * PAGE)
            file.write(bytes([1]) * PAGE)
        store = opening()
        assert store.figures().pages == 1
        assert right_bytes(store, "a", size) == PAGE
        held = store.hold(digest("a"))
        assert list(held.pages_on_disk()) == [4]  # type: ignore[attr-defined]
        held.release()
    held = store.hold(digest("a"))
    held.drop()
    held.release()
    assert store.figures().used == 0


def test_what_is_cached_is_for_its_user_alone(opening: Opening, kind: str, directory: Path) -> None:
    """Also where the directory was made by a careless hand."""
    own = directory / "alluxio-jnifuse" / kind
    own.mkdir(parents=True)
    own.chmod(0o755)
    write(opening(), "a", PAGE)
    assert own.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_used(kind: str, directory: Path) -> None:
    """The error names the property."""
    (directory / "file").write_bytes(b"")
    with pytest.raises(MountError, match=r"client\.cache\.dirs"):
        open_store(kind, directory / "file")


def test_files_outlive_their_store(opening: Opening) -> None:
    """What they are asked is an error, or not there."""
    store = opening()
    write(store, "a", PAGE)
    held = store.hold(digest("a"))
    store.close()
    store.close()
    for use in (lambda: held.write(0, memoryview(contents("a", PAGE)), 0), held.drop, lambda: store.hold(digest("b"))):
        try:
            use()
        except OSError:
            pass
    assert right_or_error(lambda: read(held, 0, PAGE)) in (b"", contents("a", PAGE))
    held.release()


def right_or_error(read_it: Callable[[], bytes]) -> bytes:
    try:
        return read_it()
    except OSError:
        return b""
