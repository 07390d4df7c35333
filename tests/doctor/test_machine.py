"""Faults of the machine, planted for real: each is found, with a line to type, and nothing else is."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from harness.memory_group import memory_group
from patient import SOMEBODY, Doctor, Fault, bind, names

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

FUSERMOUNT = "/usr/bin/fusermount3"
SHMEM = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
needs_helper = pytest.mark.skipif(not os.access(FUSERMOUNT, os.X_OK), reason="fusermount3 is not installed")


@pytest.fixture
def words(private: Path) -> list[str]:
    """The options of a mount that is well: of a directory, on one that is not there yet."""
    (private / "source").mkdir()
    (private / "source" / "file").write_text("text")
    return ["-u", str(private / "source"), str(private / "mnt")]


def devices(*, fuse: bool, mode: int = 0o666) -> None:
    """Gives this namespace a /dev of its own."""
    keep = os.open("/dev/null", os.O_RDWR)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/dev"], check=True)
    for name, major, minor in [("null", 1, 3), ("urandom", 1, 9), *([("fuse", 10, 229)] if fuse else [])]:
        os.mknod(f"/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
        os.chmod(f"/dev/{name}", mode if name == "fuse" else 0o666)
    os.close(keep)


def test_a_good_set_up(doctor: Doctor, words: list[str], private: Path) -> None:
    """Nothing is found, nothing is left behind, and one line says so."""
    before = names(private)
    report = doctor.examine(*words)
    assert (report.code, report.problems(), report.told["worst"]) == (0, [], "ok")
    assert names(private) == before
    done = doctor.run(*words)
    assert done.stdout.count("\n") == 1, done.stdout
    assert "checks: no problem" in done.stdout


@needs_helper
def test_a_good_set_up_of_an_ordinary_user(ordinary: Doctor, words: list[str], private: Path) -> None:
    """The price of fusermount3 is a note."""
    (private / "mnt").mkdir()
    os.chown(private / "mnt", SOMEBODY, SOMEBODY)
    report = ordinary.examine(*words, plant=lambda: devices(fuse=True), uid=SOMEBODY)
    Fault("passthrough", "note", "no passthrough, which needs CAP_SYS_ADMIN", "sudo").is_found(report)


def test_no_device(doctor: Doctor, words: list[str]) -> None:
    """A container without /dev/fuse, and a machine without the module."""
    report = doctor.examine(*words, plant=lambda: devices(fuse=False))
    line = "docker run --device /dev/fuse" if os.path.exists("/.dockerenv") else "modprobe fuse"
    Fault("device", "error", "/dev/fuse: there is no such device", line).is_found(report)


@needs_helper
def test_a_device_of_another_user(ordinary: Doctor, words: list[str], private: Path) -> None:
    report = ordinary.examine(
        *words[:2], str(mine(private)), plant=lambda: devices(fuse=True, mode=0o600), uid=SOMEBODY
    )
    assert [finding["line"] for finding in report.of("device")] == ["chmod 666 /dev/fuse"]


def mine(private: Path) -> Path:
    """A directory on which SOMEBODY can mount."""
    path = private / "home" / "mnt"
    path.mkdir()
    os.chown(path, SOMEBODY, SOMEBODY)
    return path


def test_no_fusermount3(ordinary: Doctor, words: list[str], private: Path) -> None:
    """An ordinary user cannot mount without it."""

    def plant() -> None:
        devices(fuse=True)
        if os.path.exists(FUSERMOUNT):
            subprocess.run(["mount", "--bind", "/dev/null", FUSERMOUNT], check=True)

    report = ordinary.examine(*words[:2], str(mine(private)), plant=plant, uid=SOMEBODY)
    assert [finding["line"] for finding in report.of("rights")] == ["apt-get install fuse3"]
    assert report.code == 1


@needs_helper
def test_allow_other(ordinary: Doctor, words: list[str], private: Path) -> None:
    """It is permitted to ordinary users by a line of /etc/fuse.conf."""
    if not os.path.exists("/etc/fuse.conf"):
        pytest.skip("there is no /etc/fuse.conf to put another one over")

    def plant(text: str) -> None:
        devices(fuse=True)
        bind(text, "/etc/fuse.conf", private / "fuse.conf")

    chosen = ["-o", "allow_other", *words[:2], str(mine(private))]
    report = ordinary.examine(*chosen, plant=lambda: plant("#user_allow_other\n"), uid=SOMEBODY)
    assert [finding["line"] for finding in report.of("allow-other")] == ["echo user_allow_other >> /etc/fuse.conf"]
    assert report.code == 1
    report = ordinary.examine(*chosen, plant=lambda: plant("user_allow_other\n"), uid=SOMEBODY)
    assert (report.of("allow-other"), report.code) == ([], 0)


def test_root_without_its_capability(doctor: Doctor, words: list[str]) -> None:
    """Root of a container is no more than an ordinary user."""
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv")
    wrapper = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    report = doctor.examine(*words, wrapper=wrapper)
    assert [finding["line"] for finding in report.of("rights")] == [
        "docker run --cap-add SYS_ADMIN --device /dev/fuse ..."
    ]
    assert report.code == 1


def test_few_open_files(doctor: Doctor, words: list[str]) -> None:
    report = doctor.examine(*words, wrapper=["prlimit", "--nofile=1024:1024"])
    Fault("limits", "warning", "a mount that is made here may have 1,024 files open", "ulimit -n 1048576").is_found(
        report
    )


def test_little_memory(doctor: Doctor, words: list[str]) -> None:
    """The limit of a container."""
    with memory_group(160 << 20) as group:
        report = doctor.examine(*words, wrapper=group.wrapper)
    Fault("memory", "warning", "a memory limit of 160MB", "docker run --memory 1g").is_found(report)


def test_a_window_larger_than_the_memory(doctor: Doctor, words: list[str]) -> None:
    """Defaults fit into the limit of a container; what is set does not have to."""
    with memory_group(320 << 20) as group:
        assert not doctor.examine(*words, wrapper=group.wrapper).problems()
        report = doctor.examine("-o", "transient_window=1GB", *words, wrapper=group.wrapper)
    Fault("settings", "warning", "this process may be killed", "-o transient_window=").is_found(report)


def test_huge_pages_denied(doctor: Doctor, words: list[str], private: Path) -> None:
    report = doctor.examine(
        *words, plant=lambda: bind("always within_size advise never [deny] force\n", SHMEM, private / "shmem")
    )
    Fault("huge-pages", "note", "huge pages are denied", f"echo advise > {SHMEM}").is_found(report)


def test_a_dead_mount(doctor: Doctor, words: list[str], private: Path) -> None:
    """It is found wherever it is, and left alone."""
    dead = private / "dead"
    dead.mkdir()

    def plant() -> None:
        fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
        command = ["mount", "-i", "-t", "fuse.alluxio-fuse", "-o", options, "alluxio-fuse", str(dead)]
        subprocess.run(command, check=True, pass_fds=[fd])
        os.close(fd)

    report = doctor.examine(*words, plant=plant)
    Fault("stale-mounts", "error", f"{dead}: its process has died", f"alluxio-jnifuse umount {dead}").is_found(report)


def test_properties_that_cannot_be_read(doctor: Doctor, words: list[str], private: Path) -> None:
    """Docker makes a directory for a volume whose source is missing."""
    (private / "alluxio-site.properties").mkdir()
    report = doctor.examine(*words)
    found = Fault("settings", "error", "is a directory; put the file in its place", "ls -ld")
    found.is_found(report)


def test_properties_of_another_user(ordinary: Doctor, words: list[str], private: Path) -> None:
    """Root's own, which an ordinary user may not read."""
    path = private / "alluxio-site.properties"
    path.write_text("alluxio.fuse.debug.enabled=true\n")
    path.chmod(0o600)
    report = ordinary.examine(*words[:2], str(mine(private)), plant=lambda: devices(fuse=True), uid=SOMEBODY)
    assert [finding["line"] for finding in report.of("settings")] == [f"chmod a+r {path}"]
    assert report.code == 1


def test_secrets_that_everybody_can_read(doctor: Doctor, words: list[str], private: Path) -> None:
    path = private / "alluxio-site.properties"
    path.write_text("fs.oss.accessKeySecret=planted\n")
    path.chmod(0o644)
    report = doctor.examine(*words)
    lines = [finding["line"] for finding in report.of("settings") if finding["severity"] == "warning"]
    assert lines == [f"chmod o-r {path}"]
    assert "planted" not in str(report.told)


def test_a_setting_without_effect(doctor: Doctor, words: list[str]) -> None:
    report = doctor.examine("-D", "alluxio.user.block.write.location.policy=X", *words)
    (found,) = report.of("settings")
    assert (found["severity"], report.code) == ("note", 0)
    assert "alluxio.user.block.write.location.policy" in found["what"]


def test_an_unknown_option(doctor: Doctor, words: list[str]) -> None:
    report = doctor.examine("-o", "nosuchoption", *words)
    Fault("settings", "error", "unknown mount option: nosuchoption", "alluxio-jnifuse getConf").is_found(report)


@pytest.mark.parametrize("words", [["-x"], ["a", "b", "c"], ["--nonsense"]])
def test_usage(doctor: Doctor, words: list[str]) -> None:
    done = doctor.run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: alluxio-jnifuse doctor" in done.stderr


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours(doctor: Doctor, words: list[str], variables: dict[str, str], coloured: bool) -> None:
    """On a terminal, unless the user does not want them."""
    doctor.environ.update({"TERM": "xterm", **variables})
    script = f"{shlex.join([*doctor.command, 'doctor', '-v', *words])}; exit 0"
    done = subprocess.run(
        ["script", "-qec", script, "/dev/null"],
        env=doctor.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    assert (b"\x1b[32mok" in done.stdout) == coloured
    assert b"checks: " in done.stdout
