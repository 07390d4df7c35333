"""Faults of mounts, of their places and of their caches, planted for real."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.mounting import COMMAND, Mounted, Mounts, run
from patient import SOMEBODY, Doctor, Fault, names

from alluxio_jnifuse.mounts import table

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(600)]

DIRS = "alluxio.user.client.cache.dirs"


@pytest.fixture
def source(private: Path) -> Path:
    """A directory to be shown."""
    (private / "source").mkdir()
    (private / "source" / "file").write_text("text")
    return private / "source"


@contextmanager
def disk(path: Path, size: str) -> Iterator[Path]:
    """A small ext4 of its own, which others do not fill, in memory: however busy the disks are, it is fast."""
    path.mkdir()
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as image:
        os.truncate(image.name, int(size[:-1]) << 20)
        made = subprocess.run(["mkfs.ext4", "-q", "-m", "0", image.name], check=False, capture_output=True)
        if made.returncode or subprocess.run(["mount", "-o", "loop", image.name, path], check=False).returncode:
            pytest.skip("no file system can be made in a file")
        try:
            yield path
        finally:
            subprocess.run(["umount", "-l", path], check=True)


def cached(directory: Path, size: str = "1MB", store: str = "LOCAL") -> list[str]:
    """Properties that put the client cache there."""
    values = {"enabled": "true", "store.type": store, "dirs": str(directory), "size": size}
    return [word for name, value in values.items() for word in ("-D", f"alluxio.user.client.cache.{name}={value}")]


def test_a_good_mount(doctor: Doctor, mounts: Mounts, source: Path, private: Path) -> None:
    """A running mount is examined as it was configured, with its storage and its cache."""
    with disk(private / "cache", "64M") as cache:
        properties = dict(word.split("=", 1) for word in cached(cache, "8MB")[1::2])
        mounted = mounts.mount(source, "max_readahead=262144", properties)
        before = names(cache)
        report = doctor.examine(mounted.path)
        assert names(cache) == before
    assert (report.code, report.problems()) == (0, [])
    mine = {each["check"] for each in report.told["checks"] if each["mount"] == mounted.path}
    assert {"answers", "read-ahead", "passthrough", "cache-directory", "storage", "daemon-limits", "log"} <= mine
    assert "allow-other" not in mine
    well = [each["what"] for each in report.told["findings"] if each["check"] == "read-ahead"]
    assert well == ["the kernel reads 256 KiB ahead"]


def test_the_second_binding(doctor: Doctor, mounts: Mounts, source: Path) -> None:
    """It is slow, and no matter of privileges."""
    mounted = mounts.mount(source, "", {"alluxio.fuse.jnifuse.enabled": "false"})
    report = doctor.examine(mounted.path)
    Fault("passthrough", "note", "the binding is llfuse", "getConf --source").is_found(report)


def test_every_running_mount(doctor: Doctor, mounts: Mounts, source: Path) -> None:
    """Without arguments, those that are in the list."""
    mounted = [mounts.mount(source), mounts.mount(source)]
    report = doctor.examine()
    assert {each.path for each in mounted} <= {each["mount"] for each in report.told["checks"]}
    assert not [each for each in report.problems() if each["mount"] in {one.path for one in mounted}]


def test_a_path_with_a_space(doctor: Doctor, mounts: Mounts, source: Path, private: Path) -> None:
    """Lines can be typed as they are."""
    mounted = mounts.mount(source, at=private / "my mount")
    mounted.kill()
    (found,) = doctor.examine(mounted.path).problems()
    assert found["line"] == f"alluxio-jnifuse umount '{mounted.path}'"


def test_a_mount_of_another_user(ordinary: Doctor, mounts: Mounts, source: Path) -> None:
    """Its settings are its user's; that it answers is everybody's."""
    mounted = mounts.mount(source, "allow_other")
    report = ordinary.examine(mounted.path, uid=SOMEBODY)
    (found,) = [each for each in report.problems() if each["mount"] == mounted.path]
    assert (found["check"], found["severity"]) == ("settings", "note")
    assert found["line"] == f"sudo -u '#0' alluxio-jnifuse doctor {mounted.path}"
    assert "answers" in [each["what"] for each in report.told["findings"]]


def test_a_mount_of_mount_8(doctor: Doctor, mounts: Mounts, source: Path, private: Path) -> None:
    """The settings of a mount of /etc/fstab are those of mount(8)'s arguments."""
    path = str(private / "by-mount")
    os.mkdir(path)
    words = [str(source), path, "-o", "rw,max_readahead=131072"]
    environ = mounts.environ()
    done = run([*COMMAND, *words], environ)
    assert done.returncode == 0, done.stderr
    try:
        report = doctor.examine(path)
        well = [each["what"] for each in report.told["findings"] if each["check"] == "read-ahead"]
        assert well == ["the kernel reads 128 KiB ahead"]
        assert not report.of("settings")
    finally:
        run([*COMMAND, "umount", "-l", path], environ)


def test_a_daemon_that_was_killed(doctor: Doctor, mounts: Mounts, source: Path) -> None:
    mounted = mounts.mount(source)
    mounted.kill()
    for words in (["-u", str(source), mounted.path], [mounted.path]):
        report = doctor.examine(*words)
        what = f"{mounted.path}: its process has died"
        Fault("stale-mounts", "error", what, f"alluxio-jnifuse umount {mounted.path}").is_found(report)


def test_a_daemon_that_does_nothing(doctor: Doctor, mounts: Mounts, source: Path) -> None:
    """It is given up, as is everything else that waits for it."""
    mounted = mounts.mount(source)
    os.kill(mounted.pid, signal.SIGSTOP)
    try:
        report = doctor.examine(mounted.path)
    finally:
        os.kill(mounted.pid, signal.SIGCONT)
    Fault("answers", "error", f"process {mounted.pid} did not answer", f"tail -n 50 {mounted.log}").is_found(report)


def test_read_ahead(doctor: Doctor, mounts: Mounts, source: Path) -> None:
    """A container whose /sys is read-only keeps the kernel's 128 KiB."""
    mounted = mounts.mount(source)
    path = read_ahead_of(mounted)
    Path(path).write_text("128")
    Fault("read-ahead", "warning", "the kernel reads 128 KiB ahead, not 1024", f"echo 1024 > {path}").is_found(
        doctor.examine(mounted.path)
    )


def read_ahead_of(mounted: Mounted) -> str:
    entry = table.top_at(mounted.path)
    assert entry is not None
    return f"/sys/class/bdi/{entry.major}:{entry.minor}/read_ahead_kb"


def test_few_files_of_a_daemon(doctor: Doctor, mounts: Mounts, source: Path) -> None:
    mounted = mounts.mount(source, wrapper=["prlimit", "--nofile=2048:2048"])
    what = f"process {mounted.pid} may have 2,048 files open"
    Fault("daemon-limits", "warning", what, "ulimit -n").is_found(doctor.examine(mounted.path))


def test_errors_in_the_log(doctor: Doctor, mounts: Mounts, source: Path) -> None:
    mounted = mounts.mount(source)
    with open(mounted.log, "a", encoding="utf-8") as file:
        file.write("2026-11-30 10:00:00,000 ERROR oss://user:planted@host/: it is broken\n")
    report = doctor.examine(mounted.path)
    Fault("log", "note", "1 errors at the end of the log; the last: oss://user:******@host/", "grep").is_found(report)


def test_propagation(doctor: Doctor, mounts: Mounts, source: Path) -> None:
    """A mount in a container is seen there only, unless the directory above it is shared."""
    doctor.environ["KUBERNETES_SERVICE_HOST"] = "10.0.0.1"
    mounted = mounts.mount(source)
    assert not doctor.examine(mounted.path).problems()
    line = f"docker run -v {os.path.dirname(mounted.path)}:{os.path.dirname(mounted.path)}:rshared ..."
    Fault("propagation", "note", "the mount is seen in this container only", line).is_found(
        doctor.examine(mounted.path, shared=False)
    )


def test_a_directory_with_files(doctor: Doctor, source: Path) -> None:
    report = doctor.examine("-u", str(source), str(source))
    Fault("mount-point", "error", "is not empty (it holds 'file')", "-o nonempty").is_found(report)
    assert not doctor.examine("-o", "nonempty", "-u", str(source), str(source)).problems()


def test_a_file(doctor: Doctor, source: Path) -> None:
    report = doctor.examine("-u", str(source), str(source / "file"))
    Fault("mount-point", "error", "is a file, not a directory", "ls -ld").is_found(report)


def test_something_else_is_mounted(doctor: Doctor, source: Path, private: Path) -> None:
    (private / "mnt").mkdir()
    report = doctor.examine(
        *("-u", str(source), str(private / "mnt")),
        plant=lambda: subprocess.run(["mount", "-t", "tmpfs", "tmpfs", private / "mnt"], check=True),
    )
    Fault("mount-point", "error", "(tmpfs) is mounted here already", "umount").is_found(report)


@pytest.mark.parametrize(("name", "what"), [("gone", "no such directory"), ("source/file", "not a directory")])
def test_no_source(doctor: Doctor, source: Path, private: Path, name: str, what: str) -> None:
    assert source.is_dir()
    report = doctor.examine("-u", str(private / name), str(private / "mnt"))
    Fault("storage", "error", what, "ls -ld").is_found(report)


def test_no_storage(doctor: Doctor, private: Path) -> None:
    report = doctor.examine(str(private / "mnt"))
    Fault("storage", "error", "no storage is named and no cluster is configured", "-u DIRECTORY").is_found(report)


def test_a_storage_that_nobody_knows(doctor: Doctor, private: Path) -> None:
    report = doctor.examine("-u", "s3://bucket/", str(private / "mnt"))
    Fault("storage", "error", "no source for the scheme", "-u URI").is_found(report)


# ------------------------------------------------------------------------------------------------------ the cache


def test_a_cache_directory_of_another_user(doctor: Doctor, source: Path, private: Path) -> None:
    (private / "cache").mkdir()
    os.chown(private / "cache", SOMEBODY, SOMEBODY)
    report = doctor.examine(*cached(private / "cache"), "-u", str(source), str(private / "mnt"))
    Fault("cache-directory", "error", f"belongs to user {SOMEBODY}", f"chown 0 {private / 'cache'}").is_found(report)


@pytest.mark.parametrize("there", [False, True])
def test_a_cache_directory_that_everybody_may_replace(doctor: Doctor, source: Path, private: Path, there: bool) -> None:
    """The line is about the part of the path that is at fault."""
    (private / "open").mkdir()
    if there:
        (private / "open" / "cache").mkdir()
    (private / "open").chmod(0o777)
    report = doctor.examine(*cached(private / "open" / "cache"), "-u", str(source), str(private / "mnt"))
    Fault("cache-directory", "error", "can be written by others", f"chmod go-w {private / 'open'}").is_found(report)


def test_a_cache_larger_than_its_disk(doctor: Doctor, source: Path, private: Path) -> None:
    with disk(private / "disk", "64M") as path:
        report = doctor.examine(*cached(path / "cache", "1GB"), "-u", str(source), str(private / "mnt"))
    Fault("cache-directory", "warning", "the cache may take 1.00GB", "-D alluxio.user.client.cache.size=").is_found(
        report
    )


def fill(fd: int) -> None:
    """Writes until there is no room."""
    while True:
        os.write(fd, bytes(1 << 20))


def test_a_full_disk(doctor: Doctor, source: Path, private: Path) -> None:
    with disk(private / "disk", "64M") as path:
        fd = os.open(path / "filler", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError, match="No space left"):
            fill(fd)
        os.close(fd)
        report = doctor.examine(*cached(path, "1MB"), "-u", str(source), str(private / "mnt"))
    assert report.code == 1
    assert f"df -h {private / 'disk'}" in [finding["line"] for finding in report.of("cache-directory")]


def test_a_cache_in_memory(doctor: Doctor, source: Path, private: Path) -> None:
    (private / "shm").mkdir()
    report = doctor.examine(
        *(*cached(private / "shm"), "-u", str(source), str(private / "mnt")),
        plant=lambda: subprocess.run(["mount", "-t", "tmpfs", "tmpfs", private / "shm"], check=True),
    )
    Fault("cache-directory", "note", "lies in memory (tmpfs)", "store.type=MEM").is_found(report)


def test_a_cache_of_another_mount(doctor: Doctor, mounts: Mounts, source: Path, private: Path) -> None:
    with disk(private / "cache", "64M") as cache:
        mounted = mounts.mount(source, "", dict(word.split("=", 1) for word in cached(cache, "8MB")[1::2]))
        report = doctor.examine(*cached(cache, "8MB"), "-u", str(source), str(private / "other"))
    what = f"is used by another mount (process {mounted.pid})"
    Fault("cache-directory", "error", what, f"-D {DIRS}=DIRECTORY").is_found(report)
