"""Files that grow while programs follow them: what `tail -f`, `tail -F` and a loop of readline() see."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.children import until
from harness.mounting import Mounted, Mounts
from oss.bucket import Bucket

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]

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
