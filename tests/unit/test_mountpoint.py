"""A mount point is made ready, or refused with a sentence, without ever waiting for what is mounted there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import privileges, table
from alluxio_jnifuse.mounts.alive import is_stale
from alluxio_jnifuse.mounts.point import prepare

MOUNTINFO = rb"""22 1 0:20 / /proc rw,nosuid - proc proc rw
30 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
41 30 0:47 / /mnt/a\040b\134c ro,nosuid,nodev shared:9 master:3 - fuse.alluxio-fuse alluxio\040fuse ro,user_id=0
42 41 0:48 / /mnt/a\040b\134c rw - tmpfs tmpfs rw
nonsense
"""


def test_mountinfo() -> None:
    """mountinfo is read with its escapes, its optional fields and its device numbers."""
    entries = table.parse(MOUNTINFO)
    assert [entry.mountpoint for entry in entries] == ["/proc", "/", "/mnt/a b\\c", "/mnt/a b\\c"]
    assert entries[2] == table.MountEntry("/mnt/a b\\c", "fuse.alluxio-fuse", "alluxio fuse", 0, 47, True)
    assert [entry.shared for entry in entries] == [False, True, True, False]


def test_what_is_mounted_here() -> None:
    """The mounts of this machine are seen, and nothing where nothing is."""
    found = table.top_at("/proc")
    assert found is not None
    assert found.fstype == "proc"
    assert os.makedev(found.major, found.minor) == os.stat("/proc").st_dev
    assert table.top_at("/nonexistent") is None


def test_the_ground_of_a_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount point is on the nearest mount above it, or on the one at its place that is not ours."""
    monkeypatch.setattr(table, "read", lambda: table.parse(MOUNTINFO))

    def ground(path: str) -> str:
        found = table.ground(path)
        assert found is not None
        return f"{found.mountpoint} {found.fstype}"

    assert ground("/a/b") == ground("/") == "/ ext4"
    assert ground("/proc/self") == "/proc proc"
    assert ground("/procession") == "/ ext4"
    assert ground("/mnt/a b\\c") == ground("/mnt/a b\\c/d") == "/mnt/a b\\c tmpfs"
    monkeypatch.setattr(table, "read", lambda: table.parse(MOUNTINFO)[:-1])
    assert ground("/mnt/a b\\c") == "/ ext4"
    monkeypatch.setattr(table, "read", list)
    assert table.ground("/a") is None


def test_missing_directory_is_created(tmp_path: Path) -> None:
    """A mount point that does not exist is made, its parents too."""
    wanted = tmp_path / "a" / "b"
    assert prepare(str(wanted)) == str(wanted)
    assert wanted.is_dir()


def test_path_becomes_absolute_and_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path, and one through symbolic links, becomes the one that mountinfo shows."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "chain").symlink_to(tmp_path / "link" / "mnt")
    monkeypatch.chdir(tmp_path)
    assert prepare("link/../link/mnt") == f"{tmp_path}/real/mnt"
    assert prepare("chain") == f"{tmp_path}/real/mnt"
    assert table.resolve("/") == "/"
    assert table.resolve("real/") == f"{tmp_path}/real"


def test_file_is_refused(tmp_path: Path) -> None:
    """A regular file is no mount point."""
    (tmp_path / "file").touch()
    with pytest.raises(MountError, match=r"/file: is a file, not a directory"):
        prepare(f"{tmp_path}/file")


def test_non_empty_directory_is_refused(tmp_path: Path) -> None:
    """A directory with entries is refused with the name of one, unless nonempty is asked for."""
    (tmp_path / "entry").touch()
    with pytest.raises(MountError, match=r"is not empty \(it holds 'entry'\); .* -o nonempty"):
        prepare(str(tmp_path))
    assert prepare(str(tmp_path), nonempty=True) == str(tmp_path)


def test_directory_that_cannot_be_created(tmp_path: Path) -> None:
    """The reason why a mount point cannot be made is told."""
    (tmp_path / "file").touch()
    with pytest.raises(MountError, match="Not a directory"):
        prepare(f"{tmp_path}/file/mnt")


def test_busy_mount_is_refused() -> None:
    """What is mounted already is named and left alone."""
    with pytest.raises(MountError, match=r"/proc: .* \(proc\) is mounted there already"):
        prepare("/proc")


def test_live_directory_is_not_stale(tmp_path: Path) -> None:
    """What answers, well or with an error of its own, has not lost its daemon."""
    assert not is_stale(str(tmp_path))
    assert not is_stale(f"{tmp_path}/missing")
    assert table.probe(f"{tmp_path}/missing", 5.0) == errno.ENOENT


ROOT = privileges.Situation("/dev/fuse", True, True, True, True, "", "/etc/fuse.conf", False)
USER = ROOT._replace(privileged=False, root=False, helper="/usr/bin/fusermount3")


def check(now: privileges.Situation, **asked: bool) -> None:
    """Checks a mount with or without allow_other."""
    privileges.check(now, **{"others": False, **asked})


def test_nothing_against_it() -> None:
    """Root needs no helper, an ordinary user needs only that."""
    check(ROOT, others=True)
    check(USER)
    check(USER._replace(others_permitted=True), others=True)


@pytest.mark.parametrize(
    ("now", "asked", "message"),
    [
        (ROOT._replace(device_there=False), {}, r"there is no /dev/fuse; load the kernel module .* --device /dev/fuse"),
        (USER._replace(helper=""), {}, "fusermount3, which would, is not installed; install the package fuse3"),
        (USER, {"others": True}, "not permitted to ordinary users .* add the line user_allow_other to /etc/fuse.conf"),
        (USER._replace(device_usable=False), {}, "may not open /dev/fuse; make it readable"),
    ],
)
def test_what_stands_against_it(now: privileges.Situation, asked: dict[str, bool], message: str) -> None:
    """What makes a mount impossible is said before it is tried, with what to do about it."""
    with pytest.raises(MountError, match=message):
        check(now, **asked)


def test_looking_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Device, helper and fuse.conf are looked at as they are."""
    device, conf, helper = tmp_path / "fuse", tmp_path / "fuse.conf", tmp_path / "fusermount3"
    monkeypatch.setenv("PATH", str(tmp_path))
    before = privileges.look(str(device), str(conf))
    assert (before.device_there, before.device_usable, before.others_permitted) == (False, False, False)
    assert before.root == (os.geteuid() == 0)
    device.touch()
    conf.write_text("mount_max = 7\n#user_allow_other\n")
    helper.touch(mode=0o644)
    now = privileges.look(str(device), str(conf))
    assert now == before._replace(device_there=True, device_usable=True)
    conf.write_text("mount_max = 7\n user_allow_other\n")
    helper.chmod(0o755)
    now = privileges.look(str(device), str(conf))
    assert now.others_permitted
    assert now.helper == before.helper  # what PATH leads to may be anybody's


def test_failed_mount_is_explained(tmp_path: Path) -> None:
    """The reason for a failed mount is what libfuse said, or the errno's words, with what may help."""
    refused = OSError(errno.EPERM, "Operation not permitted")
    said = privileges.explain(refused, "fuse: mount failed:\n why", "/mnt/a", ROOT)
    assert str(said).startswith("cannot mount on /mnt/a: fuse: mount failed: why; a security module may forbid it")
    silent = privileges.explain(OSError(errno.EINVAL, "Invalid argument"), "", "/mnt/a", ROOT)
    assert str(silent) == "cannot mount on /mnt/a: Invalid argument"
    helper = tmp_path / "fusermount3"
    helper.touch(mode=0o755)
    found = privileges.explain(refused, "", "/mnt/a", USER._replace(helper=str(helper)))
    assert "is not set-user-id root" in str(found)
    assert "--cap-add SYS_ADMIN" in str(privileges.explain(refused, "", "/mnt/a", ROOT._replace(privileged=False)))
