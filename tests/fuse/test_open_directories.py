"""What it costs to have a directory open: nothing, until somebody reads it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children, until
from harness.mounting import Mounted, Mounts
from harness.readers import errno_of
from oss.bucket import Bucket

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

MANY = 3500  # four pages of a bucket's listing
COMMANDS = {
    "df": ["df", "-P", "{}"],
    "cd": ["sh", "-c", 'cd "$1" && test "$PWD" = "$1"', "sh", "{}"],
    "test": ["sh", "-c", 'test -d "$1" && test -r "$1"', "sh", "{}"],
    "stat": ["stat", "{}"],
    "find": ["find", "{}", "-maxdepth", "0"],
    "ls -d": ["ls", "-ld", "{}"],
}


def look_around(path: str) -> None:
    """As programs do that use dirfd(3) and openat(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fstat(fd)
        assert os.stat("0001", dir_fd=fd).st_size == 1
        os.fchdir(fd)
        assert os.getcwd() == path
    finally:
        os.close(fd)


def check(mounted: Mounted, children: Children, listings: Callable[[], int]) -> None:
    """`listings`: how many requests for a listing the storage has had."""
    path = mounted.join("big")
    before, asked = mounted.stats(), listings()
    for words in COMMANDS.values():
        done = children.command(*(word.replace("{}", path) for word in words))
        assert done.returncode == 0, done.stderr
    children.run(look_around, path)
    after = mounted.since(before)
    assert after.get("op_opendir", 0) > 0
    assert "fetch_list" not in after
    assert listings() - asked <= len(COMMANDS) + 2  # look-ups
    for _ in range(2):
        assert len(children.run(os.listdir, path)) == MANY
        assert mounted.since(before).get("fetch_list") == 1


@pytest.fixture
def big(private: Path) -> Path:
    """A directory with a large one in it."""
    (private / "source" / "big").mkdir(parents=True)
    for number in range(MANY):
        (private / "source" / "big" / f"{number:04}").write_text("x")
    return private / "source"


def test_local(big: Path, mounts: Mounts, children: Children) -> None:
    """Commands that look at a directory, and not into it."""
    check(mounts.mount(big), children, lambda: 0)


def test_bucket(big: Path, bucket: Bucket, mounts: Mounts, children: Children) -> None:
    """Where each thousand names is a request."""
    bucket.server.put_tree(bucket.name, big, "dir/")
    mounted = mounts.mount(bucket.uri, "", bucket.properties())
    check(mounted, children, lambda: bucket.counts()["LIST"])


def test_the_second_reader_asks_nobody(big: Path, mounts: Mounts, children: Children) -> None:
    """The kernel keeps what the first one read, also when others had it open and did not read it."""
    shutil.copytree(big / "big", big / "other")
    mounted = mounts.mount(big)
    assert children.command("df", "-P", mounted.join("other")).returncode == 0
    for name in ("big", "other"):

        def requests(name: str = name) -> int:
            before = mounted.stats()
            assert len(children.run(os.listdir, mounted.join(name))) == MANY
            after = mounted.since(before)
            return after.get("op_readdir", 0) + after.get("op_readdirplus", 0)

        assert requests() > 0
        until(lambda: requests() == 0, "a reader that the kernel answers", 60)  # it may give up its pages now and then


def test_a_directory_that_is_gone(private: Path, mounts: Mounts, children: Children) -> None:
    """It may still be opened while it is trusted to be there, as on a network file system; to read it is an error."""
    (private / "source" / "d").mkdir(parents=True)
    for options in ("attr_timeout=0,entry_timeout=0", "entry_timeout=7200,attr_timeout=7200"):
        (private / "source" / "d").mkdir(exist_ok=True)
        mounted = mounts.mount(private / "source", options)
        children.run(os.stat, mounted.join("d"))
        (private / "source" / "d").rmdir()
        path = mounted.join("d")
        # Not empty, and only once; the kernel may have asked again meanwhile.
        assert children.run(errno_of, os.listdir, path) in (errno.ESTALE, errno.ENOENT)
        until(lambda path=path: children.run(errno_of, os.listdir, path) == errno.ENOENT, "it to be looked up again")
        assert children.run(errno_of, os.open, path, os.O_RDONLY) == errno.ENOENT
