"""Directories to mount on: made when they are missing, and gone again when nothing was mounted."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import until
from harness.mounting import COMMAND, Mounts, run
from harness.remote import RemoteSource

from alluxio_jnifuse.mounts import table

pytestmark = pytest.mark.fuse

STRANGER = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")


@pytest.mark.parametrize("foreground", [[], ["-n"]], ids=["background", "foreground"])
@pytest.mark.parametrize("words", [["-u", "/no/such/directory"], ["-o", "foo", "-u", "/"], ["-u", "nonsense://x"]])
def test_a_failed_mount_leaves_no_directory(mounts: Mounts, words: list[str], foreground: list[str]) -> None:
    """What a mount made it removes when it fails, parents too; what was there before stays."""
    (mounts.root / "there").mkdir()
    for path in ("there/new/a/b", "new", "there"):
        done = run([*COMMAND, "mount", *foreground, *words, str(mounts.root / path)], mounts.environ())
        assert done.returncode == 1
    left = sorted(str(path.relative_to(mounts.root)) for path in mounts.root.rglob("*") if "logs" not in str(path))
    assert left == ["there"]


def test_a_directory_that_cannot_be_made_leaves_no_parents(mounts: Mounts) -> None:
    """When the last of several directories cannot be made, the others are removed."""
    done = run([*COMMAND, "mount", "-u", "/", str(mounts.root / "new" / "a" / ("x" * 300))], mounts.environ())
    assert done.returncode == 1
    assert "cannot be created: File name too long" in done.stderr
    assert not (mounts.root / "new").exists()


@pytest.mark.parametrize(
    ("words", "number", "code"),
    [
        ([], signal.SIGINT, 130),
        (["-n"], signal.SIGINT, 130),
        (["-n"], signal.SIGTERM, -signal.SIGTERM),
        (["-n"], signal.SIGHUP, -signal.SIGHUP),
        (["-n", "-o", "wait"], signal.SIGTERM, -signal.SIGTERM),
    ],
)
def test_an_interrupted_mount_leaves_no_directory(
    mounts: Mounts, remote: Callable[..., RemoteSource], words: list[str], number: signal.Signals, code: int
) -> None:
    """A signal that ends a mount before it is there removes what it made, but not what somebody has put into it."""
    for used in (False, True):
        hanging = remote({b"file": b""}, {"stat": 60.0})
        path = mounts.root / "new" / "a" / "b"
        command = [*COMMAND, "mount", *words, "-u", hanging.uri, str(path)]
        with subprocess.Popen(command, env=mounts.environ(), stderr=subprocess.PIPE) as process:
            until(lambda source=hanging: source.ready.exists(), "the daemon to have its source")
            assert path.is_dir()
            if used:
                (mounts.root / "new" / "mine").touch()
            process.send_signal(number)
            _, err = process.communicate(timeout=120)
        assert process.returncode == code, err
        assert not (mounts.root / "new" / "a").exists()
        assert (mounts.root / "new").exists() == used


def test_a_mount_point_stays_after_umount(mounts: Mounts, tmp_path: Path) -> None:
    """A mount point that was made is there for the next mount; only failed mounts remove it."""
    mounted = mounts.mount(tmp_path, at=mounts.root / "new" / "a")
    assert mounted.end() == []
    assert os.listdir(mounts.root / "new" / "a") == []


@as_root
@pytest.mark.parametrize("link", ["the mount point", "above it"])
def test_a_path_that_leads_elsewhere_by_now(
    mounts: Mounts, private: Path, remote: Callable[..., RemoteSource], link: str
) -> None:
    """The storage takes its time, and the owner of a directory above puts a link in place of what was checked."""
    source = remote({b"file": b""})
    plan = source.ready.parent / "plan"  # which the daemon reads when it makes the source
    content = plan.read_bytes()
    plan.unlink()
    os.mkfifo(plan)
    theirs, victim = private / "theirs", private / "victim"
    (theirs / "d" / "m").mkdir(parents=True)
    (victim / "m").mkdir(parents=True)
    for path in (theirs, theirs / "d"):
        os.chown(path, STRANGER, STRANGER)
    place = theirs / "d" / "m"
    command = [*COMMAND, "mount", "-u", source.uri, str(place)]
    with subprocess.Popen(command, env=mounts.environ(), stderr=subprocess.PIPE, text=True) as process:
        with plan.open("wb") as asked:  # when the daemon opens it
            swapped = place if link == "the mount point" else theirs / "d"
            swapped.rename(theirs / "old")
            swapped.symlink_to(victim / "m" if swapped == place else victim)
            os.lchown(swapped, STRANGER, STRANGER)
            asked.write(content)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert err.startswith(f'Failed to mount Alluxio path "/" to {place}: ')
    assert "symbolic link that another user can change" in err
    (log,) = (path.read_text() for path in mounts.root.rglob("*.log"))  # of the daemon, which has not even tried
    assert "symbolic link that another user can change" in log
    assert table.top_at(str(victim / "m")) is None
    assert table.top_at(str(theirs / "old")) is None


@as_root
@pytest.mark.parametrize(("mode", "owner", "said"), [
    (0o755, 0, ""),
    (0o1777, 0, ""),
    (0o777, 0, "can be written by others"),
    (0o775, 0, "can be written by others"),
    (0o755, STRANGER, f"belongs to user {STRANGER}"),
])  # fmt: skip
def test_a_directory_above_that_others_can_change(
    mounts: Mounts, private: Path, tmp_path: Path, mode: int, owner: int, said: str
) -> None:
    """The log warns of it, and names it; a sticky one is as safe as one of root."""
    above = private / "above"
    (above / "in" / "m").mkdir(parents=True)
    above.chmod(mode)
    os.chown(above, owner, -1)
    mounted = mounts.mount(tmp_path, at=above / "in" / "m")
    warned = mounted.lines("another user can move")
    assert [f"{above} {said}" in line for line in warned] == ([True] if said else [])
