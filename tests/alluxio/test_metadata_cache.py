"""What is remembered of paths, for how long, and in how much memory."""

from __future__ import annotations

import gc
import random
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from infos import directory_info, file_info, files

from alluxio_jnifuse.sources.alluxio.metadata import cache as metadata_module
from alluxio_jnifuse.sources.alluxio.metadata import status as status_module
from alluxio_jnifuse.sources.alluxio.metadata.cache import MISSING, MetadataCache, Missing
from alluxio_jnifuse.sources.alluxio.metadata.owners import Owners
from alluxio_jnifuse.sources.alluxio.metadata.status import Addresses, FileStatus, attr, from_info
from alluxio_jnifuse.sources.alluxio.proto.file_pb2 import FileInfo
from alluxio_jnifuse.sources.base import ENTRY_DTYPE, Listing

OWNERS = Owners(1, 2)
EXPIRE_S = 100.0


def cache(max_entries: int = 1000) -> MetadataCache:
    return MetadataCache(max_entries, EXPIRE_S)


def status(path: str, number: int = 1, **fields: Any) -> FileStatus:
    return from_info(file_info(path, number, **fields), Addresses())


def entries(listing: Listing) -> dict[bytes, tuple[int, ...]]:
    """The attributes in a listing by name, read as the core reads them."""
    array = np.frombuffer(listing.entries, ENTRY_DTYPE)
    rows = [row.tolist() for row in array]
    found = {listing.names[row[-2] : row[-2] + row[-1]]: tuple(row[:-2]) for row in rows}
    assert len(found) == len(rows)
    return found


# ------------------------------------------------------------------------------------------------------------ listings


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.lists(files(), max_size=8), st.integers(0, 8), st.sampled_from((1, 0xFFFF)))
def test_a_listing_is_what_its_entries_are(infos: list[FileInfo], cut: int, rows: int) -> None:
    """For the core, and when one of them is looked up, as if each had been asked for alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(status_module, "_ROWS_MAX", rows)
        store = cache()
        listing = store.put_listing(b"/d", [infos[:cut], infos[cut:]], OWNERS, 1.0)
        first: dict[bytes, FileStatus] = {}
        for info in infos:
            first.setdefault(info.name.encode(), from_info(info, Addresses()))
        found = entries(listing)
        assert [*found] == sorted(first)
        assert found == {name: tuple(attr(expected, OWNERS)) for name, expected in first.items()}
        for name, expected in first.items():
            assert store.get(b"/d/" + name, 2.0) == (expected if expected.completed else None)
        assert store.size() == len(first) + 1


def _block(info: FileInfo) -> Any:
    return info.fileBlockInfos[0].blockInfo


ODD = {
    "another id": lambda info: setattr(info, "fileId", info.fileId + (1 << 24)),
    "another first block": lambda info: (info.blockIds.__setitem__(0, 5), setattr(_block(info), "blockId", 5)),
    "another described": lambda info: setattr(_block(info), "blockId", 5),
    "shorter block": lambda info: setattr(_block(info), "length", 7),
    "two blocks": lambda info: info.blockIds.append(5),
    "described twice": lambda info: setattr(info.fileBlockInfos.add().blockInfo, "blockId", info.blockIds[0]),
    "empty with a block": lambda info: setattr(info, "length", 0),
    "longer than a block": lambda info: setattr(info, "length", info.blockSizeBytes + 1),
    "nameless worker": lambda info: setattr(_block(info).locations[0], "workerId", 0),
    "no worker": lambda info: _block(info).ClearField("locations"),
    "never read": lambda info: info.ClearField("lastAccessTimeMs"),
    "before the epoch": lambda info: setattr(info, "lastModificationTimeMs", -1),
    "elsewhere": lambda info: setattr(info, "ufsPath", "oss://other/x"),
    "of somebody else": lambda info: setattr(info, "owner", "bob"),
    "incomplete": lambda info: setattr(info, "completed", False),
}


@pytest.mark.parametrize("oddity", ODD)
def test_one_among_many_that_are_alike(oddity: str) -> None:
    """What most files of a directory share is not taken for its."""
    infos = [file_info(f"/d/{number}", number + 1, 1000, (number % 2, 3)) for number in range(6)]
    for info in infos[2:4]:
        ODD[oddity](info)
    store = cache()
    found = entries(store.put_listing(b"/d", [infos], OWNERS, 1.0))
    for info in infos:
        expected = from_info(info, Addresses())
        assert found[info.name.encode()] == tuple(attr(expected, OWNERS))
        assert store.get(info.path.encode(), 2.0) == (expected if info.completed else None)


def test_more_workers_than_can_be_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that they hold are kept in full."""
    monkeypatch.setattr(status_module, "_ROWS_MAX", 1)
    store = cache()
    infos = [file_info(f"/d/{n}", n + 1, 1000, holders) for n, holders in enumerate(((0,), (1,), (0, 1), (1,), (0,)))]
    store.put_listing(b"/d", [infos], OWNERS, 1.0)
    for info in infos:
        assert store.get(info.path.encode(), 2.0) == from_info(info, Addresses())


def test_under_store_paths_of_a_listing() -> None:
    """A prefix that fits one file by chance is not that of the next one."""
    store = cache()
    store.put(b"/elsewhere/z", status("/elsewhere/z", ufsPath="oss://bucket/p/z"), 1.0)
    infos = [file_info(f"/d/{name}", ufsPath=f"oss://bucket/{name}") for name in ("p", "q")]
    store.put_listing(b"/d", [infos], OWNERS, 1.0)
    for info in infos:
        assert store.get(info.path.encode(), 2.0) == from_info(info, Addresses())


def test_directories_among_many_that_are_alike() -> None:
    """None of them is a file, the empty ones either."""
    infos = [directory_info(f"/d/{number}", number + 1) for number in range(4)]
    infos[2].length = infos[3].length = 0
    found = entries(cache().put_listing(b"/d", [infos], OWNERS, 1.0))
    assert {entry[1] for entry in found.values()} == {4096}


def test_a_listing_of_thousands() -> None:
    """Each name is found, and none that is not there."""
    store = cache(10_000)
    names = [f"f{number}" for number in range(3000)]
    random.Random(1).shuffle(names)
    store.put_listing(b"/", [[file_info(f"/{name}", int(name[1:]) + 1) for name in names]], OWNERS, 1.0)
    for name in names:
        found = store.get(f"/{name}".encode(), 2.0)
        assert isinstance(found, FileStatus)
        assert (found.name, found.ufs_path) == (name, f"oss://bucket/data/{name}")
        assert store.get(f"/{name}x".encode(), 2.0) is None
    assert store.get(b"/", 2.0) is None


def test_a_listing_is_given_as_it_is() -> None:
    """Nothing is copied or converted when it is asked for again."""
    store = cache()
    given_ = store.put_listing(b"/d", [[file_info("/d/f")]], OWNERS, 1.0)
    found = store.get_listing(b"/d", 2.0)
    assert found is not None
    assert found.entries is given_.entries
    assert found.names is given_.names


@pytest.mark.parametrize("batches", [[], [[]]])
def test_an_empty_directory(batches: list[list[FileInfo]]) -> None:
    """Masters send nothing, or an empty message."""
    store = cache()
    store.put_listing(b"/d", batches, OWNERS, 1.0)
    assert store.get_listing(b"/d", 2.0) == Listing(b"", b"")
    assert store.get(b"/d/f", 2.0) is None


def test_a_file_is_no_directory() -> None:
    """Masters list a file as the one entry of itself; a directory may hold a file of its own name."""
    store = MetadataCache(1000, EXPIRE_S, "/top")
    with pytest.raises(NotADirectoryError):
        store.put_listing(b"/a/f", [[file_info("/top/a/f")]], OWNERS, 1.0)
    assert store.size() == 0
    assert [*entries(store.put_listing(b"/a/f", [[file_info("/top/a/f/f")]], OWNERS, 1.0))] == [b"f"]


def test_a_listing_that_breaks_off_is_not_kept() -> None:
    """And the error passes."""
    store = cache()

    def batches() -> Iterator[Sequence[FileInfo]]:
        yield [file_info("/d/f")]
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        store.put_listing(b"/d", batches(), OWNERS, 1.0)
    assert store.size() == 0


def test_a_listing_that_is_too_large() -> None:
    """It is given, but drives nothing else out; the older one of the same directory is forgotten."""
    store = cache(5)
    store.put(b"/x", status("/x"), 1.0)
    store.put_listing(b"/d", [[file_info("/d/f")]], OWNERS, 1.0)
    many = [file_info(f"/d/{number}", number + 1) for number in range(5)]
    assert len(entries(store.put_listing(b"/d", [many], OWNERS, 2.0))) == 5
    assert store.get_listing(b"/d", 3.0) is None
    assert store.get(b"/x", 3.0) is not None
    store.put_listing(b"/d", [many[:4]], OWNERS, 2.0)
    assert store.get_listing(b"/d", 3.0) is not None


# --------------------------------------------------------------------------------------------------------- single rules


def test_what_a_newer_listing_says_counts() -> None:
    """What was looked up before is forgotten when it is not listed, and not used when it is."""
    store = cache()
    for name in ("gone", "new"):
        store.put(f"/d/{name}".encode(), status(f"/d/{name}", 1), 1.0)
    store.put_missing(b"/d/made", 1.0)
    listed = [file_info("/d/new", 2), file_info("/d/made", 3)]
    store.put_listing(b"/d", [listed], OWNERS, 2.0)
    assert store.get(b"/d/gone", 3.0) is None
    for info in listed:
        assert store.get(info.path.encode(), 3.0) == from_info(info, Addresses())
    again = status("/d/new", 4)
    store.put(b"/d/new", again, 3.0)
    assert store.get(b"/d/new", 4.0) == again
    store.put_missing(b"/d/new", 4.0)
    assert store.get(b"/d/new", 5.0) is MISSING
    assert store.get(b"/d/new", 2.0 + EXPIRE_S, 97.0) is None


def test_answers_that_come_late() -> None:
    """An answer does not replace one to a later question."""
    store = cache()
    store.put(b"/f", status("/f", 2), 2.0)
    store.put(b"/f", status("/f", 1), 1.0)
    store.put_listing(b"/", [[file_info("/new")]], OWNERS, 2.0)
    store.put_listing(b"/", [[file_info("/old")]], OWNERS, 1.0)
    assert store.get(b"/f", 3.0) == status("/f", 2)
    assert store.get(b"/old", 3.0) is None


def test_an_incomplete_file_is_asked_for_each_time() -> None:
    """Its length is not known before somebody has written all of it."""
    store = cache()
    store.put(b"/f", status("/f"), 1.0)
    store.put(b"/f", status("/f", completed=False), 2.0)
    assert store.get(b"/f", 3.0) is None
    assert store.size() == 0


def test_an_answer_from_before_a_drop_is_not_kept() -> None:
    """It may tell what was dropped; the one who asked gets it all the same."""
    store = cache()
    store.drop(b"/elsewhere", 2.0)
    store.put(b"/f", status("/f"), 2.0)
    store.put_missing(b"/g", 1.0)
    assert [*entries(store.put_listing(b"/d", [[file_info("/d/f")]], OWNERS, 1.0))] == [b"f"]
    assert store.size() == 0
    store.put(b"/f", status("/f"), 2.5)
    assert store.get(b"/f", 3.0) is not None


def test_a_drop_reaches_below_and_not_beside() -> None:
    """The path, all beneath it, and the listing that shows it; not what merely begins alike."""
    store = cache()
    kept = (b"/a", b"/ab", b"/a/bc", b"/a/b.d", b"/c/a/b")
    for path in (*kept, b"/a/b", b"/a/b/c", b"/a/b/c/d"):
        store.put(path, status(path.decode()), 1.0)
    for directory in ("/", "/a", "/a/b", "/a/b/c", "/a/b/x/y", "/a/bc"):
        base = directory.rstrip("/")
        store.put_listing(directory.encode(), [[directory_info(f"{base}/q")]], OWNERS, 1.0)
    store.drop(b"/a/b", 2.0)
    for path in kept:
        assert store.get(path, 3.0) is not None, path
    for path in (b"/a/b", b"/a/b/c", b"/a/b/c/d", b"/a/q", b"/a/b/q", b"/a/b/c/q", b"/a/b/x/y/q"):
        assert store.get(path, 3.0) is None, path
    for path in (b"/q", b"/a/bc/q"):
        assert store.get(path, 3.0) is not None, path
    assert store.size() == len(kept) + 4


def test_what_has_expired_goes() -> None:
    """Without being asked for, a little whenever something is written."""
    store = cache()
    for number in range(10):
        store.put(f"/{number}".encode(), status(f"/{number}"), 1.0)
    store.put_listing(b"/d", [[file_info("/d/f")]], OWNERS, 1.0)
    store.put(b"/new", status("/new"), 1.0 + EXPIRE_S)
    assert store.size() == 1


# ------------------------------------------------------------------------------------------------------ against a model

PATHS = ("/", "/a", "/a/x", "/a/y", "/a/b", "/a/b/x", "/c", "/c/x")
DIRECTORIES = ("/", "/a", "/a/b", "/c")

_STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(PATHS), st.integers(1, 3), st.integers(0, 3)),
    st.tuples(st.just("missing"), st.sampled_from(PATHS), st.just(0), st.integers(0, 3)),
    st.tuples(st.just("incomplete"), st.sampled_from(PATHS), st.just(0), st.integers(0, 3)),
    st.tuples(st.just("list"), st.sampled_from(DIRECTORIES), st.integers(0, 7), st.integers(0, 3)),
    st.tuples(st.just("drop"), st.sampled_from((*PATHS, "/nowhere")), st.just(0), st.just(0)),
    st.tuples(st.just("drop all"), st.just("/"), st.just(0), st.just(0)),
    st.tuples(st.just("wait"), st.just("/"), st.sampled_from((1, 20, 101)), st.just(0)),
)


def children(directory: str) -> list[str]:
    return [path for path in PATHS if path != "/" and (path.rpartition("/")[0] or "/") == directory]


class Model:
    """The rules in their plainest form: all records in the order in which they were written."""

    def __init__(self, max_entries: int) -> None:
        self.max_entries = max_entries
        self.records: list[tuple[str, str, float, Any]] = []  # kind, path, written, status or statuses by path
        self.dropped_at = float("-inf")
        self.outdated: set[str] = set()  # listings that a newer answer contradicts

    def hear(self, path: str, asked: float, answer: FileStatus | None) -> None:
        """An answer about one path; None: there is none."""
        parent = path.rpartition("/")[0] or "/"
        listing = next((record for record in self.records if record[:2] == ("listing", parent) and path != "/"), None)
        if listing is None or listing[2] > asked:
            return
        listed = listing[3].get(path)
        if (listed and listed.file_id) != (answer and answer.file_id):
            self.outdated.add(parent)

    def weight(self) -> int:
        return sum(1 if kind == "single" else 1 + len(what) for kind, _, _, what in self.records)

    def write(self, kind: str, path: str, asked: float, what: Any) -> None:
        known = [record for record in self.records if record[:2] == (kind, path)]
        if known and known[0][2] > asked:
            return
        self.records = [record for record in self.records if record not in known]
        if kind == "listing":
            self.outdated.discard(path)
        too_large = kind == "listing" and len(what) + 1 > self.max_entries
        if what is not None and asked > self.dropped_at and not too_large:
            self.records.append((kind, path, asked, what))
        elif kind == "single":
            return
        while self.weight() > self.max_entries or (self.records and self.oldest()[2] <= asked - EXPIRE_S):
            self.records.remove(self.oldest())

    def oldest(self) -> tuple[str, str, float, Any]:
        heads = [next((r for r in self.records if r[0] == kind), None) for kind in ("single", "listing")]
        return min((head for head in heads if head), key=lambda record: record[2])

    def drop(self, path: str, now: float) -> None:
        self.dropped_at = now
        parent = path.rpartition("/")[0] or "/"
        below = path.rstrip("/") + "/"
        self.records = [
            record
            for record in self.records
            if record[1] != path and not record[1].startswith(below) and record[:2] != ("listing", parent)
        ]

    def get(self, path: str, now: float, max_age: float) -> FileStatus | Missing | None:
        parent = path.rpartition("/")[0] or "/"
        valid = [record for record in self.records if now - record[2] < min(max_age, EXPIRE_S)]
        single = next((record for record in valid if record[:2] == ("single", path)), None)
        listing = next((record for record in valid if record[:2] == ("listing", parent) and path != "/"), None)
        if listing is not None and (single is None or listing[2] > single[2]):
            found: FileStatus | None = listing[3].get(path)
            return found
        return single[3] if single is not None else None


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(_STEPS, max_size=25), st.integers(0, 12))
def test_it_follows_the_rules(steps: list[tuple[str, str, int, int]], max_entries: int) -> None:
    """Whatever is written, dropped and asked for in whatever order, answers late or in time."""
    store, model, now = cache(max_entries), Model(max_entries), 1000.0
    for kind, path, value, late in steps:
        now += 1.0
        asked = now - late
        encoded = path.encode()
        if kind == "put":
            store.put(encoded, status(path, value), asked)
            model.hear(path, asked, status(path, value))
            model.write("single", path, asked, status(path, value))
        elif kind == "missing":
            store.put_missing(encoded, asked)
            model.hear(path, asked, None)
            model.write("single", path, asked, MISSING)
        elif kind == "incomplete":
            store.put(encoded, status(path, completed=False), asked)
            model.hear(path, asked, status(path, completed=False))
            model.write("single", path, asked, None)
        elif kind == "list":
            infos = [file_info(child, value + 4) for i, child in enumerate(children(path)) if value & 1 << i]
            store.put_listing(encoded, [infos], OWNERS, asked)
            model.write("listing", path, asked, {info.path: from_info(info, Addresses()) for info in infos})
        elif kind == "drop":
            store.drop(encoded, now)
            model.drop(path, now)
        elif kind == "drop all":
            store.drop_all(now)
            model.drop("/", now)
        else:
            now += value
        assert store.size() == model.weight()
        for max_age in (None, 3.0):
            for found in PATHS:
                limit = EXPIRE_S if max_age is None else max_age
                assert store.get(found.encode(), now, max_age) == model.get(found, now, limit), found
            for found in DIRECTORIES:
                expected = any(record[:2] == ("listing", found) and now - record[2] < limit for record in model.records)
                listed = store.get_listing(found.encode(), now, max_age, outdated=True)
                assert (listed is not None) == expected
                expected = expected and found not in model.outdated
                assert (store.get_listing(found.encode(), now, max_age) is not None) == expected
    store.drop(b"/a", now)
    store.drop(b"/c", now)
    store.drop(b"/", now)
    assert (store.size(), store._below) == (0, {})


def test_many_at_once() -> None:
    """Threads that write, drop and look up leave it consistent, and see what somebody wrote."""
    store = cache(60)
    problems: list[BaseException] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(400):
                directory = f"/d{rng.randrange(4)}"
                path = f"{directory}/{rng.randrange(12)}"
                now = time.monotonic()
                action = rng.randrange(6)
                if action == 0:
                    store.drop(rng.choice((path, directory)).encode(), now)
                elif action == 1:
                    infos = [file_info(f"{directory}/{number}", number + 1) for number in range(rng.randrange(12))]
                    store.put_listing(directory.encode(), [infos], OWNERS, now)
                elif action == 2:
                    store.put_missing(path.encode(), now)
                elif action == 3:
                    store.put(path.encode(), status(path, int(path.rpartition("/")[2]) + 1), now)
                else:
                    found = store.get(path.encode(), now)
                    if isinstance(found, FileStatus):
                        assert found == status(path, int(found.name) + 1)
                    assert store.size() <= 60 + 8 * 13  # what eight threads are about to make room for
        except BaseException as exc:
            problems.append(exc)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert store.size() <= 60
    kept = len(store._singles) + sum(len(directory) + 1 for directory in store._listings.values())
    assert store.size() == kept
    for number in range(4):
        store.drop(f"/d{number}".encode(), time.monotonic())
    assert (store.size(), store._below) == (0, {})


def test_large_drops_and_evictions_hold_the_lock_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others get at the store while hundreds of records leave it."""
    monkeypatch.setattr(metadata_module, "_PURGED_AT_ONCE", 10)
    held: list[int] = []

    class Lock:
        def __enter__(self) -> None:
            held.append(store.size())

        def __exit__(self, *exc: object) -> None:
            held[-1] -= store.size()

    store = cache(300)
    for number in range(300):
        store.put(f"/d/{number}".encode(), status(f"/d/{number}"), 1.0)
    monkeypatch.setattr(store, "_lock", Lock())
    store.put_listing(b"/e", [[file_info(f"/e/{number}", number + 1) for number in range(150)]], OWNERS, 2.0)
    store.drop(b"/d", 3.0)
    assert store.size() == 151
    assert max(held) == 10


# -------------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("listed", [True, False])
def test_memory(listed: bool) -> None:
    """A million paths fit into 400 MB, listed or looked up one by one."""
    count, size = 6000, 500
    directories = [f"/dataset/train/class_{number:04d}" for number in range(count // size)]
    batches = [
        [
            file_info(f"{path}/image_{number:08d}.jpg", at * size + number + 1, 110_000, (number % 20, number % 19))
            for number in range(size)
        ]
        for at, path in enumerate(directories)
    ]
    store = cache(10**6)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for path, infos in zip(directories, batches):
            if listed:
                store.put_listing(path.encode(), [infos], OWNERS, 1.0)
            else:
                for info in infos:
                    store.put(info.path.encode(), from_info(info, store.addresses), 1.0)
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert store.size() >= count
    assert used / count < (200 if listed else 400)
