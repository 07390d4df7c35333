"""The typed command reports what the background process makes of its start, whatever that is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HEAD = """
import os, select, sys, time
from alluxio_jnifuse.daemon import start
from alluxio_jnifuse.errors import MountError

def launch(work, mountpoint, timeout=120):
    try:
        print("pid", start.launch(work, mountpoint, timeout), flush=True)
    except MountError as error:
        print("error", error, flush=True)

"""


def run(body: str, *arguments: object, pass_fds: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Runs a program that launches a daemon, in a process of its own: this one may have threads."""
    program = HEAD + textwrap.dedent(body)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, pass_fds=pass_fds)


def wait_gone(pid: int) -> None:
    """Waits for a process that is not our child to end."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    assert select.select([fd], [], [], 30.0)[0]
    os.close(fd)


def test_ready(tmp_path: Path) -> None:
    """The command gets the pid of a daemon that goes on, in a session of its own, in the root directory."""
    body = """
    def work(reporter):
        reporter.stage("nothing")
        state = f"{os.getsid(0) == os.getpid()} {os.getcwd()} {sorted(map(int, os.listdir('/proc/self/fd')))[:3]}"
        with open(sys.argv[1] + "/state", "w") as file:
            file.write(state)
        for standard in (1, 2):  # as a log file would
            os.dup2(0, standard)
        reporter.ready()
        with open(sys.argv[1] + "/fifo") as fifo:
            fifo.read()
        return 0
    os.mkfifo(sys.argv[1] + "/fifo")
    launch(work, sys.argv[1])
    """
    done = run(body, tmp_path)
    word, pid = done.stdout.split()
    assert word == "pid"
    assert (tmp_path / "state").read_text() == "True / [0, 1, 2]"
    os.kill(int(pid), 0)
    (tmp_path / "fifo").write_text("")
    wait_gone(int(pid))


def test_failure_is_reported(tmp_path: Path) -> None:
    """A reason that the daemon gives is the command's, line breaks included."""
    body = """
    def work(reporter):
        raise MountError("the first line\\nthe second", remedy="do this")
    launch(work, sys.argv[1])
    """
    assert run(body, tmp_path).stdout == "error the first line\nthe second; do this\n"


def test_mistake_is_reported(tmp_path: Path) -> None:
    """An exception that nobody foresaw is reported with its type, and leaves its traceback."""
    done = run("launch(lambda reporter: 1 / 0, sys.argv[1])", tmp_path)
    assert done.stdout == "error ZeroDivisionError: division by zero\n"
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("end", "reason"),
    [("os.kill(os.getpid(), 9)", "was ended by SIGKILL"), ("os._exit(7)", "ended with exit code 7")],
)
def test_sudden_death_is_reported(tmp_path: Path, end: str, reason: str) -> None:
    """A daemon that dies without a word is reported with how it ended."""
    done = run(f"launch(lambda reporter: {end}, sys.argv[1])", tmp_path)
    assert done.stdout == f"error the daemon {reason} before the mount was ready\n"


def test_time_runs_out(tmp_path: Path) -> None:
    """A start that takes too long is given up with what it waited for, and the daemon does not stay."""
    body = """
    def work(reporter):
        with open(sys.argv[1] + "/pid", "w") as file:
            file.write(str(os.getpid()))
        reporter.log("/logs/of.it")
        reporter.stage("the storage to answer")
        select.select([], [], [])
    launch(work, sys.argv[1], timeout=0.5)
    """
    said = run(body, tmp_path).stdout
    assert said.startswith("error gave up after 0.5 s of waiting for the storage to answer; look into /logs/of.it")
    assert not os.path.exists(f"/proc/{(tmp_path / 'pid').read_text()}")


def test_progress_is_shown(tmp_path: Path) -> None:
    """After some seconds the command says what it waits for."""
    body = """
    start._QUIET_S = 0.1
    def work(reporter):
        reporter.stage("the storage to answer")
        select.select([], [], [])
    launch(work, sys.argv[1], timeout=1.0)
    """
    assert "Waiting for the storage to answer (" in run(body, tmp_path).stderr


def test_mount_that_does_not_answer(tmp_path: Path) -> None:
    """A daemon that says it is ready, but whose mount point does not answer, is a failure and does not stay."""
    body = """
    def work(reporter):
        with open(sys.argv[1] + "/pid", "w") as file:
            file.write(str(os.getpid()))
        reporter.ready()
        select.select([], [], [])
    launch(work, sys.argv[1] + "/missing")
    """
    assert "/missing: answers with an error: No such file or directory" in run(body, tmp_path).stdout
    assert not os.path.exists(f"/proc/{(tmp_path / 'pid').read_text()}")


def test_inherited_descriptors_are_closed(tmp_path: Path) -> None:
    """What the command's caller left open, a pipe it waits for or a lock, does not stay open in the daemon."""
    body = """
    def work(reporter):
        for standard in (1, 2):  # as a log file would
            os.dup2(0, standard)
        with open(sys.argv[1] + "/pid", "w") as file:
            file.write(str(os.getpid()))
        reporter.ready()
        select.select([], [], [])
    launch(work, sys.argv[1])
    """
    reading, writing = os.pipe()
    with open(tmp_path / "lock", "w") as lock:
        run(body, tmp_path, pass_fds=(writing, lock.fileno()))
        os.close(writing)
        assert os.read(reading, 1) == b"", "the daemon holds the writing end"
        pid = int((tmp_path / "pid").read_text())
        left = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
        assert lock.name not in left
    os.close(reading)
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid)
