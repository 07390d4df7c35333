"""Unmounting what is in use: refused as umount(8) refuses it, detached on request, and never harmful to who uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.children import Children, until
from harness.mounting import CACHE, COMMAND, Mounts, is_running, run
from harness.readers import MIB, check, write
from harness.remote import RemoteSource

import alluxio_jnifuse
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.registry import Registry
from alluxio_jnifuse.mounts.unmount import unmount_at
from alluxio_jnifuse.testing import Pattern

pytestmark = pytest.mark.fuse

STRANGER = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")

# Programs that use argv[1], say so, and go on until their stdin ends; then they read what they have.
OPEN = "import sys; f = open(sys.argv[1], 'rb'); print(flush=True); sys.stdin.read(); print(len(f.read()))"
MAPPED = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
m = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
os.close(fd)
print(flush=True); sys.stdin.read(); print(len(m[:]))
"""
INSIDE = (
    "import os, sys; os.chdir(os.path.dirname(sys.argv[1])); print(flush=True); sys.stdin.read(); print(os.getcwd())"
)


@pytest.fixture
def source(private: Path) -> Path:
    """A directory with a file and an empty directory."""
    root = private / "source"
    (root / "inner").mkdir(parents=True)
    write(root / "file", 3 * MIB)
    return root


@contextmanager
def user(program: str, path: str) -> Iterator[subprocess.Popen[str]]:
    """A process that uses a file; in the end it is let go on and must succeed."""
    words = [sys.executable, "-c", program, path]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "\n"
            yield process
        finally:
            process.kill()


def test_what_is_in_use_stays(source: Path, mounts: Mounts, children: Children) -> None:
    """A mount in use is not unmounted, whatever the use: exit code 32, and its users, who notice nothing, are named.

    The same as of umount(8), which is asked first.
    """
    mounted = mounts.mount(source)
    for program, said in ((OPEN, str(3 * MIB)), (MAPPED, str(3 * MIB)), (INSIDE, mounted.path)):
        with user(program, mounted.join("file")) as process:
            plain = children.command("umount", mounted.path)
            assert (plain.returncode, "target is busy" in plain.stderr) == (32, True)
            done = mounted.unmount()
            assert done.returncode == 32
            name = Path(f"/proc/{process.pid}/comm").read_text().strip()
            assert done.stderr == (
                f"alluxio-jnifuse: {mounted.path}: target is busy: in use by {name} ({process.pid}); "
                "end what uses it, or detach it (-l)\n"
            )
            assert table.top_at(mounted.path) is not None
            assert is_running(mounted.pid)
            out, _ = process.communicate(timeout=120)
            assert (process.returncode, out) == (0, f"{said}\n")
    children.run(check, mounted.join("file"), 3 * MIB)
    assert mounted.end() == []


@pytest.mark.parametrize("cached", [False, True], ids=["passthrough", "cached"])
def test_an_open_file(source: Path, mounts: Mounts, remote: Callable[..., RemoteSource], cached: bool) -> None:
    """A file that is read through the daemon keeps its mount as one in passthrough does; each is read to its end."""
    mounted = mounts.mount(remote({b"file": Pattern(3 * MIB)}), "", CACHE) if cached else mounts.mount(source)
    with user(OPEN, mounted.join("file")) as process:
        for words in ((), ("-w", "1")):
            assert mounted.unmount(*words).returncode == 32
        out, _ = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, f"{3 * MIB}\n")
    assert mounted.unmount().returncode == 0
    assert mounted.gone()


def test_a_mount_inside(source: Path, mounts: Mounts, children: Children) -> None:
    """What is mounted inside a mount keeps it, and is named; so is what is mounted over it."""
    outer = mounts.mount(source)
    inner = mounts.mount(source, at=Path(outer.join("inner")))
    done = outer.unmount()
    assert done.returncode == 32
    assert f"target is busy: {inner.path} (fuse.alluxio-fuse) is mounted in it; " in done.stderr
    assert inner.end() == []
    if os.geteuid() == 0:
        assert children.command("mount", "-t", "tmpfs", "over", outer.path).returncode == 0
        done = outer.unmount()
        assert done.returncode == 1
        assert f"over (tmpfs) is mounted over it; unmount that first (umount {outer.path})" in done.stderr
        assert children.command("umount", outer.path).returncode == 0
    children.run(check, outer.join("file"), 3 * MIB)
    assert outer.end() == []


def test_many_users(source: Path, mounts: Mounts) -> None:
    """Of many users a few are named, and the number of the others."""
    mounted = mounts.mount(source)
    holders = [subprocess.Popen(["sleep", "600"], cwd=mounted.path) for _ in range(7)]
    try:
        done = mounted.unmount()
        assert done.returncode == 32
        assert done.stderr.count("sleep (") == 5
        assert ", 2 others; " in done.stderr
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()
    assert mounted.end() == []


@pytest.mark.parametrize("word", ["-l", "--lazy", "-f", "--force"])
def test_detached(source: Path, mounts: Mounts, word: str) -> None:
    """A mount in use is detached on request, its daemon ends, and a file in passthrough stays readable."""
    mounted = mounts.mount(source)
    passthrough = mounted.has("passthrough")
    with user(OPEN, mounted.join("file")) as process:
        mounted.killed = word in ("-f", "--force")
        done = mounted.unmount(word)
        assert (done.returncode, done.stderr) == (0, "")
        assert mounted.gone()
        out, _ = process.communicate(timeout=120)
        if passthrough:
            assert (process.returncode, out) == (0, f"{3 * MIB}\n")


def test_a_user_who_ends(source: Path, mounts: Mounts) -> None:
    """Who comes back when the users have gone unmounts; a dead mount in use is always taken away."""
    mounted = mounts.mount(source)
    with user(INSIDE, mounted.join("file")) as process:
        assert mounted.unmount().returncode == 32
        process.kill()
        process.wait()
    assert mounted.unmount().returncode == 0
    mounted = mounts.mount(source)
    with user(INSIDE, mounted.join("file")):
        mounted.kill()
        assert mounted.unmount().returncode == 0
        assert table.top_at(mounted.path) is None


def test_by_every_name(source: Path, mounts: Mounts) -> None:
    """A mount is found, and unmounted, under each way to write its path."""
    root = mounts.root
    (root / "place").mkdir()
    (root / "link").symlink_to("place/mnt")
    (root / "parent").symlink_to("place")
    (root / "chain").symlink_to("link")
    for name in ("place/mnt", "place/mnt/", "place//mnt", "./place/./mnt/.", "place/x/../mnt", "link", "parent/mnt",
                 "chain", "link/", f"{root}/place/mnt", f"//{root}/place/mnt//"):  # fmt: skip
        mounted = mounts.mount(source, at=root / "place" / "mnt")
        for words in (["health"], ["stat", "--stats"], ["umount"]):
            done = run([*COMMAND, *words, name], mounted.environ, cwd=root)
            assert done.returncode == 0, (words, name, done.stderr)
        assert mounted.end() == []
        done = run([*COMMAND, "mount", "-u", str(source), name], mounts.environ(90), cwd=root)
        assert done.returncode == 0, (name, done.stderr)
        assert table.top_at(f"{root}/place/mnt") is not None
        run([*COMMAND, "umount", f"{root}/place/mnt"], mounts.environ(90)).check_returncode()


def test_a_program_that_uses_its_own_mount(source: Path, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python API refuses as the command does; leaving the block unmounts all the same."""
    monkeypatch.setenv("ALLUXIO_LOGS_DIR", str(private / "logs"))
    with alluxio_jnifuse.mount(source, private / "mnt") as mounted:
        with user(OPEN, f"{mounted.mountpoint}/file") as process:
            with pytest.raises(MountError, match=rf"target is busy: in use by .* \({process.pid}\)"):
                mounted.unmount()
            assert is_running(mounted.pid)
        mounted.unmount()
        assert not is_running(mounted.pid)
    with alluxio_jnifuse.mount(source, private / "mnt") as mounted:
        holder = subprocess.Popen(["sleep", "600"], cwd=mounted.mountpoint)
    assert not is_running(mounted.pid)
    assert table.top_at(mounted.mountpoint) is None
    holder.kill()
    holder.wait()


# --------------------------------------------------------------------------------------------- in others' directories


@pytest.fixture
def swapped(source: Path, private: Path, mounts: Mounts) -> Iterator[tuple[str, str]]:
    """Two mounts: one of which the path, in a stranger's directory, now leads through his link to the other."""
    theirs = private / "theirs"
    (theirs / "d" / "m").mkdir(parents=True)
    (private / "other" / "m").mkdir(parents=True)
    for path in (theirs, theirs / "d"):
        os.chown(path, STRANGER, STRANGER)
    mounted, _ = (mounts.mount(source, at=path) for path in (theirs / "d" / "m", private / "other" / "m"))
    (theirs / "d").rename(theirs / "old")
    (theirs / "d").symlink_to(private / "other")
    os.lchown(theirs / "d", STRANGER, STRANGER)
    yield str(theirs / "d" / "m"), str(private / "other" / "m")
    # Where it has gone it is unmounted as anything.
    done = run([*COMMAND, "umount", str(theirs / "old" / "m")], mounts.environ())
    assert done.returncode == 0, done.stderr
    until(lambda: not is_running(mounted.pid), "the daemon to end")


@as_root
@pytest.mark.parametrize("arguments", [[], ["-l"], ["-f"]])
def test_a_link_of_somebody_else(swapped: tuple[str, str], private: Path, mounts: Mounts, arguments: list[str]) -> None:
    """Leads root to no other mount, and has him mount over nothing."""
    path, other = swapped
    done = run([*COMMAND, "umount", *arguments, path], mounts.environ())
    assert done.returncode == 1
    assert "symbolic link that another user can change" in done.stderr
    assert table.top_at(other) is not None
    assert Registry().find(other) is not None
    (private / "other" / "n").mkdir()
    done = run(
        [*COMMAND, "mount", "-u", str(private / "source"), os.path.join(os.path.dirname(path), "n")], mounts.environ()
    )
    assert done.returncode == 1
    assert table.top_at(str(private / "other" / "n")) is None


@as_root
def test_a_link_that_comes_after_the_path_was_resolved(swapped: tuple[str, str]) -> None:
    """The daemon, too, unmounts by a path that it resolved long ago."""
    path, other = swapped
    for lazy in (False, True):
        with pytest.raises(PermissionError):
            unmount_at(path, lazy=lazy)
    assert table.top_at(other) is not None


@as_root
def test_a_link_of_our_own(source: Path, private: Path, mounts: Mounts) -> None:
    """Is followed, as ever."""
    (private / "there").mkdir()
    (private / "link").symlink_to("there")
    mounted = mounts.mount(source, at=private / "there" / "m")
    assert run([*COMMAND, "umount", str(private / "link" / "m")], mounts.environ()).returncode == 0
    assert mounted.gone()
