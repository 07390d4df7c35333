"""The commands mount, umount and stat on real mounts: what they print, what they leave behind, how they end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.mounting import beneath

from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.alive import DIED
from alluxio_jnifuse.mounts.registry import Record, Registry

pytestmark = pytest.mark.fuse

COMMAND = [sys.executable, "-m", "alluxio_jnifuse"]


class Place:
    """A directory with a file, a mount point, a logs directory, and the command with them as its environment."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.mountpoint = root / "mnt"
        self.logs = root / "logs"
        (self.data / "sub").mkdir(parents=True)
        (self.data / "file").write_text("contents\n")
        (self.data / "sub" / "inner").write_text("inner\n")
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("ALLUXIO_")}
        self.environ.update(ALLUXIO_LOGS_DIR=str(self.logs), ALLUXIO_CONF_DIR=str(root))

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=120, check=False)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Starts a mount in the foreground and waits until it is there."""
        command = [*COMMAND, "mount", "-n", *map(str, arguments), "-u", str(self.data), str(self.mountpoint)]
        process = subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == f'Successfully mounted Alluxio path "/" to {self.mountpoint}.\n'
        return process

    def mount(self, *arguments: object) -> Record:
        """Mounts in the background; returns the record of the daemon."""
        done = self.run("mount", *arguments, "-u", self.data, self.mountpoint)
        assert (done.returncode, done.stderr) == (0, "")
        record = self.record()
        assert record is not None
        return record

    def record(self) -> Record | None:
        """What the registry knows of the mount point."""
        return Registry().find(str(self.mountpoint))

    def mounted(self) -> bool:
        """Whether something is mounted on the mount point."""
        return table.top_at(str(self.mountpoint)) is not None

    def read(self, name: str) -> str:
        """The contents of a file of the mount, read by another process."""
        return subprocess.run(["cat", str(self.mountpoint / name)], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def place(private: Path) -> Iterator[Place]:
    """A place whose mount is gone afterwards, whatever happened."""
    made = Place(private)
    yield made
    if made.mounted() or made.record():
        made.run("umount", "-f", made.mountpoint)
    for log in made.logs.glob("*.log"):
        assert "left behind" not in log.read_text()


def wait_end(pid: int) -> bool:
    """Whether a process that need not be our child ends within half a minute."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 30.0)[0])
    finally:
        os.close(fd)


def test_mount_stat_umount(place: Place) -> None:
    """A mount is announced, listed with its log file, readable, and gone after umount, with everything it needed."""
    done = place.run("mount", "-u", place.data, place.mountpoint)
    assert done.stdout == f'Successfully mounted Alluxio path "/" to {place.mountpoint}.\n'
    assert (done.returncode, done.stderr) == (0, "")
    assert place.read("file") == "contents\n"
    entry = table.top_at(str(place.mountpoint))
    assert entry is not None
    assert (entry.fstype, entry.source) == ("fuse.alluxio-fuse", "alluxio-fuse")
    record = place.record()
    assert record is not None
    listed = place.run("stat").stdout.splitlines()
    assert listed[0] == "pid\tmount_point\talluxio_path\tlog"
    assert f"{record.pid}\t{place.mountpoint}\t/\t{place.logs}/fuse.log" in listed[1:]
    assert f"{place.data} on {place.mountpoint}" in (place.logs / "fuse.log").read_text()
    done = place.run("umount", place.mountpoint)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Unmount fuse at {place.mountpoint} (PID: {record.pid})\n"
    assert not place.mounted()
    assert place.record() is None
    assert wait_end(record.pid)
    assert place.run("umount", place.mountpoint).returncode == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_foreground(place: Place, number: signal.Signals) -> None:
    """In the foreground the log goes to the terminal, and a signal unmounts and ends with 0."""
    process = place.start()
    assert place.read("file") == "contents\n"
    assert place.record() is not None
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert f"unmounting after {number.name}" in err
    assert not place.mounted()
    assert not place.logs.exists()


def test_health(place: Place) -> None:
    """A mount that answers is healthy; one whose daemon was killed, and none, are not, and it is said why."""
    process = place.start()
    done = place.run("health", place.mountpoint)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    process.kill()
    process.communicate(timeout=120)
    done = place.run("health", place.mountpoint)
    problem = f"{place.mountpoint}: Transport endpoint is not connected: {DIED.format(place.mountpoint)}"
    assert (done.returncode, done.stderr) == (1, f"{problem}\n")
    assert place.run("umount", "-f", place.mountpoint).returncode == 0
    done = place.run("health", place.mountpoint)
    assert (done.returncode, done.stderr) == (1, f"{place.mountpoint}: not mounted\n")


def test_unmounted_by_somebody_else(place: Place) -> None:
    """The process ends when the mount is unmounted without it."""
    process = place.start()
    from alluxio_jnifuse import _core

    _core.unmount(os.fsencode(place.mountpoint), False)
    assert process.wait(120) == 0
    assert place.record() is None
    process.communicate()


def test_a_careless_umask(place: Place) -> None:
    """What the command makes nobody else may write to: he could put something in its place."""
    before = os.umask(0)
    try:
        place.mount()
    finally:
        os.umask(before)
    for path in (place.logs, place.logs / "fuse.log", place.mountpoint.parent):
        assert not path.stat().st_mode & 0o022


def test_busy_mount_is_detached(place: Place) -> None:
    """A mount with open files is detached at once when SIGTERM comes, and the process ends."""
    record = place.mount()
    with subprocess.Popen(["sleep", "60"], cwd=place.mountpoint) as holder:
        os.kill(record.pid, signal.SIGTERM)
        assert wait_end(record.pid)
        assert not place.mounted()
        holder.kill()
    assert "is detached with files open" in (place.logs / "fuse.log").read_text()


def test_busy_mount_is_waited_for(place: Place) -> None:
    """With a timeout the mount stays until its last file is closed, and is then unmounted as usual."""
    record = place.mount("-o", "alluxio.fuse.umount.timeout=30s")
    log = place.logs / "fuse.log"
    with subprocess.Popen(["cat"], cwd=place.mountpoint, stdin=subprocess.PIPE) as holder:
        os.kill(record.pid, signal.SIGTERM)
        while "unmounting after SIGTERM" not in log.read_text():
            os.sched_yield()
        assert place.mounted()
        assert place.read("file") == "contents\n"
        holder.kill()
    assert wait_end(record.pid)
    assert not place.mounted()
    assert "is detached with files open" not in log.read_text()


def test_second_signal_does_not_wait(place: Place) -> None:
    """Who signals again does not want to wait for open files."""
    record = place.mount("-o", "alluxio.fuse.umount.timeout=10min")
    with subprocess.Popen(["sleep", "60"], cwd=place.mountpoint) as holder:
        os.kill(record.pid, signal.SIGTERM)
        while "unmounting after SIGTERM" not in (place.logs / "fuse.log").read_text():
            os.sched_yield()
        os.kill(record.pid, signal.SIGTERM)
        assert wait_end(record.pid)
        holder.kill()
    assert not place.mounted()


def test_failure_is_the_commands(place: Place) -> None:
    """A storage that is not there is reported by the command, and nothing stays."""
    done = place.run("mount", "-u", f"{place.data}/missing", place.mountpoint)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f'Failed to mount Alluxio path "/" to {place.mountpoint}: ')
    assert "no such directory" in done.stderr
    assert not place.mounted()
    assert place.record() is None
    done = place.run("mount", "-n", "-u", f"{place.data}/file", place.mountpoint)
    assert done.returncode == 1
    assert "not a directory" in done.stderr


def test_stale_mount_is_replaced(place: Place) -> None:
    """A mount whose daemon was killed is taken away by the next mount, without being asked twice."""
    record = place.mount()
    os.kill(record.pid, signal.SIGKILL)
    assert wait_end(record.pid)
    assert place.mounted()
    assert place.record() is None
    again = place.mount()
    assert again.pid != record.pid
    assert place.read("file") == "contents\n"
    entries = [entry for entry in table.read() if entry.mountpoint == str(place.mountpoint)]
    assert len(entries) == 1


def test_stale_mount_is_unmounted(place: Place) -> None:
    """umount takes away a mount whose daemon was killed."""
    record = place.mount()
    os.kill(record.pid, signal.SIGKILL)
    assert wait_end(record.pid)
    done = place.run("umount", place.mountpoint)
    assert (done.returncode, done.stdout) == (0, f"Unmount fuse at {place.mountpoint}\n")
    assert not place.mounted()


def test_forced_umount(place: Place) -> None:
    """umount -f ends a daemon that does not react, and detaches its mount."""
    record = place.mount()
    os.kill(record.pid, signal.SIGSTOP)
    assert place.run("umount", "-w", "0.2", place.mountpoint).returncode == 1
    done = place.run("umount", "-f", place.mountpoint)
    assert done.returncode == 0
    assert wait_end(record.pid)
    assert not place.mounted()
    assert place.record() is None


def test_auto_unmount(place: Place) -> None:
    """With auto_unmount the mount goes when its daemon is killed, and nothing stays when it ends as usual."""
    record = place.mount("-o", "auto_unmount")
    os.kill(record.pid, signal.SIGKILL)
    while place.mounted():
        os.sched_yield()
    record = place.mount("-o", "auto_unmount")
    (child,) = Path(f"/proc/{record.pid}/task/{record.pid}/children").read_text().split()
    assert place.run("umount", place.mountpoint).returncode == 0
    assert wait_end(int(child))


def test_live_mount_is_refused(place: Place) -> None:
    """A second mount on the same directory is refused with the process that serves the first, which goes on."""
    record = place.mount()
    done = place.run("mount", "-u", place.data, place.mountpoint)
    assert done.returncode == 1
    assert f"is already mounted by process {record.pid}" in done.stderr
    assert place.read("file") == "contents\n"


def test_sub_path(place: Place) -> None:
    """ALLUXIO_PATH shows a part of the storage."""
    done = place.run("mount", "--ufs", place.data, place.mountpoint, "/sub")
    assert done.stdout == f'Successfully mounted Alluxio path "/sub" to {place.mountpoint}.\n'
    assert place.read("inner") == "inner\n"


def test_mount_inside_its_own_storage(place: Place) -> None:
    """A mount point inside the directory that it shows is left out of it."""
    place.mountpoint = place.data / "mnt"
    place.mount()
    listed = subprocess.run(["ls", place.mountpoint], capture_output=True, text=True, timeout=120, check=True)
    assert listed.stdout.split() == ["file", "sub"]


def test_counters(place: Place) -> None:
    """stat --stats prints counters that were taken after it was called."""
    place.mount()
    before = json.loads(place.run("stat", "--stats", place.mountpoint).stdout)
    place.read("file")
    after = json.loads(place.run("stat", "--stats", place.mountpoint).stdout)
    assert after["time_ns"] > before["time_ns"]
    assert sum(after["stats"].values()) > sum(before["stats"].values())
    assert isinstance(after["features"], list)


def test_objects_for_programs(place: Place) -> None:
    """--json of stat, health and getConf, of one mount and of what is none."""
    record = place.mount()
    (one,) = map(json.loads, place.run("stat", "--json", place.mountpoint).stdout.splitlines())
    assert (one["mount_point"], one["pid"], one["alluxio_path"]) == (str(place.mountpoint), record.pid, "/")
    assert one in [json.loads(line) for line in place.run("stat", "--json").stdout.splitlines()]
    assert place.run("stat", place.mountpoint).stdout.splitlines()[1].split("\t")[0] == str(record.pid)
    healthy = place.run("health", "--json", place.mountpoint)
    assert (healthy.returncode, json.loads(healthy.stdout)["problem"]) == (0, None)
    place.run("umount", place.mountpoint)
    assert place.run("stat", "--json", place.mountpoint).returncode == 1
    ill = place.run("health", "--json", place.mountpoint)
    assert (ill.returncode, json.loads(ill.stdout)["problem"]) == (1, f"{place.mountpoint}: not mounted")
    told = json.loads(place.run("getConf", "--json", "alluxio.user.client.cache.size").stdout)
    assert told == {"name": "alluxio.user.client.cache.size", "value": "512MB", "source": "DEFAULT"}
    lines = place.run("getConf", "--json").stdout.splitlines()
    assert told in [json.loads(line) for line in lines]


def test_writes_are_refused(place: Place) -> None:
    """With rw too, a write is answered with EROFS, and the log says so beforehand."""
    place.mount("-o", "rw")
    done = subprocess.run(["touch", place.mountpoint / "new"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert "every write answers EROFS" in (place.logs / "fuse.log").read_text()


def test_read_ahead_is_widened(place: Place) -> None:
    """The mount reads ahead as far as max_readahead says, where that may be set, and else the log says so."""
    place.mount("-o", "max_readahead=2MB")
    entry = table.top_at(str(place.mountpoint))
    assert entry is not None
    path = Path(f"/sys/class/bdi/{entry.major}:{entry.minor}/read_ahead_kb")
    if os.access(path, os.W_OK):
        assert path.read_text() == "2048\n"
    else:
        assert "read-ahead stays" in (place.logs / "fuse.log").read_text()


def test_settings_are_in_the_log(place: Place) -> None:
    """The log names what was set and where, and each property without effect once."""
    place.environ["ALLUXIO_FUSE_JAVA_OPTS"] = "-Xmx16G -Dalluxio.worker.ramdisk.size=1G"
    place.mount("-o", "attr_timeout=7200")
    text = (place.logs / "fuse.log").read_text()
    assert "attr_timeout=7200 (-o)" in text
    assert text.count("alluxio.worker.ramdisk.size") == 1
    assert text.count("-Xmx16G") == 1


def test_version(place: Place) -> None:
    """version names libfuse, the kernel, and each feature with what this kernel makes of it; nothing stays mounted.

    It says of each feature what a mount gets.
    """
    place.environ["TMPDIR"] = str(place.data.parent)
    place.mount("-o", "stack_depth=1")
    features = set(json.loads(place.run("stat", "--stats", place.mountpoint).stdout)["features"])
    place.run("umount", place.mountpoint)
    done = place.run("version")
    assert done.returncode == 0
    assert done.stdout.startswith("alluxio-jnifuse ")
    assert "\nlibfuse 3." in done.stdout
    assert f"\nkernel Linux {os.uname().release}\n" in done.stdout
    told = json.loads(place.run("version", "--json").stdout)
    assert features
    assert set(told["granted"]) - {"io_uring"} == features - {"io_uring"}
    for feature in told["compiled_in"]:
        here = "granted" if feature in told["granted"] else "not granted"
        assert f"  {feature:20} compiled in, {here}\n" in done.stdout
    assert beneath(str(place.data.parent)) == []
    assert not list(place.data.parent.glob("alluxio-jnifuse-*"))
