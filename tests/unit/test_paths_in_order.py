"""A file of paths is read as it is needed, and says the names that were written into it."""

from __future__ import annotations

import errno
import io
import itertools
import os
import random
import select
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from alluxio_jnifuse.cli import main
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.load.order import Order, line_of, lines
from alluxio_jnifuse.load.places import Places, Room
from alluxio_jnifuse.load.recording import OrderLines, Recording, Seen, UseLines
from alluxio_jnifuse.load.targets import Target
from alluxio_jnifuse.load.walk import File
from alluxio_jnifuse.mounts.registry import record_of_this_process
from alluxio_jnifuse.mounts.trace import Taken

NAMES = [b"a", b"d/b c", b" ", b"#c", b";d", b"./e", b"\xff\xfe", b"x\ry", "ä".encode(), b"d" * 250 + b"/e"]
NOT_IN_LINES = [b"a\nb", b"\n", b"c\r"]


def read(data: bytes, *, null: bool = False, at_once: int = 1 << 16) -> list[bytes]:
    """The paths in `data`, of which a few bytes come at a time."""
    source = io.BytesIO(data)
    return list(lines(lambda count: source.read(min(count, at_once)), null=null))


@pytest.mark.parametrize("at_once", [1, 3, 1 << 16])
def test_what_is_written_is_read(at_once: int) -> None:
    """A name comes back as it is, but that `./` stands before one that would be a comment."""
    written = b"".join(line_of(name, null=False) or b"" for name in NAMES)
    assert [path.removeprefix(b"./") for path in read(written, at_once=at_once)] == [
        name.removeprefix(b"./") for name in NAMES
    ]
    assert [line_of(name, null=False) for name in NOT_IN_LINES] == [None] * 3
    every = NAMES + NOT_IN_LINES
    assert read(b"".join(line_of(name, null=True) or b"" for name in every), null=True, at_once=at_once) == every


def test_lines_that_say_nothing() -> None:
    """Empty lines and comments are skipped; a last line needs no end, and \\r\\n is one."""
    assert read(b"\n\na\r\n\r\n# b\n;c\n #d\n\nlast") == [b"a", b" #d", b"last"]
    assert read(b"\0\0#a\0\0b\n\0last", null=True) == [b"#a", b"b\n", b"last"]
    assert read(b"") == []


def test_an_order_without_an_end() -> None:
    """It is read as far as it is needed."""
    asked = []

    def endless(count: int) -> bytes:
        asked.append(count)
        return b"d/name\n" * 1000

    found = lines(endless, null=False)
    assert list(itertools.islice(found, 2500)) == [b"d/name"] * 2500
    assert len(asked) == 3


def test_a_line_without_an_end() -> None:
    """Of a line that is longer than any path the beginning is kept; the next one is whole."""
    left = [b"x" * (1 << 16)] * 100 + [b"\nnext\n" + b"y" * 70_000 + b"\n#" + b"z" * (1 << 16), b"z\nlast"]
    found = list(lines(lambda _: left.pop(0) if left else b"", null=False))
    assert [(path[:4], len(path)) for path in found] == [(b"xxxx", 8192), (b"next", 4), (b"yyyy", 8192), (b"last", 4)]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MountError, match=r"missing: No such file or directory"):
        Order(str(tmp_path / "missing"), None, null=False)
    with pytest.raises(MountError, match=r"Is a directory"):
        Order(str(tmp_path), None, null=False)


def test_names_that_were_seen() -> None:
    """Each is new once, whatever order they come in."""
    seen = Seen()
    names = [b"%d" % number for number in range(10_000)]
    shuffled = random.Random(1).sample(names, len(names))
    assert all(map(seen.add, names))
    assert not any(map(seen.add, shuffled))
    assert len(seen) == len(names)


class FakeTrace:
    """A mount that tells these files, some at a time, and that it has lost three."""

    def __init__(self, *parts: list[bytes]) -> None:
        self.parts = list(parts)
        self.closed = threading.Event()

    def take(self) -> Taken:
        return Taken(self.parts.pop(0) if self.parts else [], 3)

    def tell_open(self) -> bool:
        return True

    def close(self) -> None:
        self.closed.set()


def record(trace: FakeTrace, path: Path, *, null: bool = False, every: bool = False) -> tuple[Recording, OrderLines]:
    """A recording of all that is told, which has ended."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    ended = threading.Event()
    lines = OrderLines(null=null, every=every)
    made = Recording(trace, fd, lines, ended=ended.set)  # type: ignore[arg-type]
    assert made.end(120)
    assert ended.is_set()
    assert trace.closed.is_set()
    os.close(fd)
    return made, lines


def test_what_is_told_is_recorded(tmp_path: Path) -> None:
    """To the last file, each once unless all are wanted; what is missing is counted."""
    path, told = tmp_path / "order", ([b"b", b"a"], [b"b", b"c\n", b"#d", b"a"])
    made, order = record(FakeTrace(*map(list, told)), path)
    assert path.read_bytes() == b"b\na\n./#d\n"
    assert (made.written, order.unnamed, made.lost, made.error) == (3, 1, 3, None)
    made, order = record(FakeTrace(*map(list, told)), path, null=True, every=True)
    assert path.read_bytes() == b"b\0a\0b\0c\n\0#d\0a\0"
    assert (made.written, order.unnamed) == (6, 0)


def test_something_else_than_uses_is_told(tmp_path: Path) -> None:
    """The recording ends and says so; what came before is kept."""
    fd = os.open(tmp_path / "trace", os.O_WRONLY | os.O_CREAT)
    ended = threading.Event()
    item = struct.pack("q11Q5I20s", 1, 2, 3, 1, *[0] * 8, 1, 0, 8, 0, 0, b"") + b"/x"
    made = Recording(FakeTrace([item], [b"/a/b"]), fd, UseLines(), ended=ended.set)  # type: ignore[arg-type]
    assert ended.wait(120)
    assert made.end(120)
    os.close(fd)
    assert isinstance(made.error, ValueError)
    assert (tmp_path / "trace").read_bytes().count(b"\n") == made.written == 1


def test_a_disk_that_is_full() -> None:
    """Ends the recording, which says so."""
    made, _ = record(FakeTrace([b"a"]), Path("/dev/full"))
    assert isinstance(made.error, OSError)
    assert (made.error.errno, made.unwritable, made.written) == (errno.ENOSPC, True, 0)


# --------------------------------------------------------------------------------------------------------- places


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], File]:
    """Makes files of 10 bytes."""
    record = record_of_this_process(str(tmp_path), "/", "/data", "")
    target = Target(str(tmp_path), str(tmp_path), tmp_path.stat().st_dev, record)

    def make(name: str) -> File:
        (tmp_path / name).write_bytes(bytes(10))
        return File(str(tmp_path / name), 10, 0, 0, target)

    return make


def ahead(places: Places, file: File) -> int:
    """Reads a file ahead; returns its number."""
    number = places.reserve()
    assert number is not None
    if places.take(number, file):
        with places.opened(number, file.path) as fd:
            places.note(number, len(os.read(fd, 100)))
    return number


def opens(places: Places, *files: File) -> None:
    """Another one opens files, of which the places hear."""
    for file in files:
        with open(file.path, "rb"):
            pass
    assert not places.hear()


def test_a_place_ends_when_its_file_is_opened(file: Callable[[str], File]) -> None:
    """By another open than the one that read it ahead, in any order."""
    places = Places(Room(3, 1000))
    files = [file(name) for name in "abcd"]
    for one in files[:3]:
        ahead(places, one)
    assert places.full() == 3
    opens(places, files[2])
    assert (places.full(), places.opened_files) == (0, 1)
    ahead(places, files[3])
    assert places.full() == 3
    opens(places, files[0], files[3])
    assert places.opened_files == 3
    assert ahead(places, files[2]) == 4
    places.close()
    assert places.reserve() is None


def test_own_opens_end_no_place(file: Callable[[str], File]) -> None:
    """Only those of another one: also of a file that it opened before, and of one that it opens meanwhile."""
    places = Places(Room(10, 1000))
    for name in "abc":
        ahead(places, file(name))
    assert not select.select([places.fd], [], [], 0)[0]
    before = file("before")
    with open(before.path, "rb"):
        ahead(places, before)
        assert not select.select([places.fd], [], [], 0)[0]
    assert not places.hear()
    assert places.opened_files == 1
    meanwhile, number = file("meanwhile"), places.reserve()
    assert number is not None
    assert places.take(number, meanwhile)
    with places.opened(number, meanwhile.path):
        assert places.note(number, 1)
        opens(places, meanwhile)
        assert not places.note(number, 1)
    places.give_back(number)
    assert places.opened_files == 2
    opens(places, file("other"), *map(file, "abc"))
    assert places.opened_files == 5


def test_room_of_bytes(file: Callable[[str], File]) -> None:
    places = Places(Room(100, 15))
    files = [file(name) for name in "abc"]
    ahead(places, files[0])
    assert not places.full()
    ahead(places, files[1])
    assert places.full() == 2
    opens(places, files[1])
    assert not places.full()
    number = ahead(places, files[2])
    places.give_back(number)
    assert not places.full()


def test_a_file_that_comes_twice(file: Callable[[str], File]) -> None:
    """It is read ahead once, and waits for two opens."""
    places = Places(Room(2, 1000))
    one, other = file("a"), file("b")
    ahead(places, one)
    ahead(places, one)
    assert places.full() == 2
    opens(places, one)
    assert not places.full()
    ahead(places, other)
    assert places.full() == 2
    opens(places, one, other)
    assert places.opened_files == 3


def test_files_that_are_passed_by(file: Callable[[str], File]) -> None:
    """They give up their places once the program is far beyond them."""
    places = Places(Room(2, 1000))
    ahead(places, file("never"))
    for number in range(1, 4):
        one = file(f"{number}")
        assert ahead(places, one) == number
        assert places.full() == 2
        opens(places, one)
    ahead(places, file("last"))
    assert not places.full()


# ------------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["load", "--null", "/a"], "--null needs --order"),
        (["load", "--follow", "/a"], "--follow needs --order"),
        (["load", "--order", "f", "--ahead", "3"], "--ahead needs --follow"),
        (["load", "--order", "f", "/a", "/b"], "too many arguments: /b"),
        (["load", "--order", "f", "--include", "x"], "--order and --include do not go together"),
        (["load", "--order", "f", "--follow", "--dry-run"], "--follow and --dry-run do not go together"),
        (["load", "--order", "/dev/null", "--follow", "--ahead", "0"], "--ahead expects a number from 1 to"),
        (["load", "--order", "/dev/null", "--follow", "--ahead-size", "much"], "--ahead-size expects a size such as"),
        (["trace", "--every", "/a"], "--every belongs to another form of the command"),
        (["trace", "--json", "/a"], "--json belongs to another form of the command"),
        (["trace", "--record", "f", "-o", "g", "/a"], "--output belongs to another form of the command"),
        (["trace", "--report", "f", "/a"], "/a belongs to another form of the command"),
        (["trace", "--report", "f", "--quiet"], "--quiet belongs to another form of the command"),
        (["trace", "--record", "f"], "no MOUNT_POINT is named"),
        (["trace", "--record", "f", "/a", "/b"], "too many arguments: /b"),
        (["trace", "--record", "f", "/a", "--"], "no COMMAND is named behind --"),
    ],
)
def test_words_that_make_no_sense(capsys: pytest.CaptureFixture[str], words: list[str], reason: str) -> None:
    assert main(words) == 1
    assert reason in capsys.readouterr().err
