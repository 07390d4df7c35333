"""The list of running mounts believes only living processes and directories that nobody else can write to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts.registry import (
    Record,
    Registry,
    candidates,
    file_stem,
    is_alive,
    record_of_this_process,
    send_signal,
    start_time,
    stats_path,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the records of a test lie."""
    return tmp_path / "run"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def record(mountpoint: str, pid: int | None = None) -> Record:
    """A record of this process, or of process `pid`."""
    made = record_of_this_process(mountpoint, "/", "/data", "/var/log/x.log")
    return made if pid is None else made._replace(pid=pid, start_time=start_time(pid) or 0)


def test_add_find_remove(directory: Path) -> None:
    """A mount is found by its mount point from the moment it is added until it is removed."""
    registry = Registry([str(directory)])
    path = registry.add(record("/mnt/a"))
    other = registry.add(record("/mnt/b"))
    assert registry.find("/mnt/a") == record("/mnt/a")
    assert [found.mountpoint for found in registry.running()] == ["/mnt/a", "/mnt/b"]
    Path(stats_path(path)).touch()
    Path(path[: -len("json")] + "1-2-3-ab.journal").touch()
    registry.remove(path, record("/mnt/a"))
    registry.remove(path, record("/mnt/a"))
    assert registry.find("/mnt/a") is None
    assert os.listdir(directory) == [os.path.basename(other)]


def test_the_end_of_one_mount_leaves_the_next_one_its_record(directory: Path) -> None:
    """A daemon that was detached may end when another one has mounted at the same place."""
    registry = Registry([str(directory)])
    old = record("/mnt/a")._replace(pid=1, start_time=2)
    path = registry.add(old)
    assert registry.add(record("/mnt/a")) == path
    journal, stats = Path(path[: -len("json")] + "1-2-3-ab.journal"), Path(stats_path(path))
    journal.touch()
    stats.touch()
    registry.remove(path, old)
    assert registry.find("/mnt/a") == record("/mnt/a")
    assert journal.exists()
    assert stats.exists()
    Path(path).write_text("{")  # of another release
    registry.remove(path, old)
    assert Path(path).exists()
    Path(path).unlink()
    registry.remove(path, old)
    assert os.listdir(directory) == []


def test_mount_points_of_any_name(directory: Path) -> None:
    """Any path has a file of its own: long ones, ones that differ in a slash, ones that are not UTF-8."""
    registry = Registry([str(directory)])
    names = ["/", "/a/b", "/a-b", "/" + "x" * 200, "/" + "x" * 201, os.fsdecode(b"/\xff\xfe"), "/训练"]
    for name in names:
        registry.add(record(name))
    assert sorted(found.mountpoint for found in registry.running()) == sorted(names)
    assert all(len(file_stem(name)) < 100 for name in names)


def test_paths_are_utf8_in_the_files(directory: Path) -> None:
    """A record holds paths as UTF-8 with surrogates, so that readers and writers of other locales agree on them."""
    path = Registry([str(directory)]).add(record(os.fsdecode(b"/\xe8\xae\xad\xff")))
    assert "\\u8bad\\udcff" in Path(path).read_text(encoding="ascii")


def test_records_of_the_dead_are_removed(directory: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """The record of a process that was killed disappears when somebody looks."""
    registry = Registry([str(directory)])
    registry.add(record("/mnt/a", sleeper.pid))
    assert [found.pid for found in registry.running()] == [sleeper.pid]
    sleeper.kill()
    sleeper.wait()
    assert registry.running() == []
    assert os.listdir(directory) == []


def test_a_pid_that_is_used_again(directory: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """Another process with the same pid is told apart by its start time."""
    registry = Registry([str(directory)])
    reused = record("/mnt/a", sleeper.pid)
    registry.add(reused._replace(start_time=reused.start_time - 1))
    assert registry.find("/mnt/a") is None


def test_a_zombie_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    """A process that ended and was not waited for yet serves no mount."""
    made = record("/mnt/a", sleeper.pid)
    assert is_alive(made)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(made)


def test_other_pid_namespaces_are_left_alone(directory: Path) -> None:
    """A record of another container is neither shown nor removed: its pid means nothing here."""
    registry = Registry([str(directory)])
    registry.add(record("/mnt/a")._replace(pid_namespace=1))
    assert registry.running() == []
    assert len(os.listdir(directory)) == 1


def test_a_record_of_an_older_release(directory: Path) -> None:
    """What it does not say is as if it was off."""
    registry = Registry([str(directory)])
    path = registry.add(record("/mnt/a"))
    older = record("/mnt/a")._asdict()
    del older["cache_bytes"]
    Path(path).write_text(json.dumps(older))
    assert registry.find("/mnt/a") == record("/mnt/a")


def test_nonsense_is_ignored(directory: Path) -> None:
    """Files that are no records do no harm."""
    directory.mkdir()
    (directory / "a.json").write_text("{")
    (directory / "b.json").write_text(json.dumps({"pid": 1}))
    (directory / "c.json").mkdir()
    (directory / "d.json").write_text('{"a":' * 100_000)
    for name, value in (("pid", "self"), ("mountpoint", 7), ("log", None), ("start_time", 1.5)):
        (directory / f"{name}.json").write_text(json.dumps({**record("/mnt/a")._asdict(), name: value}))
    assert Registry([str(directory)]).running() == []


def test_directories_of_others_are_not_trusted(tmp_path: Path) -> None:
    """A directory that others may write to is skipped for the next one; when none is left the mount fails."""
    open_to_all, own, link = tmp_path / "open", tmp_path / "own", tmp_path / "link"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    link.symlink_to(own)
    made = Registry([str(open_to_all), str(own)]).add(record("/mnt/a"))
    assert Path(made).parent == own
    assert Registry([str(open_to_all)]).running() == []
    for unusable in (open_to_all, link):
        with pytest.raises(MountError, match="no directory for the list of running mounts"):
            Registry([str(unusable)]).add(record("/mnt/a"))


def test_runtime_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's records lie in /run, a user's in his runtime directory, and each has a last resort in /tmp."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert candidates(0) == ["/run/alluxio-jnifuse", "/tmp/alluxio-jnifuse-0", "/dev/shm/alluxio-jnifuse-0"]
    assert candidates(7) == ["/run/user/7/alluxio-jnifuse", "/tmp/alluxio-jnifuse-7", "/dev/shm/alluxio-jnifuse-7"]
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert candidates(7) == ["/run/user/7/alluxio-jnifuse", "/tmp/alluxio-jnifuse-7", "/dev/shm/alluxio-jnifuse-7"]


def test_signals_reach_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has got the number of a daemon that ended."""
    got = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *arguments: got.append(arguments))
    ours = record_of_this_process("/m", "/", "/", "", 0)
    send_signal(ours, signal.SIGUSR1)
    assert len(got) == 1
    with pytest.raises(ProcessLookupError):
        send_signal(ours._replace(start_time=ours.start_time - 1), signal.SIGUSR1)
    with pytest.raises(ProcessLookupError):
        send_signal(ours._replace(pid=2**22 - 1), signal.SIGUSR1)
    assert len(got) == 1
