"""Small files that are read before they are asked for, and directories listed before they are asked for."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from alluxio_jnifuse.sources.alluxio.ahead import ReadAhead
from alluxio_jnifuse.sources.alluxio.siblings import Siblings
from alluxio_jnifuse.sources.alluxio.status import FileStatus, version_of

SMALL = 1 << 20


def status_of(number: int, length: int = 10) -> FileStatus:
    name = f"{number:04}"
    return FileStatus(
        number << 24, name, length, SMALL, 1, 1, 0o100644, "", "", False, True, "PERSISTED", "", 1,
        (1,), (length,), ((),), 0,
    )  # fmt: skip


class Directory:
    """A listing of 100 files, as MetadataCache tells it."""

    def __init__(self, length: int = 10) -> None:
        self.files = [(b"/d/%04d" % number, status_of(number, length)) for number in range(100)]

    def place(self, path: bytes, now: float) -> int | None:
        return int(path[-4:]) if path.startswith(b"/d/") else None

    def following(self, path: bytes, now: float, first: int, end: int) -> list[tuple[int, bytes, FileStatus]]:
        return [(index, *self.files[index]) for index in range(first, min(end, len(self.files)))]


class Reader:
    """Notes what is read; waits while `held`."""

    def __init__(self) -> None:
        self.read: list[bytes] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, path: bytes, status: FileStatus) -> bytes:
        self.read.append(path)
        assert self.go.wait(10)
        return b"%-*d" % (status.length, int(path[-4:]))


def ahead_of(directory: Directory, reader: Reader) -> ReadAhead:
    return ReadAhead(directory, reader, SMALL)  # type: ignore[arg-type]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_files_in_order_are_there_before_they_are_asked_for() -> None:
    directory, reader = Directory(), Reader()
    ahead = ahead_of(directory, reader)
    taken = []
    for path, status in directory.files:
        ahead.note(path, 0.0)
        content = ahead.take(path, version_of(status), 10.0)
        if content is not None:
            assert int(content) == int(path[-4:])
            taken.append(path)
    assert len(taken) >= 95
    assert sorted(set(reader.read)) == sorted(reader.read)  # none twice
    ahead.close()


def test_files_in_no_order_are_not_read_ahead() -> None:
    directory, reader = Directory(), Reader()
    ahead = ahead_of(directory, reader)
    for number in (50, 3, 97, 20, 75, 0, 40):
        ahead.note(directory.files[number][0], 0.0)
    time.sleep(0.05)
    assert reader.read == []
    ahead.close()


def test_a_file_that_was_asked_for_is_not_read_ahead() -> None:
    """Where all files of a directory are asked for, in whatever order, each is read once."""
    directory, reader = Directory(), Reader()
    ahead = ahead_of(directory, reader)
    alone = []
    order = list(range(100))
    random.Random(1).shuffle(order)
    for number in order:
        path, status = directory.files[number]
        ahead.note(path, 0.0)
        if ahead.take(path, version_of(status), 10.0) is None:
            alone.append(path)
    assert sorted(alone + reader.read) == [path for path, _ in directory.files]
    ahead.close()


def test_every_other_file_is_not_in_order() -> None:
    """As when several machines share a directory."""
    directory, reader = Directory(), Reader()
    ahead = ahead_of(directory, reader)
    for number in range(0, 100, 2):
        ahead.note(directory.files[number][0], 0.0)
    time.sleep(0.05)
    assert reader.read == []
    ahead.close()


def test_a_second_pass_is_in_order_too() -> None:
    """When neither kernel nor core has the files any more."""
    directory, reader = Directory(), Reader()
    ahead = ahead_of(directory, reader)
    for _ in range(2):
        for path, status in directory.files:
            ahead.note(path, 0.0)
            ahead.take(path, version_of(status), 10.0)
    assert len(reader.read) >= 190
    ahead.close()


def test_another_version_is_not_given() -> None:
    directory, reader = Directory(), Reader()
    ahead = ahead_of(directory, reader)
    for number in range(4):
        ahead.note(directory.files[number][0], 0.0)
    until(lambda: b"/d/0004" in reader.read)
    assert ahead.take(b"/d/0004", 4711, 10.0) is None
    ahead.close()


def test_whoever_comes_early_waits_for_what_is_on_its_way() -> None:
    directory, reader = Directory(), Reader()
    reader.go.clear()
    ahead = ahead_of(directory, reader)
    for number in range(4):
        ahead.note(directory.files[number][0], 0.0)
    until(lambda: reader.read)
    threading.Timer(0.1, reader.go.set).start()
    content = ahead.take(reader.read[0], version_of(status_of(int(reader.read[0][-4:]))), 10.0)
    assert content is not None
    ahead.close()


def test_the_window_is_bounded_and_what_nobody_takes_is_forgotten() -> None:
    directory, reader = Directory(length=SMALL), Reader()
    ahead = ahead_of(directory, reader)
    for number in range(10):
        ahead.note(directory.files[number][0], 0.0)
    until(lambda: len(reader.read) >= 8)
    time.sleep(0.05)
    assert len(reader.read) == 8  # of 1 MiB each
    ahead.note(directory.files[10][0], 60.0)
    until(lambda: len(reader.read) == 16)
    ahead.close()


def test_a_file_that_cannot_be_read_is_left_to_its_reader() -> None:
    directory = Directory()

    def fail(path: bytes, status: FileStatus) -> bytes:
        raise OSError("no")

    ahead = ReadAhead(directory, fail, SMALL)  # type: ignore[arg-type]
    for number in range(4):
        ahead.note(directory.files[number][0], 0.0)
    assert ahead.take(b"/d/0004", version_of(status_of(4)), 10.0) is None
    ahead.close()


def test_a_directory_is_listed_after_some_look_ups() -> None:
    listed: list[bytes] = []

    def remember(directory: bytes) -> bool:
        listed.append(directory)
        return True

    siblings = Siblings(remember)
    for number in range(3):
        siblings.looked_up(b"/d/%d" % number, 0.1 * number)
        siblings.looked_up(b"/e%d/x" % number, 0.1 * number)
    time.sleep(0.05)
    assert listed == []
    siblings.looked_up(b"/d/3", 0.5)
    until(lambda: listed == [b"/d"])


def test_slow_look_ups_and_large_directories_are_left_alone() -> None:
    listed: list[bytes] = []

    def refuse(directory: bytes) -> bool:
        listed.append(directory)
        return False

    siblings = Siblings(refuse)
    for number in range(20):
        siblings.looked_up(b"/slow/%d" % number, 3.0 * number)
    for number in range(4):
        siblings.looked_up(b"/large/%d" % number, 100.0)
    until(lambda: listed == [b"/large"])
    time.sleep(0.05)
    for number in range(20):
        siblings.looked_up(b"/large/%d" % number, 101.0)
    time.sleep(0.05)
    assert listed == [b"/large"]
