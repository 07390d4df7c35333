"""What listings and look-ups cost: requests of the kernel, and questions to the source."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import inodes
from harness.children import Children, results, until
from harness.mounting import Mounts
from harness.readers import errno_of
from harness.remote import RemoteSource

pytestmark = pytest.mark.fuse

Remote = Callable[..., RemoteSource]
MANY = 100_000
QUESTIONS = ("fetch_stat", "fetch_list", "fetch_readlink", "fetch_open")


def questions(counted: dict[str, int]) -> dict[str, int]:
    """The part of some counters that says what the source was asked."""
    return {name: counted[name] for name in QUESTIONS if name in counted}


@pytest.fixture(scope="module")
def many() -> Iterator[Path]:
    """A directory of 100,000 empty files, in memory if possible: making them takes longest."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    root = Path(tempfile.mkdtemp(prefix="ajf-tests-", dir=memory))
    (root / "d").mkdir()
    directory = os.open(root / "d", os.O_RDONLY)
    for i in range(MANY):
        os.close(os.open(f"entry-{i:06}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory))
    yield root
    for i in range(MANY):
        os.unlink(f"entry-{i:06}", dir_fd=directory)
    os.close(directory)
    (root / "d").rmdir()
    root.rmdir()


def test_a_hundred_thousand_entries(many: Path, mounts: Mounts, children: Children) -> None:
    """ls -l is one listing of the source without a request for each entry, the next ls needs no request for names."""
    mounted = mounts.mount(many)
    assert mounted.has("readdirplus")
    children.run(os.stat, mounted.join("d"))
    before = mounted.stats()
    listed = children.command("ls", "-l", mounted.join("d"), timeout=120).stdout
    assert listed.count("\n") == MANY + 1
    after = mounted.since(before)
    assert questions(after) == {"fetch_list": 1}
    assert after["op_readdirplus"] > 10
    assert sum(after.get(name, 0) for name in ("op_lookup", "op_getattr", "op_readdir", "op_open")) < 10
    for arguments in ([], ["-l"]):
        requests = []
        for _ in range(3):  # the kernel may have given up its pages to somebody else
            before = mounted.stats()
            assert children.command("ls", *arguments, mounted.join("d"), timeout=120).stdout.count("\n") >= MANY
            after = mounted.since(before)
            assert not questions(after)
            requests.append(sum(after.get(name, 0) for name in ("op_readdir", "op_readdirplus", "op_lookup")))
            assert after.get("op_getattr", 0) < 10
        assert 0 in requests


def test_what_was_listed_is_not_looked_up(many: Path, mounts: Mounts, children: Children) -> None:
    """A listing of names alone tells what each is: asking for sizes, or opening, needs no request for each name."""
    mounted = mounts.mount(many)
    assert mounted.has("readdirplus")
    assert children.command("find", mounted.join("d"), "-type", "f", timeout=120).stdout.count("\n") == MANY
    before = mounted.stats()
    found = children.command("find", mounted.join("d"), "-type", "f", "-printf", "%s\\n", timeout=120).stdout
    assert found == "0\n" * MANY
    after = mounted.since(before)
    assert sum(after.get(name, 0) for name in ("op_lookup", "op_getattr")) < MANY // 50
    assert not questions(after)


@pytest.mark.drops_caches
def test_dropped_names_come_with_the_listing(many: Path, mounts: Mounts, children: Children) -> None:
    """Memory was short, as it were: the directory is read once more, and each name is not looked up."""
    mounted = mounts.mount(many, "entry_timeout=3600,attr_timeout=3600")
    assert children.command("ls", "-l", mounted.join("d"), timeout=120).stdout.count("\n") == MANY + 1
    known = mounted.stats()["inodes_born"]
    inside = children.start(stay_in, mounted.join("d"))  # the directory itself is not dropped
    inodes.drop_caches()
    mounted.until(lambda stats: stats["inodes_died"] > known * 3 // 4, "most names are dropped")
    before = mounted.stats()
    assert children.command("ls", "-l", mounted.join("d"), timeout=120).stdout.count("\n") == MANY + 1
    after = mounted.since(before)
    assert sum(after.get(name, 0) for name in ("op_lookup", "op_getattr")) < MANY // 4
    inside.kill()


def stay_in(path: str) -> None:
    os.chdir(path)
    time.sleep(600)


def test_names_that_have_expired_come_with_the_listing(private: Path, mounts: Mounts, children: Children) -> None:
    """Once entry_timeout has passed, ls -l costs one listing of the source again, and no look-up of each name."""
    source = private / "source"
    source.mkdir()
    for i in range(1000):
        (source / f"{i}").touch()
    mounted = mounts.mount(source, "entry_timeout=1,attr_timeout=1")
    assert mounted.has("readdirplus")
    renewed = []

    def list_again() -> bool:
        before = mounted.stats()
        children.command("ls", "-l", mounted.path)
        after = mounted.since(before)
        if "fetch_list" in after:
            renewed.append(after)
        return len(renewed) > 2

    until(list_again, "three listings of the source")
    # The fewest: names may also expire half-way through one of them.
    assert min(after.get("op_lookup", 0) + after.get("op_getattr", 0) for after in renewed[1:]) < 10


def test_names_without_attributes(many: Path, mounts: Mounts, children: Children) -> None:
    """Who only wants the names gets every one of them once, from any position, and from eight readers at once."""
    mounted = mounts.mount(many)
    expected = [f"entry-{i:06}" for i in range(MANY)]

    def names() -> bool:
        return sorted(os.listdir(mounted.join("d"))) == expected

    assert all(results([children.start(names) for _ in range(8)], 40))
    stats = mounted.stats()
    assert stats["fetch_list"] == stats["listings_born"]
    assert stats["op_lookup"] + stats["op_getattr"] < 30


def test_a_directory_is_read_on_after_it_has_changed(private: Path, mounts: Mounts, children: Children) -> None:
    """Who has a directory open sees the listing as it was, each entry once, whatever happens to it meanwhile."""
    source = private / "source"
    source.mkdir()
    names = [f"{i:0200}" for i in range(800)]
    for name in names:
        (source / name).touch()
    mounted = mounts.mount(source, "attr_timeout=0,entry_timeout=0")
    changed, go = os.pipe()

    def read() -> list[str]:
        with os.scandir(mounted.path) as entries:
            first = next(entries).name
            os.read(changed, 1)
            return sorted([first] + [entry.name for entry in entries])

    reader = children.start(read)
    mounted.until(lambda s: s["listings_born"] > 0, "it to be listed")
    for name in names[::2]:
        (source / name).unlink()
    (source / "new").touch()
    assert sorted(children.run(os.listdir, mounted.path)) == [*names[1::2], "new"]
    os.write(go, b"x")
    assert reader.result() == names
    os.close(changed)
    os.close(go)


@pytest.mark.parametrize("timeout", [0, 60])
def test_attributes_are_asked_for_again(mounts: Mounts, children: Children, remote: Remote, timeout: int) -> None:
    """Attributes are asked for each time with attr_timeout=0, and once within a long one."""
    mounted = mounts.mount(remote({b"file": b"contents"}), f"attr_timeout={timeout},entry_timeout=60")
    children.run(os.stat, mounted.join("file"))
    before = mounted.stats()
    for _ in range(5):
        children.run(os.stat, mounted.join("file"))
    assert mounted.since(before).get("fetch_stat", 0) == (0 if timeout else 5)


@pytest.mark.parametrize("timeout", [0, 60])
def test_names_are_looked_up_again(mounts: Mounts, children: Children, remote: Remote, timeout: int) -> None:
    """A name is looked up each time with entry_timeout=0, and once within a long one."""
    mounted = mounts.mount(remote({b"file": b"contents"}), f"attr_timeout=60,entry_timeout={timeout}")
    children.run(os.stat, mounted.join("file"))
    before = mounted.stats()
    for _ in range(5):
        children.run(os.stat, mounted.join("file"))
    assert mounted.since(before).get("op_lookup", 0) == (0 if timeout else 5)


@pytest.mark.parametrize("timeout", [0, 60])
def test_missing_names_are_asked_for_again(mounts: Mounts, children: Children, remote: Remote, timeout: int) -> None:
    """A name that is not there is asked for each time with negative_timeout=0, and appears at once."""
    source = remote({b"file": b"contents"})
    mounted = mounts.mount(source, f"negative_timeout={timeout}")

    def ask() -> int:
        return children.run(errno_of, os.stat, mounted.join("missing"))

    assert ask() == errno.ENOENT
    before = mounted.stats()
    for _ in range(5):
        assert ask() == errno.ENOENT
    assert mounted.since(before).get("fetch_stat", 0) == (0 if timeout else 5)
    source.replace(b"/missing", b"it appears")
    assert ask() == (errno.ENOENT if timeout else 0)


def test_timeouts_pass(mounts: Mounts, children: Children, remote: Remote) -> None:
    """A change is seen when a short timeout has passed: of attributes, of a name, and of a name that was missing."""
    source = remote({b"file": b"contents", b"gone": b"contents"})
    mounted = mounts.mount(source, "attr_timeout=0.5,entry_timeout=0.5,negative_timeout=0.5")

    def look() -> tuple[int, int, int]:
        sizes = []
        for name in ("file", "gone", "new"):
            try:
                sizes.append(os.stat(mounted.join(name)).st_size)
            except FileNotFoundError:
                sizes.append(-1)
        return tuple(sizes)

    def wait() -> None:
        while look() != (6, -1, 3):
            os.sched_yield()

    assert children.run(look) == (8, 8, -1)
    source.replace(b"/file", b"longer")
    source.remove(b"/gone")
    source.replace(b"/new", b"new")
    children.run(wait, timeout=120)


def test_look_ups_after_a_listing(mounts: Mounts, children: Children, remote: Remote) -> None:
    """After a listing no name of it is asked for, each by itself, from the source."""
    source = remote({b"%d" % i: b"x" * i for i in range(200)})
    mounted = mounts.mount(source)

    def read() -> list[int]:
        names = sorted(os.listdir(mounted.path), key=int)
        return [os.stat(mounted.join(name)).st_size for name in names]

    before = mounted.stats()
    assert children.run(read) == list(range(200))
    after = questions(mounted.since(before))
    assert after["fetch_list"] == 1
    assert after.get("fetch_stat", 0) <= 1  # the root's own


def test_equal_questions_are_asked_once(mounts: Mounts, children: Children, remote: Remote) -> None:
    """Twenty processes that look at one file at once while the source is slow do not ask it twenty times."""
    source = remote({b"file": b"contents"}, rules=[("stat", "stat", b"/file")])
    mounted = mounts.mount(source)
    source.hold("stat")
    first = children.start(os.stat, mounted.join("file"))
    mounted.until(lambda s: s["fetch_stat"] >= 2 and s["requests_born"] > s["requests_died"], "the look-up to wait")
    others = [children.start(os.stat, mounted.join("file")) for _ in range(20)]
    source.release("stat")
    assert {status.st_size for status in results([first, *others])} == {8}
    assert source.met("stat") <= 3
