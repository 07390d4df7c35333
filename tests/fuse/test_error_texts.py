"""What the commands say when they cannot do what they were asked: what is wrong, where, and what to do about it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from harness.mounting import COMMAND, Mounts, run

pytestmark = pytest.mark.fuse

CACHE = "-Dalluxio.user.client.cache."
DISK = (f"{CACHE}enabled=true", f"{CACHE}store.type=LOCAL")


class Case(NamedTuple):
    """Words of a command, in which {here} is the directory of the test, and what is said about them, in this order."""

    words: str
    said: tuple[str, ...]
    environ: Mapping[str, str] = {}
    wrapper: str = ""


MOUNTS = {
    "no such source": Case("mount -u {here}/nope {here}/m", ("{here}/nope", "no such directory", "create it")),
    "a file as source": Case("mount -u {here}/file {here}/m", ("{here}/file", "not a directory", "name the directory")),
    "a scheme that nobody has": Case("mount -u s3://x/y {here}/m", ("s3://x/y", "no source", "use ", "oss://")),
    "another host": Case("mount -u file://host/y {here}/m", ("file://host/y", "use file:///path")),
    "links in a circle": Case("mount -u {here}/circle {here}/m", ("{here}/circle", "cannot be opened", "ls")),
    "no such part": Case("mount -u {here}/data {here}/m /nope", ("{here}/data/nope", "no such directory")),
    "on a file": Case("mount -u {here}/data {here}/file", ("{here}/file", "is a file", "name a directory")),
    "below a file": Case("mount -u {here}/data {here}/file/m", ("{here}/file/m", "Not a directory", "choose")),
    "on what is not empty": Case("mount -u {here}/data {here}/data", ("'file'", "empty directory", "-o nonempty")),
    "on links in a circle": Case("mount -u {here}/data {here}/circle", ("{here}/circle", "in a circle", "name")),
    "a name that is too long": Case(f"mount -u {{here}}/data {{here}}/{'x' * 300}", ("File name too long", "choose")),
    "where nothing can be made": Case("mount -u {here}/data /proc/x", ("/proc/x", "cannot be created", "choose")),
    "on nothing": Case("mount -u {here}/data {empty}", ("the path is empty", "name a directory")),
    "of nothing": Case("mount {here}/m", ("no storage is named", "use --ufs")),
    "an unknown option": Case("mount -o foo -u {here}/data {here}/m", ("unknown mount option: foo", "CONFIGURATION")),
    "an unknown option of a file": Case(
        "mount -u {here}/data {here}/m",
        ("unknown mount option: foo (", "{here}/conf/alluxio-site.properties", "CONFIGURATION"),
        {"ALLUXIO_CONF_DIR": "{here}/conf"},
    ),
    "a property without a name": Case("mount -D =x -u {here}/data {here}/m", ("-D '=x'", "KEY=VALUE")),
    "a bad number": Case("mount -o attr_timeout=x -u {here}/data {here}/m", ("attr_timeout=x (-o)", "expected", "60")),
    "a default that leads nowhere": Case(
        "mount -u {here}/data {here}/m",
        ("alluxio.work.dir=${{alluxio.home}} (default)", "leads back to itself"),
        {"ALLUXIO_JAVA_OPTS": "-Dalluxio.home=\\${{alluxio.home}}"},
    ),
    "a quote without an end": Case(
        "mount -u {here}/data {here}/m", ("$ALLUXIO_JAVA_OPTS", "quote"), {"ALLUXIO_JAVA_OPTS": '-Dx="y'}
    ),
    "a directory in place of the settings": Case(
        "mount -u {here}/data {here}/m",
        ("{here}/wrong/alluxio-site.properties", "is a directory", "put the file in its place"),
        {"ALLUXIO_CONF_DIR": "{here}/wrong"},
    ),
    "a cache that is a file": Case(
        f"mount {DISK[0]} {DISK[1]} {CACHE}dirs={{here}}/file -u {{here}}/data {{here}}/m",
        ("{here}/file", "client cache", "Not a directory", "set alluxio.user.client.cache.dirs"),
    ),
    "no cache directory": Case(
        f"mount {DISK[0]} {DISK[1]} {CACHE}dirs=, -u {{here}}/data {{here}}/m", ("cache.dirs=,", "names no directory")
    ),
    "one cache directory twice": Case(
        f"mount {DISK[0]} {DISK[1]} {CACHE}dirs=/x,/x -u {{here}}/data {{here}}/m",
        ("cache.dirs=/x,/x", "twice", "once"),
    ),
    "a log below a file": Case(
        "mount -u {here}/data {here}/m",
        ("{here}/file/", "its directory is a file", "choose a directory with ALLUXIO_LOGS_DIR"),
        {"ALLUXIO_LOGS_DIR": "{here}/file"},
    ),
    "too few descriptors": Case(
        "mount -u {here}/data {here}/m", ("Too many open files", "ulimit -n"), wrapper="prlimit --nofile=10"
    ),
    "too little memory": Case(
        "mount -u {here}/data {here}/m", ("Cannot allocate memory", "ulimit -v"), wrapper="prlimit --as=1000000000"
    ),
    "a master that nobody is": Case("mount -u alluxio:/// {here}/m", ("names no master", "use alluxio://HOST:19998/")),
    "a port that is none": Case("mount -u alluxio://a:b/ {here}/m", ("alluxio://a:b/", "expected host or host:port")),
}
OTHERS = {
    "stat of nothing": Case("stat --stats {here}/m", ("{here}/m: not mounted",)),
    "stat of no path": Case("stat --stats {empty}", ("the path is empty", "name a directory")),
    "stat of another file system": Case("stat --stats /proc", ("/proc", "proc (proc) is there")),
    "umount of nothing": Case("umount {here}/m", ("{here}/m not mounted",)),
    "umount of no path": Case("umount {empty}", ("the path is empty", "name a directory")),
    "umount of another file system": Case("umount /proc", ("/proc not mounted by us: proc (proc) is there",)),
    "umount of links in a circle": Case("umount {here}/circle", ("{here}/circle", "in a circle")),
    "umount for ever": Case("umount -w inf {here}/m", ("-w expects seconds", "'inf'", "Usage")),
    "umount for no number": Case("umount -w nan {here}/m", ("-w expects seconds", "'nan'", "Usage")),
    "umount for less than nothing": Case("umount -w -5 {here}/m", ("-w expects seconds", "'-5'", "Usage")),
    "health of nothing": Case("health {here}/m", ("{here}/m: not mounted",)),
    "health of another file system": Case("health /proc", ("/proc", "proc (proc) is there")),
    "load of another file system": Case("load {here}/file", ("{here}/file: is not on a mount of ours",)),
    "load of no path": Case("load {empty}", ("a PATH is empty", "name")),
    "a key that nobody knows": Case("getConf foo", ("foo is not a valid configuration key", "Usage")),
    "a unit of something else": Case(
        "getConf --unit MB alluxio.fuse.mount.point", ("'/mnt/alluxio-fuse' is not a size",)
    ),
    "the settings of no cluster": Case("getConf --master", ("no cluster is configured", "set alluxio.master.hostname")),
    "no such command": Case("foo", ("there is no command 'foo'", "Usage")),
}


@pytest.fixture
def here(private: Path) -> Path:
    """A directory with a file, some data, links in a circle, and settings of two kinds."""
    (private / "data").mkdir()
    (private / "data" / "file").write_text("contents")
    (private / "file").touch()
    (private / "circle").symlink_to("circle")
    (private / "wrong" / "alluxio-site.properties").mkdir(parents=True)
    (private / "conf").mkdir()
    (private / "conf" / "alluxio-site.properties").write_text("alluxio.fuse.mount.options=foo\n")
    return private


def said_by(mounts: Mounts, here: Path, case: Case) -> str:
    """Runs the command of a case; returns what it says, of which some things must not be part in any case."""
    words = [word.format(here=here, empty="") for word in case.words.split()]
    environ = {name: value.format(here=here) for name, value in case.environ.items()}
    done = run([*case.wrapper.split(), *COMMAND, *words], mounts.environ(**environ))
    assert (done.returncode, done.stdout) == (1, "")
    for word in ("Traceback", "Errno", "Error:", "None", "testing://"):
        assert word not in done.stderr
    return done.stderr


def check(said: str, here: Path, case: Case) -> None:
    at = 0
    for words in case.said:
        found = said.find(words.format(here=here), at)
        assert found >= 0, f"{words!r} is missing, or not where it belongs: {said}"
        at = found + 1


@pytest.mark.parametrize("case", MOUNTS.values(), ids=MOUNTS)
def test_mounts(mounts: Mounts, here: Path, case: Case) -> None:
    """Mounts that cannot come about."""
    said = said_by(mounts, here, case)
    check(said, here, case)
    assert not (here / "m").exists()


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS)
def test_other_commands(mounts: Mounts, here: Path, case: Case) -> None:
    """Commands about mounts that are not there, or nobody's."""
    check(said_by(mounts, here, case), here, case)


def test_a_mount_without_a_process(mounts: Mounts, here: Path) -> None:
    """It is there, so nothing says "not mounted"; everything says what has happened and what can be done."""
    mounted = mounts.mount(here / "data")
    mounted.kill()
    for words in ("stat --stats", "health", "load"):
        said = said_by(mounts, here, Case(f"{words} {mounted.path}", ()))
        assert "process" in said
        assert (
            f"mount {mounted.path} again" in said
            or f"mount it again, or remove it (alluxio-jnifuse umount {mounted.path})" in said
        )
    assert mounted.unmount().returncode == 0


def test_a_process_that_does_not_answer(mounts: Mounts, here: Path) -> None:
    """`stat` names the process and its log."""
    mounted = mounts.mount(here / "data")
    os.kill(mounted.pid, signal.SIGSTOP)
    try:
        said = said_by(mounts, here, Case(f"stat --stats {mounted.path}", ()))
    finally:
        os.kill(mounted.pid, signal.SIGCONT)
    assert f"process {mounted.pid} did not answer within" in said
    assert f"look into its log {mounted.log}" in said


def test_a_process_that_is_killed_while_it_starts(mounts: Mounts, here: Path) -> None:
    """By the kernel for want of memory, say: the command says by what, and where its log is."""
    command = [*COMMAND, "mount", "-o", "wait", "-u", "alluxio://127.0.0.1:1/", str(here / "m")]
    with subprocess.Popen(command, env=mounts.environ(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Waiting for the storage to answer")
        os.kill(child_of(process.pid), signal.SIGKILL)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"was ended by SIGKILL before the mount was ready; look into {here}/logs0/fuse.log" in said


def child_of(pid: int) -> int:
    """The only child of a process."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_what_is_waited_for(mounts: Mounts, here: Path) -> None:
    """The storage has answered when the client cache is read, and the command knows."""
    words = f"mount -n {DISK[0]} {DISK[1]} {CACHE}dirs={here}/file -u {here}/data {here}/m"
    said = said_by(mounts, here, Case(words, ()))
    first, second = said.index("waiting for the storage to answer"), said.index("waiting for the client cache in")
    assert first < second < said.index("Not a directory")


@pytest.mark.parametrize("closed", [">/dev/full", ">&-", "<&- >&- 2>&-"])
def test_nobody_listens(mounts: Mounts, here: Path, closed: str) -> None:
    """What was asked is done, whether or not it can be told."""
    mountpoint = here / "m"
    for words in (["mount", "-u", str(here / "data"), str(mountpoint)], ["umount", str(mountpoint)]):
        script = f'exec "$@" {closed}'
        done = run(["sh", "-c", script, "sh", *COMMAND, *words], mounts.environ())
        assert (done.returncode, done.stderr) == (0, "")
        assert os.path.ismount(mountpoint) == (words[0] == "mount")
    full = run(["sh", "-c", 'exec "$@" >/dev/full', "sh", *COMMAND, "getConf"], mounts.environ())
    assert (full.returncode, full.stderr) == (1, "alluxio-jnifuse: No space left on device\n")
    seen = run(["sh", "-c", '"$@" | true', "sh", *COMMAND, "getConf"], mounts.environ())
    assert (seen.returncode, seen.stderr) == (0, "")
