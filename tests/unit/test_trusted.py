"""Paths that somebody else could change the meaning of are refused, with the name of the place."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from alluxio_jnifuse.system import trusted

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")

SOMEBODY = 65534


def opened(path: Path, make: bool = False) -> str:
    """Where the path leads."""
    fd = trusted.open_directory(str(path), make=make)
    try:
        assert stat.S_ISDIR(os.fstat(fd).st_mode)
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def refused(path: Path) -> str:
    """What is said of a path."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(trusted.UntrustedPath) as caught:
        opened(path, make=True)
    assert len(os.listdir("/proc/self/fd")) == before
    assert caught.value.errno == errno.EPERM
    return str(caught.value.strerror)


def test_what_is_missing_is_made(tmp_path: Path) -> None:
    """For this user alone, whatever the umask is."""
    before = os.umask(0)
    try:
        assert opened(tmp_path / "a/b/c", make=True) == str(tmp_path / "a/b/c")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_what_is_missing_is_an_error(tmp_path: Path) -> None:
    """Unless it is to be made."""
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "a")


@pytest.mark.parametrize("place", ["", "in", "in/in"])
def test_a_directory_that_others_may_write_to(tmp_path: Path, place: str) -> None:
    """Anywhere on the way, unless it is sticky."""
    (tmp_path / "in/in").mkdir(parents=True)
    for mode in (0o777, 0o770, 0o707):
        (tmp_path / place).chmod(mode)
        said = refused(tmp_path / "in/in/cache")
        assert str(tmp_path / place) in said
        assert "chmod" in said
    (tmp_path / place).chmod(0o1777)
    assert opened(tmp_path / "in/in/cache", make=True) == str(tmp_path / "in/in/cache")


@pytest.mark.parametrize("place", ["in", "in/in"])
def test_a_directory_of_somebody_else(tmp_path: Path, place: str) -> None:
    """He could move what is in it."""
    (tmp_path / "in/in").mkdir(parents=True)
    os.chown(tmp_path / place, SOMEBODY, SOMEBODY)
    assert f"{tmp_path / place} belongs to user {SOMEBODY}" in refused(tmp_path / "in/in/cache")


def test_somebodys_link_in_a_sticky_directory(tmp_path: Path) -> None:
    """The way in that /tmp offers: a name that is taken before we come."""
    (tmp_path / "target").mkdir()
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    link = tmp_path / "tmp" / "cache"
    link.symlink_to(tmp_path / "target")
    assert opened(link) == str(tmp_path / "target")
    os.lchown(link, SOMEBODY, SOMEBODY)
    assert str(link) in refused(link)
    link.unlink()
    link.mkdir()
    os.chown(link, SOMEBODY, SOMEBODY)
    assert str(link) in refused(link)


@pytest.mark.parametrize("target", ["{top}/real", "real", "../{name}/real", "./real/../real", "{top}/up/real"])
def test_links_of_ours_are_followed(tmp_path: Path, target: str) -> None:
    """Absolute ones and relative ones, with links in them."""
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "up").symlink_to(f"../{tmp_path.name}")
    (tmp_path / "link").symlink_to(target.format(top=tmp_path, name=tmp_path.name))
    assert opened(tmp_path / "link/deep") == str(tmp_path / "real/deep")


def test_what_a_link_leads_through_is_looked_at(tmp_path: Path) -> None:
    """A directory of ours behind one of somebody else."""
    (tmp_path / "his/real").mkdir(parents=True)
    os.chown(tmp_path / "his", SOMEBODY, SOMEBODY)
    (tmp_path / "link").symlink_to("his/real")
    assert str(tmp_path / "his") in refused(tmp_path / "link")


def test_no_directory(tmp_path: Path) -> None:
    """Files, loops, and links that lead nowhere."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for name, number in (("file", errno.ENOTDIR), ("file/x", errno.ENOTDIR), ("loop", errno.ELOOP)):
        with pytest.raises(OSError) as caught:
            opened(tmp_path / name)
        assert caught.value.errno == number


def test_as_an_ordinary_user(private: Path) -> None:
    """What belongs to root or to him is trusted."""
    (private / "his").mkdir()
    os.chown(private / "his", SOMEBODY, SOMEBODY)
    pid = os.fork()
    if pid == 0:
        os.setresuid(SOMEBODY, SOMEBODY, SOMEBODY)
        os._exit(0 if opened(private / "his/cache", make=True) else 1)
    assert os.waitpid(pid, 0)[1] == 0
