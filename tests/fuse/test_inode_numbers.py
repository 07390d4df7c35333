"""Inode numbers: nothing shares one, they are the same wherever they are shown, and they last (docs/SEMANTICS.md)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import inodes
from harness.children import Children
from harness.mounting import CACHE, Mounted, Mounts
from harness.remote import FACTORIES
from oss.bucket import Bucket

pytestmark = [pytest.mark.fuse, pytest.mark.drops_caches, pytest.mark.timeout(600)]

LOCAL = {"passthrough": ("", {}), "daemon": ("passthrough=off", {}), "copied": ("", CACHE)}


def fill(top: Path) -> None:
    """The same names in several directories, more than fit into one reply, and hard links."""
    for directory in ("a", "d", "d/a", "d/e/f"):
        (top / directory).mkdir(parents=True, exist_ok=True)
        for i in range(200):
            (top / directory / f"file-{i}").write_text(f"{directory} {i}")
    (top / "symbolic link").symlink_to("a")
    os.link(top / "a" / "file-1", top / "d" / "hard link")
    os.link(top / "a" / "file-1", top / "hard link")


@pytest.fixture
def source(private: Path) -> Path:
    """A directory."""
    fill(private / "source")
    return private / "source"


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[Path]:
    """A directory with two file systems mounted in it, whose numbers are the same."""
    fill(tmp_path)
    mounted = [tmp_path / "one", tmp_path / "d" / "two"]
    for path in mounted:
        path.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path]).returncode:
            pytest.skip("nothing can be mounted here")
        fill(path)
    yield tmp_path
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.parametrize("how", LOCAL)
def test_a_directory(source: Path, mounts: Mounts, children: Children, how: str) -> None:
    """Its files show their own numbers, and names of one file the same."""
    options, properties = LOCAL[how]
    _, seen = inodes.lasting(children, lambda: mounts.mount(source, options, properties))
    assert {path: each.number for path, each in seen.items()} == {path: os.lstat(source / path).st_ino for path in seen}
    assert inodes.shared(seen) == [["a/file-1", "d/hard link", "hard link"]]
    assert len(seen) == sum(len(names) + len(files) for _, names, files in os.walk(source)) + 1


@pytest.mark.parametrize("how", LOCAL)
def test_several_devices(devices: Path, mounts: Mounts, children: Children, how: str) -> None:
    """Numbers of one device are not those of another, though the devices have the same; hard links stay together."""
    options, properties = LOCAL[how]
    _, seen = inodes.lasting(children, lambda: mounts.mount(devices, options, properties))
    own = {path: os.lstat(devices / path) for path in seen}
    assert len({status.st_ino for status in own.values()}) < len({(s.st_dev, s.st_ino) for s in own.values()})
    links = ["a/file-1", "d/hard link", "hard link"]
    tops = ("", "d/two/", "one/")
    assert inodes.shared(seen) == sorted(sorted(top + link for link in links) for top in tops)
    home = os.stat(devices).st_dev
    assert all(seen[path].number == status.st_ino for path, status in own.items() if status.st_dev == home)


def test_a_bucket(bucket: Bucket, mounts: Mounts, children: Children, private: Path) -> None:
    """Nothing has a number there: all are made up, and an object that is written again has another one."""
    fill(private / "tree")
    bucket.server.put_tree(bucket.name, private / "tree", "dir/")
    bucket.put("d/marked/", b"")
    bucket.put("d/a link of OSS", b"target", kind="Symlink")
    mounted, seen = inodes.lasting(children, lambda: mounts.mount(bucket.uri, "", bucket.properties()))
    assert inodes.shared(seen) == []
    assert "d/a link of OSS" in seen
    assert min(each.number for each in seen.values()) >= 1 << 62
    assert max(each.number for each in seen.values()) < 1 << 63
    assert not mounted.end()
    bucket.put("a/file-7", b"another one")
    again = children.run(inodes.look, mounts.mount(bucket.uri, "", bucket.properties()).path)
    assert {path for path in seen if seen[path].number != again[path].number} == {"a/file-7"}


def test_a_source_without_numbers(mounts: Mounts, children: Children) -> None:
    """Also of entries whose attributes a listing does not tell."""
    _, seen = inodes.lasting(children, lambda: mounts.mount(f"testing://{FACTORIES}#numberless"))
    assert inodes.shared(seen) == []
    assert len(seen) == 2 * 320 + 8


def test_with_every_timeout_at_zero(bucket: Bucket, mounts: Mounts, children: Children) -> None:
    """When each look asks the source anew, and the kernel keeps listings of the same names and numbers."""
    bucket.put_many({f"d/{i}": b"x" for i in range(30)})
    options = "attr_timeout=0,entry_timeout=0,negative_timeout=0"
    mounted, before = inodes.lasting(children, lambda: mounts.mount(bucket.uri, options, bucket.properties()))
    bucket.put("d/7", b"another one")
    after = children.run(inodes.look, mounted.path)
    assert {path for path in before if before[path].number != after[path].number} == {"d/7"}


# ----------------------------------------------------------------------------------------------- programs on a bucket

SIZES = {f"{top}/{i:03}": 1000 + i for top in ("t1", "t2", "t2/deep") for i in range(150)}


@pytest.fixture
def bucketful(bucket: Bucket, mounts: Mounts) -> Mounted:
    """Files of SIZES."""
    bucket.put_many({name: name.encode().ljust(size, b".") for name, size in SIZES.items()})
    bucket.server.reset()
    return mounts.mount(bucket.uri, "", bucket.properties())


def test_du_while_the_kernel_drops_its_caches(bucketful: Mounted, children: Children) -> None:
    """It counts each file once, whatever the kernel has forgotten meanwhile."""
    with inodes.dropping(children):
        for _ in range(5):
            done = children.command("du", "-scb", "t1", "t2", cwd=bucketful.path, timeout=inodes.TIMEOUT_S)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.splitlines()[-1] == f"{sum(SIZES.values())}\ttotal"


def test_cp_while_the_kernel_drops_its_caches(bucketful: Mounted, children: Children, private: Path) -> None:
    """It finds no file replaced."""
    with inodes.dropping(children):
        done = children.command("cp", "-a", bucketful.path, private / "copy", timeout=inodes.TIMEOUT_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert {n: (private / "copy" / n).stat().st_size for n in SIZES} == SIZES


def test_cp_is_read_ahead_of(bucketful: Mounted, bucket: Bucket, children: Children, private: Path) -> None:
    """It reads a directory in the order of its inode numbers; most of it is fetched before it is asked for."""
    done = children.command("cp", "-r", bucketful.join("t1"), private / "copy", timeout=inodes.TIMEOUT_S)
    assert (done.returncode, done.stderr) == (0, "")
    size = sum(size for name, size in SIZES.items() if name.startswith("t1/"))
    assert bucketful.stats()["fetch_prefetch_bytes"] > size // 2
    assert bucket.counts()["GET"] == 150


def backup(children: Children, name: str, repository: Path, top: str) -> None:
    """A run of a backup program, whose caches are beside its repository."""
    own = str(repository.parent / f"{name}-home")
    environ = {**os.environ, "HOME": own, "BORG_BASE_DIR": own, "RESTIC_PASSWORD": "x", "XDG_CACHE_HOME": own}
    words = {
        "borg": ("borg", "create", "--files-cache=ctime,size,inode", f"{repository}::{{now:%s.%f}}", "."),
        "restic": ("restic", "--repo", repository, "--quiet", "backup", "."),
    }[name]
    if not repository.exists():
        init = {"borg": ("borg", "init", "-e", "none"), "restic": ("restic", "init", "--quiet", "--repo")}[name]
        done = children.command(*init, repository, env=environ, timeout=inodes.TIMEOUT_S)
        assert done.returncode == 0, done.stderr
    done = children.command(*words, cwd=top, env=environ, timeout=inodes.TIMEOUT_S)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("program", ["borg", "restic"])
def test_a_backup_reads_what_is_new(
    bucket: Bucket, mounts: Mounts, children: Children, private: Path, program: str
) -> None:
    """In the next mount nothing but the object that was written since. borg distrusts the newest file: it is empty."""
    if subprocess.run(["which", program], capture_output=True).returncode:
        pytest.skip(f"{program} is not installed")
    bucket.put_many({name: name.encode().ljust(size, b".") for name, size in SIZES.items()})
    bucket.put("newest", b"", modified=time.time() + 1000)
    at = private / "mnt"
    for changed in (len(SIZES), 0, 1):
        if changed == 1:
            bucket.put("t1/007", b"another one")
        bucket.server.reset()
        mounted = mounts.mount(bucket.uri, "prefetch_window=0", bucket.properties(), at=at)
        backup(children, program, private / program, mounted.path)
        assert not mounted.end()
        assert bucket.counts()["GET"] == changed


def test_git_reads_what_is_new(bucket: Bucket, mounts: Mounts, children: Children, private: Path) -> None:
    """With an index that knows the files of one mount, it reads none of the next."""
    bucket.put_many({name: name.encode() for name in SIZES})
    at = private / "mnt"
    git = ("git", "--git-dir", private / "git", "--work-tree", at, "-c", "core.trustctime=true")
    assert children.command("git", "init", "-q", "--bare", private / "git").returncode == 0
    for got in (len(SIZES), 0):
        mounted = mounts.mount(bucket.uri, "prefetch_window=0", bucket.properties(), at=at)
        bucket.server.reset()
        for words in (("add", "-A"), ("status", "--porcelain")):
            done = children.command(*git, *words, cwd=at, timeout=inodes.TIMEOUT_S)
            assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == len(SIZES)
        assert bucket.counts()["GET"] == got
        assert not mounted.end()


# ------------------------------------------------------------------------------------------- programs on a directory


@pytest.mark.parametrize("how", LOCAL)
@pytest.mark.parametrize(
    "script",
    [
        "find . -xdev -printf '%i %n %y %p\\n' | sort",
        "find . -inum $(stat -c %i d/e/f/file-9)",
        "find . -samefile 'hard link' | sort",
        "ls -lUi --time-style=+ a | sort",
        "ls -ai d | sort",
        "du -scb a d",
        "tar -c --sort=name . | tar -tv",
        "rsync -aHn --itemize-changes --out-format='%i %n %L' . NOWHERE | sort",
        "python3 -c 'import os; print(sorted((e.name, e.inode()) for e in os.scandir(\"d\")))'",
    ],
)
def test_programs_on_a_directory(
    source: Path, mounts: Mounts, children: Children, private: Path, how: str, script: str
) -> None:
    """They print what they print in the directory itself, before and after the kernel drops its caches."""
    options, properties = LOCAL[how]
    mounted = mounts.mount(source, options, properties)
    words = ("sh", "-c", script.replace("NOWHERE", str(private / "nowhere")))
    native = children.command(*words, cwd=source, timeout=inodes.TIMEOUT_S)
    assert (native.returncode, native.stderr) == (0, "")
    assert native.stdout
    for _ in range(2):
        done = children.command(*words, cwd=mounted.path, timeout=inodes.TIMEOUT_S)
        assert (done.returncode, done.stderr, done.stdout) == (0, "", native.stdout)
        inodes.drop_caches()
