"""A daemon that is denied descriptors, threads or its life, and what its mount does then."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.children import Children, results, until
from harness.mounting import CACHE, Mounted, Mounts
from harness.readers import MIB, check, check_ranges, errno_of, write
from harness.remote import RemoteSource

from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.testing import Pattern

pytestmark = pytest.mark.fuse

Remote = Callable[..., RemoteSource]
FILES = 60
SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM)
PIDS = Path("/sys/fs/cgroup/pids")


@pytest.fixture
def source(private: Path) -> Path:
    """A directory of files of 3 MiB."""
    root = private / "source"
    root.mkdir()
    write(root / "0", 3 * MIB)
    for i in range(1, FILES):
        write(root / str(i), 3 * MIB)
    return root


@contextmanager
def descriptors(mounted: Mounted, more: int) -> Iterator[None]:
    """Lets a daemon open `more` descriptors than it has, and no others."""
    before = resource.prlimit(mounted.pid, resource.RLIMIT_NOFILE)
    limit = max(int(name) for name in os.listdir(f"/proc/{mounted.pid}/fd")) + 1 + more
    resource.prlimit(mounted.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    yield
    resource.prlimit(mounted.pid, resource.RLIMIT_NOFILE, before)


def open_all(mounted: Mounted) -> dict[str, int]:
    """Opens every file and keeps it open; the errno for each, and then that of reading those that are open."""
    answers = {}
    held = []
    for i in range(FILES):
        try:
            held.append(os.open(mounted.join(str(i)), os.O_RDONLY))
            answers[str(i)] = errno_of(os.pread, held[-1], 4096, 2 * MIB)
        except OSError as error:
            answers[str(i)] = error.errno or 0
    return answers


def test_the_table_of_descriptors_need_not_grow(private: Path, mounts: Mounts) -> None:
    """A thread that opens a file while it grows waits for every processor, and readers wait for that thread."""
    mounted = mounts.mount(private)
    status = Path(f"/proc/{mounted.pid}/status").read_text(encoding="ascii")
    assert int(status.split("FDSize:")[1].split()[0]) >= 4096


@pytest.mark.parametrize(("options", "properties"), [("", {}), ("passthrough=off", {}), ("", CACHE)])
def test_no_descriptors(
    source: Path, mounts: Mounts, children: Children, options: str, properties: dict[str, str]
) -> None:
    """A daemon that has no descriptor left says so to who opens a file, serves the others, and recovers."""
    mounted = mounts.mount(source, options, properties)
    children.run(os.listdir, mounted.path)
    children.run(check, mounted.join("0"), 3 * MIB)
    before = len(mounted.files(pipes=False))
    with descriptors(mounted, 8):
        answers = children.run(open_all, mounted)
        assert set(answers.values()) <= {0, *SHORT_OF}
        assert list(answers.values()).count(0) >= 4
        assert children.run(errno_of, os.stat, mounted.join("1")) == 0
    with descriptors(mounted, 0):
        assert children.run(errno_of, os.listdir, mounted.path) in (0, *SHORT_OF)
        children.run(open_all, mounted)
    for i in range(FILES):
        children.run(check, mounted.join(str(i)), 3 * MIB)
    mounted.settled()
    if not properties:
        until(lambda: len(mounted.files(pipes=False)) <= before + 2, "the descriptors to be given back")


def test_killed_without_descriptors(mounts: Mounts, children: Children, remote: Remote) -> None:
    """A reader can be killed although the daemon cannot open a file to see what happened to it."""
    source = remote({b"file": Pattern(MIB)}, rules=[("read", "read", None)])
    mounted = mounts.mount(source, "direct_io")
    source.hold("read")
    victim = children.start(check, mounted.join("file"), MIB)
    mounted.until(lambda s: s["requests_born"] > s["requests_died"] and source.waiting("read"), "the read to wait")
    with descriptors(mounted, 0):
        victim.kill()
        assert mounted.stats()["op_timed_out"] == 0  # it did not wait for that
    source.release("read")


def test_descriptors_are_given_back(source: Path, mounts: Mounts, children: Children) -> None:
    """Opening, reading, failing and listing many times leaves the daemon with the descriptors it had."""
    mounted = mounts.mount(source, "attr_timeout=0,entry_timeout=0")

    def use() -> None:
        for _ in range(20):
            for i in range(0, FILES, 5):
                check_ranges(mounted.join(str(i)), 3 * MIB, [(0, 4096), (MIB, 4096)])
            os.listdir(mounted.path)
            errno_of(os.open, mounted.join("missing"), os.O_RDONLY)
            os.statvfs(mounted.path)

    children.run(use)
    mounted.closed()
    before = sorted(mounted.files())
    children.run(use)
    mounted.closed()
    assert sorted(mounted.files()) == before


@contextmanager
def crowded(pid: int) -> Iterator[None]:
    """The process may start neither processes nor threads."""
    group = PIDS / f"ajf-tests-{pid}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made to limit processes: {error}")
    try:
        (group / "cgroup.procs").write_text(str(pid))
        (group / "pids.max").write_text((group / "pids.current").read_text())
        yield
    finally:
        try:
            (PIDS / "cgroup.procs").write_text(str(pid))
        except ProcessLookupError:
            pass  # it has ended
        until(lambda: not (group / "cgroup.procs").read_text(), "the group to be empty")
        group.rmdir()


@pytest.mark.skipif(not PIDS.is_dir(), reason="no control groups of version 1 for processes")
def test_no_threads(mounts: Mounts, children: Children, remote: Remote) -> None:
    """A daemon that may start no thread serves with those it has, and with more when it may."""
    tree = {b"%d" % i: Pattern(3 * MIB) for i in range(30)}
    mounted = mounts.mount(remote(tree, {"read": 0.002}), "direct_io,max_threads=10", CACHE)
    with crowded(mounted.pid):
        readers = [children.start(check, mounted.join(str(i)), 3 * MIB, 64 << 10) for i in range(30)]
        results(readers)
        assert mounted.lines("no more fetcher threads")
        assert mounted.stats()["threads"] <= 2
    results([children.start(check, mounted.join(str(i)), 3 * MIB, 16 << 10) for i in range(30)])


@pytest.mark.skipif(not PIDS.is_dir(), reason="no control groups of version 1 for processes")
def test_ended_without_threads(source: Path, mounts: Mounts, children: Children) -> None:
    """A daemon that may start no thread can be unmounted."""
    mounted = mounts.mount(source)
    with crowded(mounted.pid):
        children.run(check, mounted.join("0"), 3 * MIB)
        assert mounted.unmount().returncode == 0
        until(mounted.gone, "daemon and mount to be gone")


def test_killed_daemon(source: Path, mounts: Mounts, children: Children) -> None:
    """After kill -9 whoever has a file open in passthrough reads on, others get ENOTCONN, and a new mount works."""
    mounted = mounts.mount(source)
    passthrough = mounted.has("passthrough")
    opened, killed = os.pipe(), os.pipe()

    def read() -> tuple[int, int, int]:
        fd = os.open(mounted.join("0"), os.O_RDONLY)
        os.write(opened[1], b"x")
        os.read(killed[0], 1)
        first = errno_of(os.pread, fd, MIB, MIB)
        return first, errno_of(os.open, mounted.join("1"), os.O_RDONLY), errno_of(os.listdir, mounted.path)

    reader = children.start(read)
    assert os.read(opened[0], 1) == b"x"
    mounted.kill()
    os.write(killed[1], b"x")
    assert reader.result() == (0 if passthrough else errno.ENOTCONN, errno.ENOTCONN, errno.ENOTCONN)
    again = mounts.mount(source, at=Path(mounted.path))
    children.run(check, again.join("0"), 3 * MIB)
    assert len([entry for entry in table.read() if entry.mountpoint == mounted.path]) == 1
    for end in (*opened, *killed):
        os.close(end)


def test_killed_under_load(mounts: Mounts, children: Children, remote: Remote) -> None:
    """After kill -9 of a daemon that is busy, everybody who waited gets an error, and a new mount works."""
    source = remote({b"file": Pattern(MIB)}, rules=[("read", "read", None)])
    mounted = mounts.mount(source, "direct_io")
    source.hold("read")
    waiting = [children.start(errno_of, check, mounted.join("file"), MIB) for _ in range(10)]
    mounted.until(lambda s: s["requests_born"] - s["requests_died"] == 10, "all to wait")
    mounted.kill()
    assert set(results(waiting)) <= {errno.ENOTCONN, errno.ECONNABORTED}
    again = mounts.mount(remote({b"file": Pattern(MIB)}), at=Path(mounted.path))
    children.run(check, again.join("file"), MIB)


def test_a_full_log(source: Path, mounts: Mounts, children: Children) -> None:
    """A log file that cannot be written does not stop the mount."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    mounted = mounts.mount(source, "", {"alluxio.fuse.debug.enabled": "true"})
    before = resource.prlimit(mounted.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(mounted.pid, resource.RLIMIT_FSIZE, (1, before[1]))
    for i in range(5):
        children.run(check, mounted.join(str(i)), 3 * MIB)
    resource.prlimit(mounted.pid, resource.RLIMIT_FSIZE, before)
