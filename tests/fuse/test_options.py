"""Mount options that say who may do what, and what is shown to them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from harness.children import Children, as_user, until
from harness.mounting import Mounted, Mounts
from harness.readers import MIB, check, errno_of, write

from alluxio_jnifuse.mounts import table

pytestmark = pytest.mark.fuse

SOMEBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def source(private: Path) -> Path:
    """A directory with a file for everybody and a file for its owner."""
    root = private / "source"
    root.mkdir()
    (root / "public").write_text("public")
    (root / "private").write_text("private")
    (root / "private").chmod(0o600)
    (root / "program").write_text("#!/bin/sh\necho it runs\n")
    (root / "program").chmod(0o755)
    return root


def read_as(uid: int, path: str) -> int:
    """The errno of reading a file as a user, in a child."""

    def read() -> None:
        with open(path, "rb") as file:
            file.read()

    with as_user(uid):
        return errno_of(read)


@as_root
def test_other_users(source: Path, mounts: Mounts, children: Children) -> None:
    """Another user may use the mount with allow_other only."""
    closed, opened = mounts.mount(source), mounts.mount(source, "allow_other")
    assert children.run(read_as, SOMEBODY, closed.join("public")) == errno.EACCES
    assert children.run(read_as, SOMEBODY, opened.join("public")) == 0
    assert children.run(read_as, 0, closed.join("public")) == 0


@as_root
def test_default_permissions(source: Path, mounts: Mounts, children: Children) -> None:
    """The kernel keeps another user from what the mode does not allow him; see test_permissions.py."""
    mounted = mounts.mount(source, "allow_other")
    assert children.run(read_as, SOMEBODY, mounted.join("public")) == 0
    assert children.run(read_as, SOMEBODY, mounted.join("private")) == errno.EACCES
    assert children.run(read_as, 0, mounted.join("private")) == 0


def test_owner(source: Path, mounts: Mounts, children: Children) -> None:
    """uid and gid are shown as the owner of everything."""
    mounted = mounts.mount(source, "uid=1234,gid=5678")
    for name in ("", "public", "private"):
        status = children.run(os.stat, mounted.join(name))
        assert (status.st_uid, status.st_gid) == (1234, 5678)
    assert {entry.st_uid for entry in listed(mounted, children)} == {1234}


def test_umask(source: Path, mounts: Mounts, children: Children) -> None:
    """umask takes the place of the source's modes, as in libfuse: everything is allowed but its bits."""
    mounted = mounts.mount(source, "umask=027")
    for name, kind in (("", 0o040000), ("public", 0o100000), ("private", 0o100000)):
        assert children.run(os.stat, mounted.join(name)).st_mode == kind | 0o750


def listed(mounted: Mounted, children: Children) -> list[os.stat_result]:
    """The attributes of all entries of the root, by way of a listing."""

    def scan() -> list[os.stat_result]:
        with os.scandir(mounted.path) as entries:
            return [entry.stat(follow_symlinks=False) for entry in entries]

    return children.run(scan)


def flags_of(path: str) -> tuple[str, str, set[str]]:
    """Device, type and options of a mount, as /proc/mounts shows them."""
    with open("/proc/mounts", encoding="utf-8") as file:
        for line in file:
            device, where, kind, options = line.split()[:4]
            if where == path:
                return device, kind, set(options.split(","))
    raise AssertionError(f"{path} is not mounted")


def test_as_the_kernel_shows_it(source: Path, mounts: Mounts) -> None:
    """The type is fuse.alluxio-fuse; by default the mount is read-only, without devices and set-user-id bits."""
    device, kind, options = flags_of(mounts.mount(source).path)
    assert (device, kind) == ("alluxio-fuse", "fuse.alluxio-fuse")
    assert {"ro", "nosuid", "nodev"} <= options
    assert not {"noexec", "allow_other", "default_permissions"} & options


def test_flags_of_the_kernel(source: Path, mounts: Mounts) -> None:
    """Options of mount(2) reach it, and their opposites too."""
    chosen = "rw,noexec,noatime,allow_other,default_permissions,max_read=65536,fsname=here\\,there"
    device, _, options = flags_of(mounts.mount(source, chosen).path)
    assert device == "here,there"
    assert {"rw", "noexec", "noatime", "allow_other", "default_permissions", "max_read=65536"} <= options
    if os.geteuid() == 0:
        _, _, options = flags_of(mounts.mount(source, "suid,dev,exec").path)
        assert not {"nosuid", "nodev", "noexec"} & options


def test_programs_run(source: Path, mounts: Mounts, children: Children) -> None:
    """A program on the mount runs, unless noexec is given."""
    assert children.command(mounts.mount(source).join("program")).stdout == "it runs\n"
    refused = mounts.mount(source, "noexec")
    assert children.run(errno_of, os.execv, refused.join("program"), ["program"]) == errno.EACCES


def test_words_without_effect(source: Path, mounts: Mounts, children: Children) -> None:
    """big_writes, nonempty and _netdev are taken; alluxio.KEY=VALUE is a property."""
    mounted = mounts.mount(
        source, "big_writes,nonempty,_netdev,auto_cache,allow_other,alluxio.user.client.cache.enabled=true"
    )
    assert children.command("cat", mounted.join("public")).stdout == "public"
    assert mounted.stats()["fetch_read"] > 0


def test_unknown_options(source: Path, mounts: Mounts) -> None:
    """An unknown option is refused by its name, and nothing is mounted."""
    with pytest.raises(AssertionError, match="unknown mount option: attr_timeot"):
        mounts.mount(source, "ro,attr_timeot=3")
    assert table.top_at(str(mounts.root / "mnt0")) is None


@as_root
def test_background_requests(source: Path, mounts: Mounts, children: Children) -> None:
    """max_background and congestion_threshold reach the kernel."""
    mounted = mounts.mount(source, "max_background=100,congestion_threshold=60")
    entry = table.top_at(mounted.path)
    assert entry is not None
    control = "/sys/fs/fuse/connections"
    script = f"mount -t fusectl none {control} && cat {control}/{entry.minor}/max_background"
    script += f" {control}/{entry.minor}/congestion_threshold"
    done = children.command("unshare", "--mount", "sh", "-c", script)  # it may not be mounted everywhere
    assert done.stdout == "100\n60\n", done.stderr


@pytest.mark.skipif(not os.access("/usr/bin/fusermount3", os.X_OK), reason="fusermount3 is not installed")
def test_auto_unmount(source: Path, mounts: Mounts) -> None:
    """With auto_unmount the mount goes with its daemon, even if that was killed."""
    mounted = mounts.mount(source, "auto_unmount")
    mounted.kill()
    until(lambda: table.top_at(mounted.path) is None, "fusermount3 to unmount")


def test_io_uring_falls_back(private: Path, mounts: Mounts, children: Children) -> None:
    """With io_uring the mount reads the same bytes, whether the kernel grants it or not."""
    (private / "source").mkdir()
    write(private / "source" / "file", 5 * MIB)
    mounted = mounts.mount(private / "source", "io_uring,passthrough=off")
    children.run(check, mounted.join("file"), 5 * MIB)
    assert mounted.has("io_uring") == (Path("/sys/module/fuse/parameters/enable_uring").read_text() == "Y\n")
