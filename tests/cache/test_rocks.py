"""What is particular to the store ROCKS: how its database is opened, and what it keeps of old segments."""

from __future__ import annotations

import errno
import logging
import os
import random
import resource
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rocksdict import Options, Rdict
from stores import LIMIT, MIB, PAGE, close_all, contents, digest, files_of, open_store, read, right_bytes, write

from alluxio_jnifuse._wire import SUM_BYTES
from alluxio_jnifuse.cache.rocks import log
from alluxio_jnifuse.cache.rocks.catalogue import decode, encode
from alluxio_jnifuse.cache.rocks.pages import Piece, Stored, all_of, missing_runs, usual_starts
from alluxio_jnifuse.cache.rocks.run import RUN_GRANULES
from alluxio_jnifuse.cache.rocks.store import RocksStore
from alluxio_jnifuse.errors import MountError

ROOT = Path("alluxio-jnifuse") / "ROCKS" / "db"


def newest(directory: Path, pattern: str) -> Path:
    return max((directory / ROOT).glob(pattern), key=lambda path: path.stat().st_mtime_ns)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite_end(path: Path) -> None:
    """Where RocksDB looks first."""
    with path.open("r+b") as file:
        file.seek(-40, os.SEEK_END)
        file.write(bytes(40))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "CURRENT removed": lambda directory: (directory / ROOT / "CURRENT").unlink(),
    "CURRENT garbled": lambda directory: (directory / ROOT / "CURRENT").write_bytes(b"garbage\n"),
    "MANIFEST removed": lambda directory: newest(directory, "MANIFEST-*").unlink(),
    "MANIFEST garbled": lambda directory: newest(directory, "MANIFEST-*").write_bytes(b"garbage" * 100),
    "a table removed": lambda directory: newest(directory, "*.sst").unlink(),
    "a table cut": lambda directory: cut(newest(directory, "*.sst")),
    "a table garbled": lambda directory: overwrite_end(newest(directory, "*.sst")),
    "no directory": lambda directory: (shutil.rmtree(directory / ROOT), (directory / ROOT).write_bytes(b"")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_database_that_cannot_be_opened_is_emptied(
    directory: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With one line in the log; then it is like new."""
    for name in ("a", "b"):
        write(open_store("ROCKS", directory), name, 2 * MIB)
        close_all()
    DAMAGES[damage](directory)
    with caplog.at_level(logging.INFO):
        store = open_store("ROCKS", directory)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "emptied" in caplog.text
    assert store.figures().pages == right_bytes(store, "a", 2 * MIB) == 0
    write(store, "c", MIB)
    close_all()
    assert right_bytes(open_store("ROCKS", directory), "c", MIB) == MIB


def somebody_elses(directory: Path, key: bytes) -> None:
    """Another program's database is where ours was."""
    shutil.rmtree(directory / ROOT)
    other = Rdict(str(directory / ROOT), Options(raw_mode=True))
    other[key] = b"value"
    other.flush()
    other.close()


@pytest.mark.parametrize("key", [b"short", b"\xff" * 32, b"\xff" * 40], ids=["short", "no number", "long"])
def test_a_database_of_somebody_else_is_emptied(directory: Path, key: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever its keys are."""
    write(open_store("ROCKS", directory), "a", MIB)
    close_all()
    somebody_elses(directory, key)
    store = open_store("ROCKS", directory)
    assert "not the files of a client cache), emptied" in caplog.text
    write(store, "b", MIB)
    close_all()
    assert right_bytes(open_store("ROCKS", directory), "b", MIB) == MIB


def test_too_few_files_may_be_open(directory: Path) -> None:
    """That is an error of the mount; what is stored is not damaged, and is there with a higher limit."""
    for name in range(60):
        write(open_store("ROCKS", directory), name, PAGE)
        close_all()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 30, hard))
    try:
        with pytest.raises(MountError, match="Too many open files"):
            open_store("ROCKS", directory)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    store = open_store("ROCKS", directory)
    assert [right_bytes(store, name, PAGE) for name in range(60)] == [PAGE] * 60


def test_a_disk_that_hangs_when_the_database_is_to_be_opened_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening would hold the interpreter's lock: the disk is waited for without that before, and nobody else waits."""
    store = open_store("ROCKS", directory)
    assert isinstance(store, RocksStore)
    write(store, "before", MIB)
    store._log.failure = OSError(errno.EIO, "it failed")
    store._log._failed_at = float("-inf")
    asked, go_on = threading.Event(), threading.Event()

    def fsync(fd: int) -> None:
        asked.set()
        go_on.wait(120)

    with monkeypatch.context() as hanging:
        hanging.setattr(os, "fsync", fsync)
        hanging.setattr(log, "Database", None)
        writer = threading.Thread(target=write, args=(store, "after", MIB))
        writer.start()
        assert asked.wait(120)
    assert store.figures().pages > 0
    go_on.set()
    writer.join()
    assert right_bytes(store, "after", MIB) == MIB
    assert {path.name for path in (directory / ROOT).parent.iterdir()} == {"db", "format", "lock"}


def test_nothing_older_than_an_unreadable_catalogue_is_believed(directory: Path) -> None:
    """It may have said that a file is gone, because its bytes are wrong."""
    for name in ("wrong", "right", "c", "d", "e"):  # with three files or less RocksDB looks for a key in all of them
        write(open_store("ROCKS", directory), name, PAGE)
        close_all()
    held = open_store("ROCKS", directory).hold(digest("wrong"))
    held.drop()
    close_all()
    with newest(directory, "*.sst").open("r+b") as file:
        file.write(b"no catalogue")
    store = open_store("ROCKS", directory)
    assert store.counts.discarded == 1
    assert [right_bytes(store, name, PAGE) for name in ("wrong", "right", "c", "d", "e")] == [0] * 5
    write(store, "right", PAGE)
    close_all()
    assert right_bytes(open_store("ROCKS", directory), "right", PAGE) == PAGE


def test_values_that_were_mixed_up(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database gives the run of another file, or of another place: it is not there, and is counted."""
    store = open_store("ROCKS", directory)
    assert isinstance(store, RocksStore)
    for name in ("a", "b"):
        write(store, name, 4 * PAGE)
    real = store.read
    monkeypatch.setattr(store, "read", lambda runs: real([(run[0], digest("b"), run[2]) for run in runs]))
    assert right_bytes(store, "a", 4 * PAGE) == 0
    monkeypatch.setattr(store, "read", lambda runs: real([(*run[:2], run[2] ^ RUN_GRANULES) for run in runs]))
    assert right_bytes(store, "b", 4 * PAGE) == 0
    assert store.counts.corrupt == 2 * 4 * PAGE // SUM_BYTES


def test_what_is_read_all_the_time_is_kept_on_and_on(directory: Path) -> None:
    """It is copied from segment to segment, and a restart finds the copies."""
    store = open_store("ROCKS", directory)
    hot = range(0, 200, 20)
    for name in range(5 * LIMIT // PAGE):
        write(store, name, PAGE - name % 3)
        if name % 40 == 0:
            for other in hot:
                right_bytes(store, other, PAGE - other % 3)
    for _ in range(2):
        assert [right_bytes(store, name, PAGE - name % 3) for name in hot] == [PAGE - name % 3 for name in hot]
        assert store.counts.corrupt == 0
        close_all()
        store = open_store("ROCKS", directory)


def test_copies_are_checked(directory: Path) -> None:
    """What is wrong in an old segment is not carried on."""
    store = open_store("ROCKS", directory, evictor="LFUCacheEvictor")
    for name in range(40):
        write(store, name, PAGE)
        right_bytes(store, name, PAGE)
    close_all()
    store = open_store("ROCKS", directory, evictor="LFUCacheEvictor")
    for _ in range(9):
        for name in range(40):
            right_bytes(store, name, PAGE)
    for path in files_of(directory, "ROCKS"):
        with path.open("r+b") as file:
            file.seek(PAGE // 2)
            file.write(b"something else")
    for name in range(40, 3 * LIMIT // PAGE):
        write(store, name, PAGE)
    assert store.counts.corrupt >= 5 * RUN_GRANULES
    assert sum(right_bytes(store, name, PAGE) for name in range(40)) >= 10 * PAGE


def test_another_page_size_begins_anew(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Catalogues count in pages."""
    write(open_store("ROCKS", directory), "a", MIB)
    close_all()
    assert open_store("ROCKS", directory, page=2 * PAGE).figures().pages == 0
    assert "emptied" in caplog.text


def test_without_the_package(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how to install it."""
    monkeypatch.setitem(sys.modules, "rocksdict", None)
    with pytest.raises(MountError, match=r"pip install 'alluxio-jnifuse\[rocks\]'"):
        open_store("ROCKS", directory)


def test_too_small_a_budget(directory: Path) -> None:
    """It could not be kept."""
    with pytest.raises(MountError, match=r"16 MB.*client\.cache\.size"):
        open_store("ROCKS", directory, limit=LIMIT - 1)


# ---------------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("seed", range(20))
def test_missing_runs(seed: int) -> None:
    """All that is missing, once, in order, and no run crosses a border."""
    rng = random.Random(seed)
    present = rng.getrandbits(70) & rng.getrandbits(70)
    first, end = sorted(rng.choices(range(70), k=2))
    runs = list(missing_runs(present, first, end))
    there = [granule for start, count in runs for granule in range(start, start + count)]
    assert there == [granule for granule in range(first, end) if not present >> granule & 1]
    assert all(count and start // RUN_GRANULES == (start + count - 1) // RUN_GRANULES for start, count in runs)


def some_starts(rng: random.Random, present: int, count: int) -> int:
    """Where runs of what is present may begin: at least behind each gap."""
    begun = missing_runs(~present & all_of(count), 0, count)
    return sum(1 << start for start, _ in begun) | present & rng.getrandbits(count)


@pytest.mark.parametrize("seed", range(5))
def test_catalogues(seed: int) -> None:
    """What is put in comes out; anything else is refused."""
    rng = random.Random(seed)
    size = 40 * PAGE + rng.randrange(PAGE)
    count = PAGE // SUM_BYTES
    pages = [
        ((digest(name), name), Stored(size, rng.random(), (Piece(7, present, some_starts(rng, present, count)),)))
        for name, present in enumerate((all_of(count), 0, *(rng.getrandbits(count) for _ in range(20))))
    ]
    pages.append(((digest("whole"), 3), Stored(size, 1e9, (Piece(7, all_of(count), usual_starts(count)),))))
    gone = [(digest(("gone", name)), name) for name in range(5)]
    raw = encode(7, gone, pages, PAGE)
    assert decode(7, raw, PAGE) == (gone, pages)
    at = rng.randrange(len(raw))
    wrong = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
    for segment, other in ((8, raw), (7, wrong), (7, raw[:-1]), (7, b"")):
        with pytest.raises(ValueError, match="catalogue"):
            decode(segment, other, PAGE)


def test_pieces_of_a_page() -> None:
    """The newest counts; of the same segment they are one."""
    stored = Stored(1, 0.0, ()).with_piece(Piece(1, 0b1111, 0b0101)).with_piece(Piece(1, 0b110000, 0b010000))
    assert stored.pieces == (Piece(1, 0b111111, 0b010101),)
    assert [stored.pieces[0].run_of(granule) for granule in range(6)] == [0, 0, 2, 2, 4, 4]
    assert [stored.pieces[0].granules_of(start) for start in (0, 2, 4)] == [0b11, 0b1100, 0b110000]
    stored = stored.with_piece(Piece(2, 0b1000100, 0b1000100))
    assert stored.present == 0b1111111
    assert [stored.piece_of(granule).segment for granule in range(7)] == [1, 1, 2, 1, 1, 1, 2]  # type: ignore[union-attr]
    assert stored.without_run(stored.pieces[1], 0).present == 0b1111100
    assert stored.without_piece(stored.pieces[0]).present == 0b0111011
    assert stored.piece_of(7) is None


def test_a_run_ends_where_the_next_may_begin() -> None:
    """Also when nothing of that is there."""
    piece = Piece(1, all_of(2 * RUN_GRANULES + 1), 1 | 1 << RUN_GRANULES | 1 << 2 * RUN_GRANULES)
    assert piece.granules_of(0) == all_of(RUN_GRANULES)
    assert piece.granules_of(RUN_GRANULES) == all_of(RUN_GRANULES) << RUN_GRANULES
    assert piece.granules_of(2 * RUN_GRANULES) == 1 << 2 * RUN_GRANULES
    assert Piece(1, 0b100, 0b100).granules_of(2) == 0b100


def test_reads_begin_and_end_within_runs(directory: Path) -> None:
    """Only the granules that are asked for are checked; the rest of a run may be wrong."""
    store = open_store("ROCKS", directory)
    write(store, "a", 2 * PAGE + 100)
    held = store.hold(digest("a"))
    for at, length in ((SUM_BYTES, 5), (PAGE - SUM_BYTES, 2 * SUM_BYTES), (2 * PAGE, 100), (2 * PAGE, 99)):
        assert read(held, at, length) == contents("a", 2 * PAGE + 100)[at : at + length]
    held.release()
