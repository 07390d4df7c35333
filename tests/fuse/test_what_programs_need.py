"""What docs/PROGRAMS.md says of other programs, where a test can tell."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest
from harness.children import Children, until
from harness.mounting import CACHE, Mounted, Mounts
from oss.bucket import Bucket

pytestmark = [pytest.mark.fuse, pytest.mark.both_bindings]

SIZE = (3 << 20) + 5
LIBC = ctypes.CDLL(None, use_errno=True)
IN_ALL_EVENTS, IN_OPEN, IN_MODIFY = 0xFFF, 0x20, 0x2
AT_FDCWD = -100


@pytest.fixture
def source(private: Path) -> Path:
    """A directory with a file of some size, and one in a directory."""
    (private / "source" / "sub").mkdir(parents=True)
    (private / "source" / "file").write_bytes(os.urandom(SIZE))
    (private / "source" / "sub" / "name").write_text("contents")
    return private / "source"


# ---------------------------------------------------------------------------------------------------------- O_DIRECT


def direct(path: str, length: int, offset: int, address: int = 0) -> bytes | int:
    """What one read past all caches brings, or its errno. `address`: of the buffer, beyond a border of pages."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        buffer = memoryview(mmap.mmap(-1, length + 4096))[address : address + length]
        return bytes(buffer[: os.preadv(fd, [buffer], offset)])
    except OSError as error:
        return error.errno or 0
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("options", "properties"),
    [("", {}), ("passthrough=off", {}), ("direct_io", {}), ("", CACHE)],
    ids=["passthrough", "daemon", "direct_io", "cached"],
)
def test_o_direct(source: Path, mounts: Mounts, children: Children, options: str, properties: dict[str, str]) -> None:
    """Reads the bytes; in passthrough with the file system's own rules of alignment, else with none."""
    contents = (source / "file").read_bytes()
    mounted = mounts.mount(source, options, properties)
    for length, offset in ((1 << 20, 0), (4096, 4096), (1 << 20, 3 << 20)):
        assert children.run(direct, mounted.join("file"), length, offset) == contents[offset : offset + length]
    own = not options and not properties and mounted.has("passthrough")
    for length, offset, address in ((1000, 0, 0), (4096, 100, 0), (4096, 0, 1)):
        expected = direct(str(source / "file"), length, offset, address) if own else contents[offset : offset + length]
        assert children.run(direct, mounted.join("file"), length, offset, address) == expected


# ----------------------------------------------------------------------------------------------------------- inotify


def events(fd: int) -> list[tuple[int, bytes]]:
    """What a watcher has seen: mask and name."""
    found = []
    try:
        raw = os.read(fd, 1 << 16)
    except BlockingIOError:
        return []
    while raw:
        _, mask, _, length = struct.unpack_from("iIII", raw)
        found.append((mask, raw[16 : 16 + length].rstrip(b"\0")))
        raw = raw[16 + length :]
    return found


def watch(top: str, source: str) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    """What a watcher of the mount sees of a change in the source, and then of a read through the mount."""
    fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert LIBC.inotify_add_watch(fd, os.fsencode(top), IN_ALL_EVENTS) >= 0
    with open(f"{source}/file", "ab") as file:
        file.write(b"more")
    with open(f"{source}/new", "wb") as file:
        file.write(b"new")
    changed = events(fd)  # the kernel queues an event before the call that causes it returns
    with open(f"{top}/file", "rb", buffering=0) as file:
        file.read(1)
    read = events(fd)
    os.close(fd)
    return changed, read


def test_inotify(source: Path, mounts: Mounts, children: Children) -> None:
    """Tells what is done through the mount, and nothing of what changes in the source."""
    mounted = mounts.mount(source)
    changed, read = children.run(watch, mounted.path, str(source))
    assert changed == []
    assert (IN_OPEN, b"file") in read


# ------------------------------------------------------------------------------------------------------ file handles


class Handle(ctypes.Structure):
    """struct file_handle."""

    _fields_ = [("length", ctypes.c_uint), ("kind", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]


def open_by_handle(mount: int, handle: Handle) -> int:
    """0, or the errno."""
    fd = LIBC.open_by_handle_at(mount, ctypes.byref(handle), os.O_RDONLY)
    if fd < 0:
        return ctypes.get_errno()
    os.close(fd)
    return 0


def use_handles(top: str, name: str) -> tuple[int, int]:
    """How a handle fares while its inode is in use, and once the kernel has dropped it."""
    handle, number = Handle(128), ctypes.c_int()
    fd = os.open(f"{top}/{name}", os.O_RDONLY)
    assert not LIBC.name_to_handle_at(
        AT_FDCWD, os.fsencode(f"{top}/{name}"), ctypes.byref(handle), ctypes.byref(number), 0
    )
    mount = os.open(top, os.O_RDONLY)
    used = open_by_handle(mount, handle)
    os.close(fd)

    def stale() -> bool:
        Path("/proc/sys/vm/drop_caches").write_text("2")
        return open_by_handle(mount, handle) != 0

    until(stale, "the kernel to drop the inode")
    return used, open_by_handle(mount, handle)


@pytest.mark.drops_caches
@pytest.mark.skipif(os.geteuid() != 0, reason="opening by handle is for root")
def test_file_handles(source: Path, mounts: Mounts, children: Children) -> None:
    """A handle is of use as long as the kernel knows the file, which is too short for NFS."""
    mounted = mounts.mount(source)
    assert children.run(use_handles, mounted.path, "sub/name") == (0, errno.ESTALE)


# ---------------------------------------------------------------------------------------------------------- indexers


@pytest.mark.skipif(shutil.which("updatedb") is None or shutil.which("plocate") is None, reason="no plocate here")
def test_updatedb(source: Path, mounts: Mounts, private: Path) -> None:
    """Leaves a mount out when its type is in PRUNEFS; "fuse" alone does not name it."""
    mounted = mounts.mount(source)
    assert f"{mounted.path}/sub/name" in indexed(mounted, private, "fuse")
    assert indexed(mounted, private, "fuse.alluxio-fuse") == []


def indexed(mounted: Mounted, top: Path, pruned: str) -> list[str]:
    """The names in a mount that updatedb finds beneath a directory."""
    words = ["updatedb", "-l", "0", "-U", top, "-o", top / "db", "--prunefs", pruned, "--prunepaths", ""]
    subprocess.run(words, check=True, timeout=120)
    found = subprocess.run(
        ["plocate", "-d", top / "db", f"{mounted.path}/"], capture_output=True, text=True, timeout=120, check=False
    )
    return found.stdout.splitlines()


# --------------------------------------------------------------------------------------------------------------- git


CHECK = """\
path=$1 kind=$2 inside=$3
grep -E " $path " /proc/self/mountinfo | grep -q " - $kind " || exit 1
stat "$path" >/dev/null || exit 2
[ -z "$inside" ] || [ -e "$path/$inside" ] || exit 3
mount | grep -q "^alluxio-fuse on $path type $kind " || exit 4
"""
OF_FLUID = "kernel_cache,ro,attr_timeout=7200,entry_timeout=7200,max_read=131072,nonempty,max_readahead=0"


@pytest.mark.parametrize("options", ["kernel_cache,rw", OF_FLUID, f"{OF_FLUID},allow_other,uid=1000,gid=1000"])
def test_checks_of_mounts(source: Path, mounts: Mounts, children: Children, options: str) -> None:
    """What Fluid, the CSI driver and Alluxio's documents look for, with the options that Fluid sets."""
    mounted = mounts.mount(source, options)
    for inside, code in (("", 0), ("sub", 0), ("file", 0), ("missing", 3)):
        done = children.command("sh", "-c", CHECK, "check", mounted.path, "fuse.alluxio-fuse", inside)
        assert done.returncode == code, (inside, done)


def test_git_on_a_bucket(mounts: Mounts, bucket: Bucket, private: Path) -> None:
    """With an index of its own outside of the mount `git status` reads no file twice, not even after a remount.

    The files are an hour old: git reads one again that is not older than the index, by whole seconds.
    """
    repository = private / "repository"
    an_hour_ago = time.time() - 3600
    for number in range(50):
        path = repository / f"d{number % 5}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * 50)
    (repository / "script").write_text("#!/bin/sh\n")
    (repository / "script").chmod(0o755)
    for path in repository.rglob("*"):
        os.utime(path, (an_hour_ago, an_hour_ago))
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        git(repository, private, *words)
    bucket.server.put_tree(bucket.name, repository, "dir/")
    mounted = mounts.mount(bucket.uri, "", bucket.properties())
    top = Path(mounted.path)
    index = private / "index"
    shutil.copyfile(top / ".git" / "index", index)
    assert git(top, private, "status", "--short", index=index) == " M script\n"
    switch = ("-c", "core.fileMode=false")
    assert git(top, private, *switch, "status", "--short", index=index) == ""
    assert not mounted.end()
    mounted = mounts.mount(bucket.uri, "", bucket.properties(), at=top)
    bucket.server.reset()
    assert git(top, private, *switch, "status", "--short", index=index) == ""
    assert not [key for key in read_of(bucket) if "/.git/" not in key]
    assert git(top, private, "log", "--format=%s") == "all\n"


def read_of(bucket: Bucket) -> list[str]:
    """The keys of the objects that were read since the last reset."""
    return [entry.key for entry in bucket.server.requests() if entry.method == "GET" and entry.key]


def git(top: Path, home: Path, *words: str, index: Path | None = None) -> str:
    """Runs git there as somebody without settings; returns what it prints."""
    environ = {
        **os.environ,
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": f"a@{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        **({"GIT_INDEX_FILE": str(index)} if index else {}),
    }
    done = subprocess.run(
        ["git", "-C", top, *words], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
