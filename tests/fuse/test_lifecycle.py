"""Mounting and unmounting, again and again and in every way, and what is left afterwards: nothing.

AJF_CYCLES sets how often test_cycles mounts (50; the full run is 1,000).
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children, until
from harness.mounting import CACHE, COMMAND, Mounts, beneath, is_running, run
from harness.readers import MIB, check, write
from harness.remote import FACTORIES, RemoteSource

import alluxio_jnifuse
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.registry import Registry, candidates, file_stem
from alluxio_jnifuse.testing import Pattern

pytestmark = pytest.mark.fuse

CYCLES = int(os.environ.get("AJF_CYCLES", "50"))
PLAIN = [sys.executable, "-m", "alluxio_jnifuse"]  # without what the tests add


@pytest.fixture
def source(private: Path) -> Path:
    """A directory with a file."""
    root = private / "source"
    root.mkdir()
    write(root / "file", 3 * MIB)
    return root


def processes(words: str) -> set[int]:
    """The pids whose command line holds some words."""
    found = set()
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and words in Path(f"/proc/{name}/cmdline").read_text().replace("\0", " "):
                found.add(int(name))
        except OSError:
            pass  # it has ended
    return found


@pytest.mark.timeout(600 + CYCLES)
def test_cycles(source: Path, mounts: Mounts, children: Children) -> None:
    """Mounting, reading and unmounting many times leaves no mount, process, record, file or descriptor behind."""
    path = mounts.root / "mnt"

    def left() -> tuple[list[str], set[int], int, list[str]]:
        """Mounts, processes, descriptors of ours, and records."""
        records = [name for place in candidates(os.getuid()) if os.path.isdir(place) for name in os.listdir(place)]
        ours = [name for name in records if name.startswith(file_stem(str(path)))]
        return beneath(str(mounts.root)), processes(str(path)), len(os.listdir("/proc/self/fd")), ours

    before = left()
    for number in range(CYCLES):
        options = ("", "passthrough=off", "direct_io", "kernel_cache")[number % 4]
        mounted = mounts.mount(source, options, CACHE if number % 3 else {}, at=path)
        children.run(check, mounted.join("file"), 3 * MIB)
        assert mounted.end() == []
    assert left() == before


def test_time_to_the_first_byte(source: Path, private: Path) -> None:
    """From exec to the first byte read; printed, because machines differ (0.3 s is what it should take)."""
    script = '"$@" >/dev/null && head -c 1 "$MOUNT/file" >/dev/null'
    environ = {**os.environ, "MOUNT": str(private / "mnt"), "ALLUXIO_LOGS_DIR": str(private / "logs")}
    took = []
    for _ in range(5):
        began = time.monotonic()
        words = [*PLAIN, "mount", "-u", str(source), environ["MOUNT"]]
        subprocess.run(["sh", "-c", script, "sh", *words], env=environ, timeout=120, check=True)
        took.append(time.monotonic() - began)
        run([*PLAIN, "umount", environ["MOUNT"]], environ).check_returncode()
    print(f"first byte read: median {statistics.median(took) * 1000:.0f} ms, best {min(took) * 1000:.0f} ms")


def test_memory_of_an_idle_daemon(source: Path, mounts: Mounts) -> None:
    """What an idle daemon has for itself; printed (60 MB is the most that it should be)."""
    mounted = mounts.mount(source)
    with open(f"/proc/{mounted.pid}/smaps_rollup", encoding="ascii") as file:
        held = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    print(f"idle daemon: {held / 1024:.1f} MiB proportional set size")
    assert held < 200 << 10


@pytest.mark.parametrize("what", ["file", "full", "busy", "dangling", "below"])
def test_places_that_are_refused(source: Path, mounts: Mounts, what: str) -> None:
    """A file, a directory with entries, another file system's mount point ... are refused in a sentence."""
    path = mounts.root / "place"
    if what == "file":
        path.write_text("x")
    elif what == "full":
        (path / "something").mkdir(parents=True)
    elif what == "busy":
        mounts.mount(source, at=path)
    elif what == "dangling":
        path.symlink_to("nowhere/at/all/\x7f")
    else:
        (mounts.root / "a file").write_text("x")
        path = mounts.root / "a file" / "mnt"
    before = beneath(str(mounts.root))
    done = run([*COMMAND, "mount", "-u", str(source), str(path)], mounts.environ(9))
    expected = {
        "file": "is a file, not a directory",
        "full": "is not empty (it holds 'something')",
        "busy": "is already mounted by process",
        "dangling": "",
        "below": "Not a directory",
    }[what]
    if what == "dangling" and done.returncode == 0:  # a missing directory is made, by whatever way it is named
        run([*COMMAND, "umount", str(path)], mounts.environ(9)).check_returncode()
    else:
        assert done.returncode == 1
        assert done.stderr.startswith("Failed to mount")
        assert expected in done.stderr
        assert done.stderr.count("\n") == 1
    assert beneath(str(mounts.root)) == before


def test_missing_places_are_made(source: Path, mounts: Mounts, children: Children) -> None:
    """A missing mount point is made, with its parents, however it is written."""
    (mounts.root / "real").mkdir()
    (mounts.root / "link").symlink_to("real")
    for path in ("a/b/c", "with space\tand\\more", "größe", "link/below", "./x/../y"):
        mounted = mounts.mount(source, at=Path(os.path.realpath(mounts.root / path)))
        children.run(check, mounted.join("file"), 3 * MIB)
    done = run([*COMMAND, "mount", "-u", str(source), str(mounts.root / "link" / "2")], mounts.environ(8))
    assert done.returncode == 0
    assert table.top_at(str(mounts.root / "real" / "2")) is not None
    assert run([*COMMAND, "umount", str(mounts.root / "link" / "2")], mounts.environ(8)).returncode == 0


def test_a_relative_place(source: Path, mounts: Mounts) -> None:
    """A relative mount point and a relative source are those of the directory the command was typed in."""

    def there(*words: str) -> None:
        subprocess.run([*COMMAND, *words], cwd=mounts.root, env=mounts.environ(7), timeout=120, check=True)

    there("mount", "-u", "source", "mnt")
    assert table.top_at(str(mounts.root / "mnt")) is not None
    there("umount", "mnt")


@pytest.mark.parametrize("lazy", [False, True])
def test_unmounted_from_outside(source: Path, mounts: Mounts, children: Children, lazy: bool) -> None:
    """umount(8) ends the daemon; umount -l of a busy mount does when the last file has been closed."""
    mounted = mounts.mount(source)
    opened, close = os.pipe(), os.pipe()

    def hold() -> None:
        with open(mounted.join("file"), "rb"):
            os.write(opened[1], b"x")
            os.read(close[0], 1)

    holder = children.start(hold)
    assert os.read(opened[0], 1) == b"x"
    if lazy:
        assert children.command("umount", "-l", mounted.path).returncode == 0
        assert table.top_at(mounted.path) is None
        assert is_running(mounted.pid)
    else:
        assert children.command("umount", mounted.path).returncode != 0
    os.write(close[1], b"x")
    holder.result()
    if not lazy:
        until(lambda: children.command("umount", mounted.path).returncode == 0, "umount")
    until(mounted.gone, "the daemon to end")
    assert mounted.lines("INFO", "unmounted")
    for end in (*opened, *close):
        os.close(end)


def test_a_busy_mount(source: Path, mounts: Mounts, children: Children) -> None:
    """SIGTERM detaches a busy mount; files that are open in passthrough stay readable after the daemon has ended."""
    mounted = mounts.mount(source)
    passthrough = mounted.has("passthrough")
    opened, go = os.pipe(), os.pipe()

    def read() -> int:
        fd = os.open(mounted.join("file"), os.O_RDONLY)
        os.write(opened[1], b"x")
        os.read(go[0], 1)
        try:
            return len(os.pread(fd, 3 * MIB, 0))
        except OSError as error:
            return -(error.errno or 0)

    reader = children.start(read)
    assert os.read(opened[0], 1) == b"x"
    os.kill(mounted.pid, signal.SIGTERM)
    until(mounted.gone, "the daemon to end")
    os.write(go[1], b"x")
    if passthrough:
        assert reader.result() == 3 * MIB
    for end in (*opened, *go):
        os.close(end)


def test_several_mounts(source: Path, mounts: Mounts, children: Children, remote: Callable[..., RemoteSource]) -> None:
    """Several mounts of several sources, one of them on top of another's directory, live and end by themselves."""
    (source / "inner").mkdir()
    outer = mounts.mount(source)
    others = [mounts.mount(remote({b"file": Pattern(MIB * (i + 1))}), "", CACHE) for i in range(3)]
    inner = mounts.mount(remote({b"file": Pattern(5)}), at=Path(outer.join("inner")))
    assert len({mounted.pid for mounted in (outer, inner, *others)}) == 5
    for mounted, size in ((outer, 3 * MIB), (inner, 5), *((other, MIB * (i + 1)) for i, other in enumerate(others))):
        children.run(check, mounted.join("file"), size)
    for mounted in (others[1], inner):
        assert mounted.end() == []
    children.run(check, outer.join("file"), 3 * MIB)
    children.run(check, others[2].join("file"), 3 * MIB)


def test_two_mounts_of_one_program(source: Path, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python API holds several mounts at once; leaving their blocks unmounts each, also after an exception."""
    monkeypatch.setenv("ALLUXIO_LOGS_DIR", str(private / "logs"))
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        with alluxio_jnifuse.mount(source, private / "a", options={"attr_timeout": 0}) as first:
            with alluxio_jnifuse.mount(source, private / "b", properties=CACHE) as second:
                assert first.pid != second.pid
                assert Registry().find(first.mountpoint) is not None
            assert not is_running(second.pid)
            _ = 1 / 0
    assert not is_running(first.pid)
    assert table.top_at(first.mountpoint) is None
    with alluxio_jnifuse.mount(source, private / "a") as again:
        os.kill(again.pid, signal.SIGKILL)
        until(lambda: not is_running(again.pid), "the daemon to be dead")


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("/no/such/directory", "no such directory"),
        ("relative/missing", "no such directory"),
        ("/dev/null", "not a directory"),
        ("oss://bucket/", "fs.oss.endpoint is not set"),
        ("nonsense://x", "no source for the scheme 'nonsense'"),
        (f"testing://{FACTORIES}#nonsense", "not a Source"),
        ("testing:///no/such/file.py#factory", "names no factory"),
    ],
)
@pytest.mark.parametrize("foreground", [[], ["-n"]], ids=["background", "foreground"])
def test_sources_that_do_not_open(mounts: Mounts, uri: str, sentence: str, foreground: list[str]) -> None:
    """A source that cannot be opened is a sentence of the command that was typed, and nothing is mounted."""
    done = run([*COMMAND, "mount", *foreground, "-u", uri, str(mounts.root / "mnt")], mounts.environ())
    assert done.returncode == 1
    assert done.stdout == ""
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert beneath(str(mounts.root)) == []


def test_a_command_that_is_interrupted(mounts: Mounts, remote: Callable[..., RemoteSource]) -> None:
    """Ctrl-C while a mount waits for its source ends the command and the daemon, and nothing is left."""
    hanging = remote({b"file": b""}, {"stat": 60.0})
    path = str(mounts.root / "mnt")
    words = [*COMMAND, "mount", "-u", hanging.uri, path]
    command = subprocess.Popen(words, env=mounts.environ(), stderr=subprocess.PIPE)
    until(lambda: hanging.ready.exists(), "the daemon to have its source")
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=120)
    assert command.returncode == 130, err
    assert table.top_at(path) is None
    until(lambda: not processes(path), "the daemon to be dead")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_something_is_mounted_over_it(mounts: Mounts, source: Path) -> None:
    """A mount that cannot be unmounted for that is left behind, and the log says what lies over it."""
    mounted = mounts.mount(source)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mounted.path], check=True)
    try:
        os.kill(mounted.pid, signal.SIGTERM)
        until(lambda: not is_running(mounted.pid), "the daemon to end")
    finally:
        subprocess.run(["umount", mounted.path], check=True)
    assert mounted.lines("a mount of type tmpfs lies over it")
    subprocess.run(["umount", "-l", mounted.path], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="umount(8) of root")
def test_the_end_of_a_detached_mount_leaves_the_next_one_known(mounts: Mounts, source: Path) -> None:
    """It lives as long as a file of it is open, and has no part in what is mounted there since."""
    old = mounts.mount(source, "passthrough=off")
    with subprocess.Popen(["sh", "-c", f"exec sleep 1000 < {old.join('file')}"]) as reader:
        try:
            old.until(lambda stats: stats["open_cached"], "the file to be open")
            subprocess.run(["umount", "-l", old.path], check=True)
            assert is_running(old.pid)
            again = mounts.mount_with(["-u", str(source), old.path], old.path)
        finally:
            reader.kill()
    until(lambda: not is_running(old.pid), "the old daemon to end")
    assert Registry().find(old.path) is not None
    assert again.stats()["op_open"] == 0
