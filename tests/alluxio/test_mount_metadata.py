"""What a mount remembers of names and attributes, and how long; files that change, go, or are not finished."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import dataset
from cluster.cluster import Cluster
from cluster.dataset import Place
from harness.children import Children, until
from harness.datasets import check, walk
from harness.mounting import Mounted, Mounts
from harness.readers import errno_of
from harness.versions import Reader
from on_cluster import mount

from alluxio_jnifuse.testing import pattern

pytestmark = [pytest.mark.cluster, pytest.mark.fuse]

BLOCK = 1 << 20
SMALL, LARGE = 50_000, 5 * BLOCK + 4711  # the one is never opened; the other is, and has several blocks
FOREVER = "attr_timeout=7200,entry_timeout=7200"
NOW = "attr_timeout=0,entry_timeout=0"
CACHED = {"alluxio.user.metadata.cache.enabled": "true", "alluxio.fuse.special.command.enabled": "true"}
COMMAND = ".alluxiocli.metadatacache."


def write(cluster: Cluster, path: str, generation: int, size: int) -> None:
    """Writes a generation of a file, whose size says which one it is; what was there is deleted first."""
    data = pattern(b"/file", generation, 0, size + generation)
    cluster.shell.write(path, data, block_size=BLOCK, overwrite=True)


def generation(path: str) -> int:
    """The generation that is read from the start to the end of a file; -errno; 0: of several, or not all of one."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = b"".join(iter(lambda: file.read(300_000), b""))
    except OSError as error:
        return -(error.errno or 0)
    for number in range(1, 9):
        size = len(data) - number
        if size in (SMALL, LARGE) and data == pattern(b"/file", number, 0, len(data)):
            return number
    return 0


def sizes(path: str) -> tuple[int, int]:
    """The size of a file by its name, and as its directory lists it."""
    with os.scandir(os.path.dirname(path)) as entries:
        listed = next(entry.stat().st_size for entry in entries if entry.name == os.path.basename(path))
    return os.stat(path).st_size, listed


def command(mounted: Mounted, children: Children, what: str, directory: str = "") -> int:
    """Gives a command as `ls -l DIRECTORY/.alluxiocli.metadatacache.WHAT` does; the size that it shows."""
    done = children.command("ls", "-l", mounted.join(os.path.join(directory, COMMAND + what)))
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[4])


# ---------------------------------------------------------------------------------------------------------- rewritten


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_expiry(cluster: Cluster, place: Place, mounts: Mounts, children: Children, size: int) -> None:
    """A file that was rewritten has its old attributes until they expire, or until a reader finds its blocks gone.

    Meanwhile it is read as it was, or as it is, or fails with EIO.
    """
    write(cluster, f"{place.path}/file", 1, size)
    expiry = {**CACHED, "alluxio.user.metadata.cache.expiration.time": "10sec"}
    mounted = mount(mounts, cluster, place.path, NOW, expiry)
    path = mounted.join("file")
    began = time.monotonic()
    assert children.run(sizes, path) == (size + 1, size + 1)
    assert children.run(generation, path) == 1
    write(cluster, f"{place.path}/file", 2, size)
    seen = children.run(sizes, path)
    assert children.run(generation, path) in (1, 2, -errno.EIO)
    assert seen == (size + 1, size + 1) or time.monotonic() - began > 9
    until(lambda: children.run(generation, path) == 2, "the new file")
    assert children.run(sizes, path) == (size + 2, size + 2)


@pytest.mark.parametrize("what", ["drop", "dropAll"])
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_drop(cluster: Cluster, place: Place, mounts: Mounts, children: Children, size: int, what: str) -> None:
    """A command makes mount and kernel forget, for however long they wanted to remember."""
    for name in ("changed", "other"):
        write(cluster, f"{place.path}/{name}/file", 1, size)
    mounted = mount(mounts, cluster, place.path, FOREVER, CACHED)
    path, other = mounted.join("changed/file"), mounted.join("other/file")
    assert children.run(generation, path) == children.run(generation, other) == 1
    for number in (2, 3):
        for name in ("changed", "other"):
            write(cluster, f"{place.path}/{name}/file", number, size)
        assert children.run(os.stat, path).st_size == size + number - 1
        assert command(mounted, children, what, "changed") == 0
        assert children.run(sizes, path) == (size + number, size + number)
        assert children.run(generation, path) == number
        expected = 1 if what == "drop" else number
        assert children.run(os.stat, other).st_size == size + expected


def test_readers_while_a_file_is_rewritten(
    cluster: Cluster, place: Place, mounts: Mounts, children: Children, private: Path
) -> None:
    """Whatever is read is of one version: of the one that was opened, or an error; and of the newest after a drop."""
    write(cluster, f"{place.path}/file", 1, LARGE)
    mounted = mount(mounts, cluster, place.path, f"{FOREVER},passthrough=off", CACHED)
    path, rewritten = mounted.join("file"), private / "rewritten"

    def watch() -> set[int]:
        seen = set()
        while not rewritten.exists():
            seen.add(generation(path))
        seen.add(generation(path))
        return seen

    reader = Reader(children, path)
    assert reader.read(0, 1000) == 1
    watchers = [children.start(watch) for _ in range(2)]
    for number in (2, 3, 4):
        time.sleep(0.3)
        write(cluster, f"{place.path}/file", number, LARGE)
        command(mounted, children, "drop")
        assert children.run(generation, path) == number
        assert reader.read(3 * BLOCK, BLOCK) in (1, -errno.EIO)
    reader.close()
    rewritten.touch()
    for watcher in watchers:
        seen = watcher.result()
        assert 4 in seen
        assert seen <= {1, 2, 3, 4, -errno.EIO, -errno.ENOENT}  # there is none for a moment
    mounted.unmount()


# ----------------------------------------------------------------------------------------------------------- commands


def test_size(cluster: Cluster, place: Place, mounts: Mounts, children: Children) -> None:
    """The command tells how many paths are remembered."""
    files = dataset.small(50)
    dataset.make(place.ufs, files)
    mounted = mount(mounts, cluster, place.path, "", CACHED)
    assert command(mounted, children, "size") <= 2
    paths = len(children.run(walk, mounted.path))
    assert paths <= command(mounted, children, "size") <= 2 * paths + 2
    assert command(mounted, children, "dropAll") == 0
    assert command(mounted, children, "size") <= 2


def test_what_is_no_command(cluster: Cluster, place: Place, mounts: Mounts, children: Children) -> None:
    """Other names of the kind do not exist; none does where commands are not enabled."""
    place.ufs.joinpath("file").write_text("content")
    mounted = mount(mounts, cluster, place.path, "", CACHED)
    for name in (".alluxiocli.", ".alluxiocli.metadatacache", f"{COMMAND}forget"):
        assert children.run(errno_of, os.stat, mounted.join(name)) == errno.ENOENT
    assert mounted.lines("WARN", f"{COMMAND}forget", "is no command")
    assert children.run(os.listdir, mounted.path) == ["file"]
    mounted = mount(mounts, cluster, place.path, "", {"alluxio.user.metadata.cache.enabled": "true"})
    assert children.run(errno_of, os.stat, mounted.join(f"{COMMAND}size")) == errno.ENOENT


# ------------------------------------------------------------------------------------------------- deleted, unfinished


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_a_deleted_file(cluster: Cluster, place: Place, mounts: Mounts, children: Children, size: int) -> None:
    """It is shown until it is forgotten; until a worker has heard of it too, it is even there to be read."""
    write(cluster, f"{place.path}/file", 1, size)
    mounted = mount(mounts, cluster, place.path, FOREVER, CACHED)
    path = mounted.join("file")
    assert children.run(sizes, path) == (size + 1, size + 1)
    cluster.shell.fs("rm", f"{place.path}/file")
    assert children.run(os.stat, path).st_size == size + 1
    assert children.run(generation, path) in (1, -errno.EIO, -errno.ENOENT)
    command(mounted, children, "drop")
    assert children.run(generation, path) == -errno.ENOENT
    assert children.run(os.listdir, mounted.path) == []


def test_a_file_that_appears(cluster: Cluster, place: Place, mounts: Mounts, children: Children) -> None:
    """That a name does not exist is remembered too; without the metadata cache it is not."""
    place.ufs.joinpath("directory").mkdir()
    cached = mount(mounts, cluster, place.path, "", CACHED)
    plain = mount(mounts, cluster, place.path)
    for mounted in (cached, plain):
        assert children.run(generation, mounted.join("directory/file")) == -errno.ENOENT
    write(cluster, f"{place.path}/directory/file", 1, SMALL)
    assert children.run(generation, plain.join("directory/file")) == 1
    assert children.run(generation, cached.join("directory/file")) == -errno.ENOENT
    command(cached, children, "drop", "directory")
    assert children.run(generation, cached.join("directory/file")) == 1


def test_a_look_up_that_contradicts_a_listing(
    cluster: Cluster, place: Place, mounts: Mounts, children: Children
) -> None:
    """What is found is listed, and what is not found is not, however long listings are remembered."""
    for number in range(3):
        write(cluster, f"{place.path}/directory/file{number}", 1, SMALL)
    mounted = mount(mounts, cluster, place.path, FOREVER, CACHED)
    top = mounted.join("directory")
    assert len(children.run(os.listdir, top)) == 3
    write(cluster, f"{place.path}/directory/new", 1, SMALL)
    assert children.run(generation, f"{top}/new") == 1
    assert "new" in children.run(os.listdir, top)
    assert children.run(errno_of, os.stat, f"{top}/none") == errno.ENOENT
    before = mounted.stats()
    assert len(children.run(os.listdir, top)) == 4
    assert "fetch_list" not in mounted.since(before)


def timed(action: Callable[[str], int], path: str) -> tuple[int, float]:
    """What an action returns, and how long it took."""
    began = time.monotonic()
    return action(path), time.monotonic() - began


@pytest.mark.parametrize(("size", "properties"), [(SMALL, CACHED), (LARGE, {})], ids=["small cached", "large plain"])
def test_an_unfinished_file(
    cluster: Cluster,
    place: Place,
    mounts: Mounts,
    children: Children,
    size: int,
    properties: dict[str, str],
) -> None:
    """It is shown; who opens it waits for its writer, up to 5 s, and gets EIO if that was in vain."""
    os.makedirs(place.ufs / "sub")
    data = pattern(b"/file", 1, 0, size + 1)
    mounted = mount(mounts, cluster, place.path, "", properties)
    path = mounted.join("file")
    unfinished = cluster.shell.begin(f"{place.path}/file", block_size=BLOCK)
    unfinished.append(data[:1000])
    assert set(children.run(os.listdir, mounted.path)) == {"file", "sub"}
    in_vain = children.start(timed, generation, path)
    got, seconds = in_vain.result()
    assert got == -errno.EIO
    assert seconds > 4
    for _ in range(20):  # it waits for 5 s, in which a busy machine may not get that far
        patient = children.start(generation, path)
        mounted.until(lambda s: s["requests_born"] > s["requests_died"], "the open to wait")
        if data:
            unfinished.append(data[1000:])
            unfinished.finish()
            data = b""
        got = patient.result()
        if got == 1:
            break
    assert got == 1
    assert children.run(sizes, path) == (size + 1, size + 1)
    assert children.run(generation, path) == 1


# ---------------------------------------------------------------------------------------------------- without a master


def test_while_the_master_is_away(cluster: Cluster, place: Place, mounts: Mounts, children: Children) -> None:
    """What was listed, and is in the memory of workers, stays readable; when he is back, what is new is seen."""
    files = {**dataset.small(40), "large": LARGE}
    dataset.make(place.ufs, files)
    cluster.shell.fs("load", place.path)
    mounted = [mount(mounts, cluster, place.path, NOW, CACHED), mount(mounts, cluster, place.path, NOW)]
    idle = mount(mounts, cluster, place.path, NOW)
    before = set(children.run(os.listdir, idle.path))

    def use(top: str) -> set[str]:
        found = set(walk(top))
        for name, size in files.items():
            check(f"{top}/{name}", name, size)
        return found

    for each in mounted:
        assert children.run(use, each.path) == set(files) | dataset.directories(files)
    cluster.kill9("master0")
    for each in mounted:
        assert children.run(use, each.path) == set(files) | dataset.directories(files)
        assert children.run(errno_of, os.stat, each.join("large/no")) == errno.ENOTDIR
    assert set(children.run(os.listdir, idle.path)) == before
    cluster.restart("master0")
    write(cluster, f"{place.path}/new", 1, SMALL)
    until(lambda: set(children.run(os.listdir, idle.path)) == before | {"new"}, "the new name")
    write(cluster, f"{place.path}/large", 2, LARGE)
    command(mounted[0], children, "drop")
    for each in mounted:
        path, size = each.join("large"), LARGE + 2
        until(lambda path=path, size=size: children.run(sizes, path) == (size, size), "the new file")
        assert children.run(generation, path) == 2
