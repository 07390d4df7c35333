"""A source that hangs: EIO within the timeout, other requests go on, and the daemon can always be ended."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable

import pytest
from harness.children import Children, results, until
from harness.mounting import CACHE, Mounted, Mounts
from harness.readers import MIB, check, errno_of
from harness.remote import RemoteSource

from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.testing import Link, Pattern

pytestmark = pytest.mark.fuse

SIZE = 10 * MIB
TREE = {b"file": Pattern(SIZE), b"other": Pattern(SIZE), b"d": {b"name": b"x"}, b"link": Link(b"file")}
IMPATIENT = {"alluxio.user.streaming.data.read.timeout": "1sec", "alluxio.user.rpc.retry.max.duration": "1sec"}
# For tests in which other reads are to be answered meanwhile: a busy machine must get that done in this time.
PATIENT = {"alluxio.user.streaming.data.read.timeout": "5sec", "alluxio.user.rpc.retry.max.duration": "5sec"}
# A thread that never comes back from the source keeps what it holds.
HELD = ("fetches", "files", "backings", "pages")


@pytest.fixture
def source(remote: Callable[..., RemoteSource]) -> RemoteSource:
    """A source with a switch for each kind of call on /file, /d and /link."""
    rules = [("open", "open", b"/file"), ("read", "read", b"/file"), ("stat", "stat", b"/file")]
    rules += [("list", "list", b"/d"), ("readlink", "readlink", b"/link"), ("statfs", "statfs", None)]
    return remote(TREE, rules=rules)


def read(mounted: Mounted, offset: int = 0) -> None:
    """Reads a little of /file."""
    fd = os.open(mounted.join("file"), os.O_RDONLY)
    try:
        os.pread(fd, 4096, offset)
    finally:
        os.close(fd)


ASK: dict[str, Callable[[Mounted], object]] = {
    "open": read,
    "read": read,
    "stat": lambda mounted: os.stat(mounted.join("file")),
    "list": lambda mounted: os.listdir(mounted.join("d")),
    "readlink": lambda mounted: os.readlink(mounted.join("link")),
    "statfs": lambda mounted: os.statvfs(mounted.path),
}


def timed(function: Callable[[Mounted], object], mounted: Mounted) -> tuple[int, float]:
    """The errno of a call, and the seconds it took."""
    began = time.monotonic()
    return errno_of(function, mounted), time.monotonic() - began


@pytest.mark.parametrize("kind", [kind for kind in ASK if kind != "statfs"])
@pytest.mark.parametrize("properties", [{}, CACHE], ids=["window", "cached"])
def test_timeout(
    mounts: Mounts, source: RemoteSource, children: Children, kind: str, properties: dict[str, str]
) -> None:
    """A request that is not answered in time is EIO; the next succeeds although the first still hangs in the source."""
    mounted = mounts.mount(source, "direct_io", {**properties, **IMPATIENT})
    source.hold(kind, 1)
    answer, seconds = children.run(timed, ASK[kind], mounted)
    assert answer == errno.EIO
    assert seconds > 0.9
    assert source.waiting(kind) == 1
    assert mounted.stats()["op_timed_out"] >= 1
    assert len(mounted.lines("ERROR", "no answer from the source within 1000 ms")) == 1
    assert children.run(timed, ASK[kind], mounted)[0] == 0
    if kind in ("open", "read"):
        children.run(check, mounted.join("file"), SIZE)
    assert source.waiting(kind) == 1
    source.release(kind)
    mounted.settled()
    assert children.run(timed, ASK[kind], mounted)[0] == 0
    children.run(check, mounted.join("file"), SIZE)


def test_the_handle_outlives_a_timeout(mounts: Mounts, source: RemoteSource, children: Children) -> None:
    """A handle whose read timed out reads on, while the late thread still hangs, and after it has come back."""
    mounted = mounts.mount(source, "direct_io", {**CACHE, **PATIENT})
    source.hold("read", 1)

    def read_on() -> list[int]:
        fd = os.open(mounted.join("file"), os.O_RDONLY)
        return [errno_of(os.pread, fd, MIB, offset) for offset in (0, 0, 5 * MIB)]

    first, *others = children.run(read_on)
    assert first == errno.EIO
    assert others == [0, 0]
    source.release("read")
    mounted.settled()
    children.run(check, mounted.join("file"), SIZE)


def test_time_of_a_buffered_read(mounts: Mounts, source: RemoteSource, children: Children) -> None:
    """A read through the kernel's pages fails in twice the timeout: it is tried as read-ahead, and then by itself."""
    mounted = mounts.mount(source, "", IMPATIENT)
    source.hold("read")
    assert children.run(timed, read, mounted)[0] == errno.EIO
    assert mounted.stats()["op_timed_out"] <= 2
    source.release("read")


def test_timeouts_again_and_again(mounts: Mounts, source: RemoteSource, children: Children) -> None:
    """Each reader of a file that keeps hanging gets EIO in time, and other files are not slower for it."""
    mounted = mounts.mount(source, "fetchers=4", {**CACHE, **PATIENT})
    source.hold("read")
    for _ in range(2):
        readers = [children.start(timed, lambda m, n=n: read(m, n * MIB), mounted) for n in range(6)]
        children.run(check, mounted.join("other"), SIZE)
        answers = results(readers)
        assert {answer for answer, _ in answers} == {errno.EIO}
    source.release("read")
    mounted.settled()
    children.run(check, mounted.join("file"), SIZE)


def test_slow_requests_are_logged(mounts: Mounts, source: RemoteSource, children: Children) -> None:
    """A request that took longer than alluxio.fuse.logging.threshold leaves a line with what it was."""
    mounted = mounts.mount(source, "direct_io", {"alluxio.fuse.logging.threshold": "100ms"})
    source.hold("read", 1)
    waiting = children.start(read, mounted, 4096)
    began = time.monotonic()
    mounted.until(lambda _: time.monotonic() - began > 0.2 and source.waiting("read"), "the read to be slow")
    source.release("read")
    waiting.result()
    (line,) = until(lambda: mounted.lines("WARN", "Fuse.Read(path=/file,"), "the line")
    assert "offset=4096" in line
    assert "(>=100 ms)" in line


def gone(mounted: Mounted) -> None:
    """Waits until neither daemon nor mount is left."""
    until(mounted.gone, "daemon and mount to be gone")
    assert table.top_at(mounted.path) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_while_everything_hangs(
    mounts: Mounts, source: RemoteSource, children: Children, number: signal.Signals
) -> None:
    """SIGTERM under load: everybody who waits gets an error at once, the daemon ends, no mount is left."""
    mounted = mounts.mount(source, "direct_io", CACHE)
    mounted.unbalanced = HELD
    children.run(os.stat, mounted.join("file"))
    kinds = ("read", "list", "readlink")
    for kind in kinds:
        source.hold(kind)
    # The kernel lets one process ask for a link, and others wait for that one.
    waiting = [children.start(timed, ASK[kind], mounted) for kind in (*kinds, "list", "list")]
    waiting += [children.start(timed, lambda m, n=n: read(m, n * 4096), mounted) for n in range(8)]
    mounted.until(lambda s: s["requests_born"] - s["requests_died"] == len(waiting), "all to wait")
    os.kill(mounted.pid, number)
    answers = results(waiting)
    assert not mounted.lines("no answer from the source")
    assert {answer for answer, _ in answers} <= {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.EINTR}
    assert 0 not in {answer for answer, _ in answers}
    gone(mounted)
    assert mounted.lines("requests still hang in the storage")


def test_ended_under_load(mounts: Mounts, remote: Callable[..., RemoteSource], children: Children) -> None:
    """SIGTERM while readers are busy: each gets whole bytes or an error, never others; nothing is left."""
    tree = {b"%d" % i: Pattern(SIZE + i) for i in range(20)}
    mounted = mounts.mount(remote(tree, {"read": 0.002}), "", CACHE)

    def read_for_ever(number: int) -> int:
        while True:
            for i in range(20):
                try:
                    check(mounted.join(str((i + number) % 20)), SIZE + (i + number) % 20)
                except OSError as error:
                    return error.errno or 0

    readers = [children.start(read_for_ever, number) for number in range(8)]
    mounted.until(lambda s: s["fetch_bytes"] > 50 * MIB, "load")
    os.kill(mounted.pid, signal.SIGTERM)
    expected = {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENOENT}
    assert set(results(readers)) <= expected
    gone(mounted)


def test_unmounted_by_force_while_everything_hangs(mounts: Mounts, source: RemoteSource, children: Children) -> None:
    """umount -f ends a mount whose source hangs, and those who wait for it."""
    mounted = mounts.mount(source, "direct_io")
    mounted.killed = True
    source.hold("read")
    waiting = [children.start(timed, read, mounted) for _ in range(5)]
    mounted.until(lambda s: s["requests_born"] - s["requests_died"] == 5, "all to wait")
    assert mounted.unmount("-f").returncode == 0
    assert all(answer for answer, _ in results(waiting))
    gone(mounted)


def test_watching_a_source_that_hangs(mounts: Mounts, remote: Callable[..., RemoteSource], children: Children) -> None:
    """df, and whoever looks at the mount point, gets what was told last, and after a while at once."""
    source = remote(TREE, rules=[("root", "stat", b"/"), ("list", "list", None), ("statfs", "statfs", None)])
    mounted = mounts.mount(source, "attr_timeout=0,entry_timeout=0")
    mounted.unbalanced = ("fetches", "inodes")
    known = children.run(os.statvfs, mounted.path)
    for kind in ("root", "list", "statfs"):
        source.hold(kind)
    hanging = children.start(errno_of, os.listdir, mounted.path)
    mounted.until(lambda _: source.waiting("list") == 1, "the listing to be asked for")
    for _ in range(20):  # each asks for attributes and figures: 40 s if each were to wait
        assert children.run(os.statvfs, mounted.path).f_blocks == known.f_blocks
        assert children.run(os.stat, mounted.path).st_mode
        assert children.command("df", "-P", mounted.path).returncode == 0
    assert (source.waiting("root"), source.waiting("statfs")) == (1, 1)
    assert not hanging.ended()
    for kind in ("root", "list", "statfs"):
        source.release(kind)
    assert hanging.result() == 0


def test_a_root_that_hangs(mounts: Mounts, remote: Callable[..., RemoteSource], children: Children) -> None:
    """A mount whose root hangs is in use by whoever waits for it; on request it is detached, and they are answered."""
    source = remote(TREE, rules=[("root", "list", b"/")])
    mounted = mounts.mount(source, "attr_timeout=0,entry_timeout=0")
    mounted.unbalanced = ("fetches", "inodes")
    source.hold("root")
    waiting = children.start(errno_of, os.listdir, mounted.path)
    mounted.until(lambda _: source.waiting("root") == 1, "the root to be asked for")
    done = mounted.unmount()
    assert done.returncode == 32, done.stderr
    assert not waiting.ended()
    done = mounted.unmount("-l", "-w", "120")
    assert done.returncode == 0, done.stderr
    assert waiting.result(120) != 0
    gone(mounted)
