"""The command refresh, and the names that are commands: what was told last is asked again, and nothing else happens."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children, as_user, until
from harness.mounting import COMMAND, Mounted, Mounts
from harness.readers import errno_of
from oss.bucket import Bucket

from alluxio_jnifuse.mounts.refresh import refresh

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

LONG = "attr_timeout=7200,entry_timeout=7200,negative_timeout=7200"
VIRTUAL = {"alluxio.fuse.special.command.enabled": "true"}
SOMEBODY = 54321


class Local:
    """A directory of this machine that is shown."""

    def __init__(self, root: Path) -> None:
        self.uri = str(root)
        self.root = root
        root.mkdir()

    def put(self, path: str, text: str) -> None:
        """Another file under that name, as a new version is put in its place."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(".new")
        new.write_text(text)
        new.rename(target)

    def delete(self, path: str) -> None:
        (self.root / path).unlink()

    def properties(self) -> dict[str, str]:
        return {}


class Oss:
    """A bucket that is shown."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.uri = bucket.uri

    def put(self, path: str, text: str) -> None:
        self._bucket.put(path, text.encode())

    def delete(self, path: str) -> None:
        self._bucket.delete(path)

    def properties(self) -> dict[str, str]:
        return self._bucket.properties()


@pytest.fixture(params=["local", "oss"])
def store(request: pytest.FixtureRequest, private: Path) -> Local | Oss:
    """What is mounted, and changes behind the mount."""
    if request.param == "local":
        return Local(private / "source")
    return Oss(request.getfixturevalue("bucket"))


def by_command(mounted: Mounted, children: Children, path: str) -> None:
    """`alluxio-jnifuse refresh`."""
    done = children.command(*COMMAND, "refresh", mounted.join(path), env=mounted.environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def by_name(mounted: Mounted, children: Children, path: str) -> None:
    """`ls -l DIRECTORY/.alluxiocli.metadatacache.drop`, which the kernel hears of a little later."""
    done = children.command("ls", "-l", mounted.join(os.path.join(path, ".alluxiocli.metadatacache.drop")))
    assert done.returncode == 0, done.stderr


def shown(top: str) -> dict[str, object]:
    """All that is to be seen of the files a, b, c, d in a directory: listed, looked up, read."""
    seen: dict[str, object] = {"listed": sorted(os.listdir(top))}
    for name in "abcd":
        path = os.path.join(top, name)
        if err := errno_of(os.stat, path):
            seen[name] = err
        else:
            with open(path, encoding="ascii") as file:
                seen[name] = (os.stat(path).st_size, file.read())
    return seen


BEFORE = {"listed": ["a", "b", "c"], "a": (1, "1"), "b": (1, "1"), "c": (1, "1"), "d": errno.ENOENT}
AFTER = {"listed": ["a", "c", "d"], "a": (2, "22"), "b": errno.ENOENT, "c": (1, "1"), "d": (1, "4")}


def change(store: Local | Oss, top: str) -> None:
    """BEFORE becomes AFTER."""
    store.put(f"{top}/a", "22")
    store.delete(f"{top}/b")
    store.put(f"{top}/d", "4")


@pytest.mark.parametrize("cache", [{}, {"alluxio.user.client.cache.enabled": "true"}], ids=["plain", "cached"])
@pytest.mark.parametrize("how", [by_command, by_name])
def test_everything_below_is_asked_again(
    store: Local | Oss,
    mounts: Mounts,
    children: Children,
    how: Callable[[Mounted, Children, str], None],
    cache: dict[str, str],
) -> None:
    """Names that came, went or changed, in listings and by name; elsewhere it stays as it was."""
    for top in ("x/y", "z"):
        for name in "abc":
            store.put(f"{top}/{name}", "1")
    mounted = mounts.mount(store, LONG, {**store.properties(), **VIRTUAL, **cache})
    for top in ("x/y", "z"):
        for _ in range(2):
            assert children.run(shown, mounted.join(top)) == BEFORE
        change(store, top)
        assert children.run(os.listdir, mounted.join(top)) == BEFORE["listed"]
    how(mounted, children, "x")
    if how is by_name:
        until(lambda: children.run(os.listdir, mounted.join("x/y")) == AFTER["listed"], "the kernel to be told")
        until(lambda: children.run(errno_of, os.stat, mounted.join("x/y/b")), "the kernel to be told")
        until(lambda: not children.run(errno_of, os.stat, mounted.join("x/y/d")), "the kernel to be told")
        until(lambda: children.run(os.stat, mounted.join("x/y/a")).st_size == 2, "the kernel to be told")
    for _ in range(2):
        assert children.run(shown, mounted.join("x/y")) == AFTER
    assert children.run(os.listdir, mounted.join("z")) == BEFORE["listed"]


def test_one_file(store: Local | Oss, mounts: Mounts, children: Children) -> None:
    """Also one of which nothing is known but that it is not there."""
    for name in "abc":
        store.put(f"x/{name}", "1")
    mounted = mounts.mount(store, LONG, store.properties())
    assert children.run(shown, mounted.join("x")) == BEFORE
    store.put("x/a", "22")
    by_command(mounted, children, "x/a")
    assert children.run(lambda: [os.stat(mounted.join(f"x/{name}")).st_size for name in "abc"]) == [2, 1, 1]
    store.put("x/d", "4")
    by_command(mounted, children, "x/d")
    assert children.run(os.listdir, mounted.join("x")) == ["a", "b", "c", "d"]


def test_symbolic_links(private: Path, mounts: Mounts, children: Children) -> None:
    """The kernel keeps where a link points to; a link that is named is followed, too."""
    store = Local(private / "source")
    store.put("one/f", "1")
    store.put("two/f", "22")
    link = private / "source" / "link"
    link.symlink_to("one")
    mounted = mounts.mount(store, LONG)
    path = mounted.join("link")
    assert children.run(os.readlink, path) == "one"
    assert children.run(os.stat, mounted.join("link/f")).st_size == 1
    link.unlink()
    link.symlink_to("two")
    assert children.run(os.readlink, path) == "one"
    by_command(mounted, children, "link")
    assert children.run(os.readlink, path) == "two"
    assert children.run(os.stat, mounted.join("link/f")).st_size == 2
    store.put("two/g", "3")
    assert children.run(os.listdir, path) == ["f", "g"]
    store.put("two/h", "3")
    outside = private / "outside"
    outside.symlink_to(path)
    done = children.command(*COMMAND, "refresh", outside, env=mounted.environ)
    assert done.returncode == 0, done.stderr
    assert children.run(os.listdir, path) == ["f", "g", "h"]


@pytest.mark.skipif(os.getuid() != 0, reason="mounts something")
@pytest.mark.parametrize("how", [by_command, by_name])
def test_working_directories_and_mounts_beneath_stay(
    store: Local | Oss, mounts: Mounts, children: Children, how: Callable[[Mounted, Children, str], None]
) -> None:
    """Who works in a directory goes on there, and sees what is new; what is mounted beneath it is still there."""
    for name in ("x/y/a", "x/m/a"):
        store.put(name, "1")
    mounted = mounts.mount(store, LONG, {**store.properties(), **VIRTUAL})
    reading, writing = os.pipe()
    ready, tell = os.pipe()

    def work() -> tuple[str, list[str], str]:
        os.chdir(mounted.join("x/y"))
        os.listdir(".")
        os.write(tell, b".")
        os.read(reading, 1)
        until(lambda: len(os.listdir(".")) == 2, "the new name")
        return os.getcwd(), sorted(os.listdir(".")), os.readlink("/proc/self/cwd")

    worker = children.start(work)
    os.read(ready, 1)
    mount = mounted.join("x/m")
    assert children.command("mount", "-t", "tmpfs", "inner", mount).returncode == 0
    try:
        store.put("x/y/b", "1")
        how(mounted, children, "")
        os.write(writing, b".")
        here = mounted.join("x/y")
        assert worker.result() == (here, ["a", "b"], here)
        assert children.command("mountpoint", mount).returncode == 0
    finally:
        children.command("umount", mount)
        for fd in (reading, writing, ready, tell):
            os.close(fd)


@pytest.mark.skipif(os.getuid() != 0, reason="becomes somebody else")
def test_whoever_may_use_the_mount(private: Path, mounts: Mounts, children: Children) -> None:
    """It needs no right that listing the directory does not need."""
    store = Local(private / "source")
    store.put("x/a", "1")
    mounted = mounts.mount(store, f"{LONG},allow_other")
    assert children.run(os.listdir, mounted.join("x")) == ["a"]
    store.put("x/b", "1")

    def somebody() -> list[str]:
        with as_user(SOMEBODY):
            refresh(mounted.join("x"))
            return sorted(os.listdir(mounted.join("x")))

    assert children.run(somebody) == ["a", "b"]


def test_what_cannot_be_refreshed(private: Path, mounts: Mounts, children: Children) -> None:
    """Each path is told of, and the others are refreshed all the same."""
    store = Local(private / "source")
    store.put("a", "1")
    mounted = mounts.mount(store, LONG)
    assert children.run(os.listdir, mounted.path) == ["a"]
    store.put("b", "1")
    missing = mounted.join("nowhere/file")
    done = children.command(*COMMAND, "refresh", private, missing, mounted.path, env=mounted.environ)
    assert done.returncode == 1
    assert f"{private}: is not on a mount of ours" in done.stderr
    assert "No such file or directory" in done.stderr
    assert missing.rpartition("/")[0] in done.stderr
    assert children.run(os.listdir, mounted.path) == ["a", "b"]
    done = children.command(sys.executable, "-m", "alluxio_jnifuse", "refresh", env=mounted.environ)
    assert done.returncode == 1
    assert "no PATH is named" in done.stderr
    for name in (".alluxiocli.metadatacache.drop", ".alluxiocli.x"):
        assert children.run(errno_of, os.stat, mounted.join(name)) == errno.ENOENT  # it has to be allowed
