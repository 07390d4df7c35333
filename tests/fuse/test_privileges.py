"""Who may mount: an ordinary user through fusermount3, nobody without /dev/fuse; and the sentence that says so.

Each test works in a mount namespace of its own, in a child that has become an ordinary user, so that /dev/fuse and
fusermount3 can be what they have to be.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from harness.children import Children, until
from harness.mounting import Mounts, is_running
from harness.namespaces import in_namespace, interpreter
from harness.readers import MIB, check, errno_of, write

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else in a mount namespace"),
]

SOMEBODY = 65534
FUSERMOUNT = "/usr/bin/fusermount3"
SOURCES = Path(__file__).parents[2] / "src"


class Place(NamedTuple):
    """Where an ordinary user works: a directory of his own with a mount point, and a source."""

    home: Path
    source: Path
    environ: dict[str, str]
    python: str

    @property
    def mountpoint(self) -> str:
        return str(self.home / "mnt")

    def run(self, *words: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
        """Runs a command of ours, as who this process is."""
        command = [self.python, "-m", "alluxio_jnifuse", *words]
        return subprocess.run(
            command, env=self.environ, capture_output=True, text=True, timeout=120, check=False, **keywords
        )

    def mount(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Mounts the source."""
        return self.run("mount", *words, "-u", str(self.source), self.mountpoint)

    def log(self) -> str:
        """What the daemon has logged."""
        return (self.home / "logs" / "fuse.log").read_text()

    def daemon(self) -> int:
        """The pid of the daemon."""
        listed = [line.split("\t") for line in self.run("stat").stdout.splitlines()[1:]]
        return next(int(line[0]) for line in listed if line[1] == self.mountpoint)


@pytest.fixture
def place(private: Path, mounts: Mounts, children: Children) -> Place:
    """A place for somebody."""
    source = private / "source"
    source.mkdir()
    for i in range(5):
        write(source / str(i), 3 * MIB)
    home = private / "home"
    home.mkdir()
    os.chown(home, SOMEBODY, SOMEBODY)
    (home / "mnt").mkdir()
    os.chown(home / "mnt", SOMEBODY, SOMEBODY)
    sources = private / "sources"  # the checkout may lie where he cannot go
    shutil.copytree(SOURCES / "alluxio_jnifuse", sources / "alluxio_jnifuse", ignore=shutil.ignore_patterns("*.py[cx]"))
    subprocess.run(["chmod", "-R", "a+rX", sources], check=True)
    environ = mounts.environ(HOME=str(home), XDG_RUNTIME_DIR=str(home), PYTHONPATH=str(sources))
    environ["ALLUXIO_LOGS_DIR"] = str(home / "logs")
    python = children.run(in_namespace, lambda: interpreter(sources), SOMEBODY)
    if not python:
        give_up = pytest.fail if os.environ.get("AJF_REQUIRE_FUSE") == "1" else pytest.skip
        give_up("no Python that an ordinary user may run can load our extension")
    return Place(home, source, environ, python)


needs_helper = pytest.mark.skipif(not os.access(FUSERMOUNT, os.X_OK), reason="fusermount3 is not installed")


@needs_helper
def test_an_ordinary_user(place: Place, children: Children) -> None:
    """An ordinary user mounts, reads, loads, sees his mount in the list, and unmounts; passthrough is missed once."""

    def use() -> None:
        done = place.mount()
        assert done.returncode == 0, done.stderr
        assert done.stdout == f'Successfully mounted Alluxio path "/" to {place.mountpoint}.\n'
        for i in range(5):
            check(f"{place.mountpoint}/{i}", 3 * MIB)
        assert os.statvfs(place.mountpoint).f_flag & (os.ST_RDONLY | os.ST_NOSUID) == os.ST_RDONLY | os.ST_NOSUID
        assert place.log().count("passthrough needs CAP_SYS_ADMIN") == 1
        assert place.run("load", place.mountpoint).stdout.startswith("Loaded 5 files, 15.0MB in ")
        assert '"open_passthrough": 0' in place.run("stat", "--stats", place.mountpoint).stdout
        daemon = place.daemon()
        done = place.run("umount", place.mountpoint)
        assert done.returncode == 0, done.stderr
        assert os.listdir(place.mountpoint) == []
        assert not is_running(daemon)

    children.run(in_namespace, use, SOMEBODY)


@needs_helper
def test_the_mount_of_a_user_is_his(place: Place, children: Children) -> None:
    """Nobody else may look into the mount of an ordinary user, root included."""

    def use() -> tuple[int, int]:
        him = {"user": SOMEBODY, "group": SOMEBODY, "extra_groups": []}
        done = place.run("mount", "-u", str(place.source), place.mountpoint, **him)
        assert done.returncode == 0, done.stderr
        inside = subprocess.run(["ls", place.mountpoint], capture_output=True, timeout=120, **him).returncode
        outside = errno_of(os.listdir, place.mountpoint)
        assert place.run("umount", place.mountpoint, **him).returncode == 0
        return inside, outside

    assert children.run(in_namespace, use, 0) == (0, errno.EACCES)


@needs_helper
def test_others_need_permission(place: Place, children: Children) -> None:
    """allow_other is refused to an ordinary user unless /etc/fuse.conf permits it, which the sentence says."""

    def attempt(line: str) -> str:
        conf = place.home / "fuse.conf"
        conf.write_text(line)
        subprocess.run(["mount", "--bind", str(conf), "/etc/fuse.conf"], check=True)
        him = {"user": SOMEBODY, "group": SOMEBODY, "extra_groups": []}
        done = place.run("mount", "-o", "allow_other", "-u", str(place.source), place.mountpoint, **him)
        if done.returncode == 0:
            assert os.listdir(place.mountpoint)
            assert place.run("umount", place.mountpoint, **him).returncode == 0
        return done.stderr

    if not os.path.exists("/etc/fuse.conf"):
        pytest.skip("there is no /etc/fuse.conf to put another one over")
    assert "add the line user_allow_other to /etc/fuse.conf" in children.run(in_namespace, lambda: attempt("#\n"), 0)
    assert children.run(in_namespace, lambda: attempt("user_allow_other\n"), 0) == ""


@needs_helper
def test_a_dead_mount_of_a_user(place: Place, children: Children) -> None:
    """An ordinary user's mount whose daemon was killed is replaced by the next one, and can be unmounted."""

    def use() -> None:
        for _ in range(2):
            assert place.mount().returncode == 0
            check(f"{place.mountpoint}/1", 3 * MIB)
            daemon = place.daemon()
            os.kill(daemon, signal.SIGKILL)
            until(lambda pid=daemon: not is_running(pid), "the daemon to be dead")
            assert errno_of(os.listdir, place.mountpoint) == errno.ENOTCONN
        done = place.run("umount", place.mountpoint)
        assert done.returncode == 0, done.stderr
        assert os.listdir(place.mountpoint) == []

    children.run(in_namespace, use, SOMEBODY)


def refused(place: Place, *words: str) -> str:
    """The sentence with which a mount is refused, which leaves nothing behind."""
    done = place.mount(*words)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f'Failed to mount Alluxio path "/" to {place.mountpoint}: ')
    assert done.stderr.count("\n") == 1, done.stderr
    assert os.listdir(place.mountpoint) == []
    return done.stderr


def test_a_user_without_fusermount3(place: Place, children: Children) -> None:
    """Without fusermount3 an ordinary user is told to install it; root mounts without."""
    hidden = [FUSERMOUNT] if os.path.exists(FUSERMOUNT) else []

    def attempt() -> str:
        return refused(place)

    sentence = children.run(in_namespace, attempt, SOMEBODY, hidden)
    assert "fusermount3, which would, is not installed; install the package fuse3, or mount as root" in sentence

    def use() -> None:
        done = place.mount()
        assert done.returncode == 0, done.stderr
        check(f"{place.mountpoint}/1", 3 * MIB)
        assert place.run("umount", place.mountpoint).returncode == 0

    children.run(in_namespace, use, 0, hidden)


@pytest.mark.parametrize("hidden", [[], [FUSERMOUNT]], ids=["beside", "instead"])
def test_a_fusermount3_in_path(place: Place, children: Children, hidden: list[str]) -> None:
    """Is not run, whether or not there is one of the system: anybody may have put it there."""
    planted = place.home / "bin"
    planted.mkdir()
    (planted / "fusermount3").write_text(f"#!/bin/sh\necho ran >>{place.home}/ran\n")
    (planted / "fusermount3").chmod(0o755)
    place.environ["PATH"] = f"{planted}:{os.environ['PATH']}"
    program = (
        "import os; from alluxio_jnifuse._core import unmount\n"
        "try: unmount(b'/proc', False)\n"
        "except OSError: print('refused')"
    )

    def use() -> None:
        if hidden or not os.path.exists(FUSERMOUNT):
            assert "is not installed" in refused(place)
        else:
            assert place.mount().returncode == 0
            assert place.run("umount", place.mountpoint).returncode == 0
            assert place.run("version").returncode == 0
        done = subprocess.run(
            [place.python, "-c", program], env=place.environ, capture_output=True, text=True, timeout=120, check=True
        )
        assert done.stdout == "refused\n"

    children.run(in_namespace, use, SOMEBODY, [path for path in hidden if os.path.exists(path)])
    assert not (place.home / "ran").exists()


@needs_helper
def test_a_directory_that_is_not_his(place: Place, children: Children) -> None:
    """An ordinary user can mount only on a directory that the user owns, and is told so."""
    os.chown(place.mountpoint, 0, 0)
    sentence = children.run(in_namespace, lambda: refused(place), SOMEBODY)
    assert "an ordinary user can mount only on a directory that the user owns and may write to" in sentence


@pytest.mark.parametrize("uid", [0, SOMEBODY], ids=["root", "user"])
def test_a_machine_without_the_device(place: Place, children: Children, uid: int) -> None:
    """Without /dev/fuse the sentence says how to come by it."""
    sentence = children.run(in_namespace, lambda: refused(place), uid, (), False)
    assert "there is no /dev/fuse; load the kernel module (modprobe fuse), or give the container" in sentence


@pytest.mark.parametrize("foreground", [[], ["-n"]], ids=["background", "foreground"])
def test_a_device_that_is_none(place: Place, children: Children, foreground: list[str]) -> None:
    """A /dev/fuse that is something else is a sentence too."""

    def attempt() -> str:
        subprocess.run(["mount", "--bind", "/dev/null", "/dev/fuse"], check=True)
        done = place.mount(*foreground)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    assert f"cannot mount on {place.mountpoint}: " in children.run(in_namespace, attempt, 0)


def test_a_source_that_he_may_not_read(place: Place, children: Children) -> None:
    """A source directory that the user may not read is refused with a sentence."""
    place.source.chmod(0o700)
    sentence = children.run(in_namespace, lambda: refused(place), SOMEBODY)
    assert "this user may not read the directory; grant it r-x, or run as its owner" in sentence
