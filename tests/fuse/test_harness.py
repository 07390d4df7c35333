"""The alarms of these tests ring: a child that hangs, books that do not balance, a mount that was left behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.children import Children, Failed, Hung, until
from harness.mounting import Mounts, beneath

pytestmark = pytest.mark.fuse

HERE = Path(__file__).parent


@pytest.fixture
def source(private: Path) -> Path:
    """An empty directory."""
    (private / "source").mkdir()
    return private / "source"


def test_a_child_that_hangs(children: Children) -> None:
    """A child that takes too long is killed, with what it has started."""
    reading, writing = os.pipe()

    def hang() -> None:
        subprocess.Popen(["sleep", "60"], stdout=writing)
        time.sleep(60)

    child = children.start(hang)
    os.close(writing)
    with pytest.raises(Hung, match=r"hang \(pid"):
        child.result(0.2)
    assert child.ended_by() == "SIGKILL"
    assert os.read(reading, 1) == b""  # the other one has gone too
    os.close(reading)


def test_a_child_that_fails(children: Children) -> None:
    """What a child raises is raised here: an OSError as it is, anything else with where it came from."""
    with pytest.raises(OSError) as caught:
        children.run(os.stat, "/no/such/file")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(Failed, match="ZeroDivisionError"):
        children.run(lambda: 1 // 0)
    with pytest.raises(Failed, match="SIGKILL"):
        children.run(os.kill, 0, signal.SIGKILL)


def test_books_that_do_not_balance(source: Path, mounts: Mounts) -> None:
    """A birth without a death, a handle that was left open, and missing books are all told."""
    mounted = mounts.mount(source)
    assert mounted.end() == []
    final = Path(mounted.environ["AJF_TEST_FINAL_STATS"])
    told = final.read_text()
    wrong = json.loads(told)
    wrong["stats"]["pages_born"] += 1
    wrong["open_handles"] = 2
    final.write_text(json.dumps(wrong))
    assert mounted.audit() == ["pages: 1 born, 0 died", "open_handles: 2 at the end"]
    final.unlink()
    assert "left no books" in mounted.audit()[0]
    final.write_text(told)


def test_a_daemon_that_does_not_end(source: Path, mounts: Mounts) -> None:
    """A daemon that does not react is told of, and taken away with its mount all the same."""
    mounted = mounts.mount(source)
    mounted.patience_s = 0.2
    os.kill(mounted.pid, signal.SIGSTOP)
    assert "did not end within 0.2 s" in mounted.end()[0]
    assert mounted.gone()


def collect() -> subprocess.CompletedProcess[str]:
    """A test session that only begins and ends."""
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", str(HERE / "test_api.py")]
    return subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, timeout=120, check=True)


def test_mounts_of_dead_sessions(source: Path, mounts: Mounts, children: Children, private: Path) -> None:
    """A session takes away what a dead one left mounted, and leaves alone what belongs to one that lives."""
    dead = children.start(lambda: None)
    dead.wait(120)
    root = private.parents[1]
    stale = mounts.mount(source, at=root / str(dead.pid) / "mnt")
    live = mounts.mount(source)
    collect()
    assert beneath(str(root / str(dead.pid))) == []
    until(stale.gone, "the stale mount's daemon to end")
    assert not live.gone()
    os.rmdir(stale.path)
    os.rmdir(root / str(dead.pid))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide /dev/fuse")
@pytest.mark.parametrize(("required", "said"), [("0", "1 skipped"), ("1", "FUSE is required by AJF_REQUIRE_FUSE=1")])
def test_a_machine_that_cannot_mount(required: str, said: str) -> None:
    """Where nothing can be mounted, a test that would is skipped, or fails when it must not be."""
    script = "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && exec"
    test = f"{HERE / 'test_api.py'}::test_failure"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{script} "$@"', "sh", sys.executable, "-m", "pytest", "-q", test],
        env={**os.environ, "AJF_REQUIRE_FUSE": required},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert said in done.stdout
    assert done.returncode == int(required)
