"""Files that grow while programs follow them: what `tail -f`, `tail -F` and a loop of readline() see."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.children import Children, until
from harness.mounting import CACHE, Mounted, Mounts
from oss.bucket import Bucket

from alluxio_jnifuse.testing import pattern

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

SIZE = 8 << 20  # far more than the kernel reads ahead
READ = 100_000
SOON = "attr_timeout=1,entry_timeout=1"
LENT = [pytest.param("", id="passthrough"), pytest.param(",passthrough=off", id="no-passthrough")]
READLINE = """
import sys, time
with open(sys.argv[1]) as file:
    while True:
        line = file.readline()
        if line:
            print(line, end="", flush=True)
        else:
            time.sleep(0.1)
"""
FOLLOWERS = {
    "tail-f": ["tail", "-n", "+1", "-s", "0.1", "-f"],
    "tail-F": ["tail", "-n", "+1", "-s", "0.1", "-F"],
    "readline": ["python3", "-c", READLINE],
}


class Follower:
    """A program that follows a file; `lines` are those that it has printed."""

    def __init__(self, argv: list[str], path: str, private: Path) -> None:
        self._out = private / "followed"
        self.errors = private / "errors"
        with open(self._out, "wb") as out, open(self.errors, "wb") as errors:
            self._process = subprocess.Popen([*argv, path], stdin=subprocess.DEVNULL, stdout=out, stderr=errors)

    @property
    def lines(self) -> list[str]:
        return self._out.read_text().split("\n")[:-1]

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def has(self, line: str) -> None:
        until(lambda: line in self.lines, f"{line!r} to be followed", 60.0)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def follow(private: Path, mounts: Mounts) -> Iterator[Callable[[str, str], Follower]]:
    """A factory of followers; they end before the mounts do."""
    made: list[Follower] = []

    def start(name: str, path: str) -> Follower:
        made.append(Follower(FOLLOWERS[name], path, private))
        return made[-1]

    yield start
    for each in made:
        each.end()


def numbered(first: int, last: int) -> list[str]:
    return [f"line {number}" for number in range(first, last)]


def append(path: Path, first: int, last: int) -> None:
    with open(path, "a") as file:
        file.writelines(f"{line}\n" for line in numbered(first, last))


@pytest.mark.parametrize("name", FOLLOWERS)
@pytest.mark.parametrize("options", LENT)
def test_a_lent_file(
    private: Path, mounts: Mounts, follow: Callable[[str, str], Follower], options: str, name: str
) -> None:
    """Shows its new end to whoever has it open, as on the directory."""
    top = private / "top"
    top.mkdir()
    append(top / "log", 0, 3)
    mounted = mounts.mount(top, SOON + options)
    follower = follow(name, mounted.join("log"))
    for number in range(3, 30, 9):
        follower.has(f"line {number - 1}")
        append(top / "log", number, number + 9)
    follower.has("line 29")
    assert follower.lines == numbered(0, 30)
    assert follower.runs


@pytest.mark.parametrize("options", LENT)
@pytest.mark.parametrize("way", ["renamed", "truncated"])
def test_a_lent_file_that_is_rotated(
    private: Path, mounts: Mounts, follow: Callable[[str, str], Follower], way: str, options: str
) -> None:
    """`tail -F` goes on in what has the name then."""
    top = private / "top"
    top.mkdir()
    append(top / "log", 0, 20)
    mounted = mounts.mount(top, SOON + options)
    follower = follow("tail-F", mounted.join("log"))
    follower.has("line 19")
    if way == "renamed":
        (top / "log").rename(top / "log.1")
    else:
        os.truncate(top / "log", 0)
    append(top / "log", 20, 23)
    follower.has("line 22")
    assert follower.lines == numbered(0, 23)


@pytest.mark.parametrize("name", FOLLOWERS)
def test_a_copied_file(private: Path, mounts: Mounts, follow: Callable[[str, str], Follower], name: str) -> None:
    """Goes on, too, under whoever has it open: what he has read is in the new version, unchanged."""
    top = private / "top"
    top.mkdir()
    append(top / "log", 0, 3)
    mounted = mounts.mount(top, SOON, CACHE)
    follower = follow(name, mounted.join("log"))
    for number in range(3, 30, 9):
        follower.has(f"line {number - 1}")
        append(top / "log", number, number + 9)
    follower.has("line 29")
    assert follower.lines == numbered(0, 30)
    assert follower.runs


def test_a_copied_file_that_is_renamed(private: Path, mounts: Mounts, follow: Callable[[str, str], Follower]) -> None:
    """`tail -F` goes on in the one that has its name then."""
    top = private / "top"
    top.mkdir()
    append(top / "log", 0, 20)
    mounted = mounts.mount(top, SOON, CACHE)
    follower = follow("tail-F", mounted.join("log"))
    follower.has("line 19")
    (top / "log").rename(top / "log.1")
    append(top / "log", 20, 23)
    follower.has("line 22")
    assert follower.lines == numbered(0, 23)


@pytest.mark.parametrize("size", [100, SIZE])
def test_a_copied_file_whose_attributes_change(private: Path, mounts: Mounts, children: Children, size: int) -> None:
    """Chmod and hard links, as backups make them, end no reader: it reads on in what it has open."""
    top = private / "top"
    top.mkdir()
    data = pattern(b"/file", 1, 0, size)
    (top / "file").write_bytes(data)
    mounted = mounts.mount(top, "", CACHE)

    def read(path: str) -> bytes:
        with open(path, "rb", buffering=0) as file:
            (top / "file").chmod(0o600)
            begin = os.pread(file.fileno(), 50, 0)
            os.link(top / "file", top / "backup")
            file.seek(50)
            return begin + file.read(size) + file.read(size)

    assert children.run(read, mounted.join("file")) == data


OLD = pattern(b"/file", 1, 0, SIZE)


@pytest.mark.parametrize("looked_up", [False, True], ids=["by descriptor", "after a look-up"])
@pytest.mark.parametrize("rewritten", [0, SIZE // 2, SIZE - 100, SIZE], ids=["all", "unread", "the end", "nothing"])
def test_a_copied_file_is_of_one_version(
    private: Path, mounts: Mounts, children: Children, rewritten: int, looked_up: bool
) -> None:
    """Whatever part of it is written anew before it grows: who has read of that part does not see the new end."""
    top = private / "top"
    top.mkdir()
    file = top / "file"
    file.write_bytes(OLD)
    mounted = mounts.mount(top, f"{SOON},prefetch_window=0", CACHE)
    new = OLD[:rewritten] + pattern(b"/file", 2, rewritten, SIZE + 5000 - rewritten)
    size, found = children.run(read_across, mounted.join("file"), file, new, looked_up, timeout=60.0)
    if rewritten < READ:
        assert size == SIZE
        assert found == OLD[: len(found)]
    else:
        assert size == len(new)
        assert found == new


def read_across(path: str, file: Path, new: bytes, looked_up: bool) -> tuple[int, bytes]:
    """Size and contents in the descriptor through which something was read before the file changed."""
    with open(path, "rb", buffering=0) as reader:
        fd = reader.fileno()
        found = os.pread(fd, READ, 0)
        with open(file, "r+b") as writer:
            same = next(at for at in range(0, len(new), 100) if new[at : at + 100] != OLD[at : at + 100])
            writer.seek(same)
            writer.write(new[same:])
        with open(file, "rb") as whole:
            assert whole.read() == new
        for _ in range(30):  # the attributes that the kernel had expire, and may be asked for again
            if os.fstat(fd).st_size != SIZE:
                break
            if looked_up:
                os.stat(path)
            time.sleep(0.1)
        size = os.fstat(fd).st_size
        while len(found) < size:
            try:
                data = os.pread(fd, 1 << 16, len(found))
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                break
            found += data
        return size, found


def mount(mounts: Mounts, bucket: Bucket) -> Mounted:
    return mounts.mount(bucket.uri, SOON, bucket.properties())


def test_an_object_that_is_appended_to(bucket: Bucket, mounts: Mounts, follow: Callable[[str, str], Follower]) -> None:
    """Is another one each time, which `tail -F` follows from its start."""
    bucket.put("log", b"".join(f"{line}\n".encode() for line in numbered(0, 3)))
    mounted = mount(mounts, bucket)
    follower = follow("tail-F", mounted.join("log"))
    for number in range(3, 30, 9):
        follower.has(f"line {number - 1}")
        bucket.put("log", b"".join(f"{line}\n".encode() for line in numbered(0, number + 9)))
    follower.has("line 29")
    assert follower.lines[-30:] == numbered(0, 30)
    assert follower.runs
    assert "error" not in follower.errors.read_text()
