"""Who waits for a mount can be killed, and is not disturbed by any other signal."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
from collections.abc import Callable

import pytest
from harness.children import Child, Children, results
from harness.mounting import CACHE, Mounted, Mounts
from harness.readers import LIBC, MIB
from harness.remote import RemoteSource

from alluxio_jnifuse.testing import Link, Pattern, pattern

pytestmark = pytest.mark.fuse

Remote = Callable[..., RemoteSource]
SIZE = 10 * MIB
TREE = {b"file": Pattern(SIZE), b"d": {b"name": b"contents"}, b"link": Link(b"file")}


def read(path: str) -> int:
    """Reads with the system call itself: Python would hide an EINTR."""
    fd = LIBC.open(os.fsencode(path), os.O_RDONLY)
    if fd < 0:
        return ctypes.get_errno()
    buffer = ctypes.create_string_buffer(MIB)
    if LIBC.pread(fd, buffer, ctypes.c_size_t(MIB), ctypes.c_long(3 * MIB)) < 0:
        return ctypes.get_errno()
    return 0 if buffer.raw == pattern(b"/file", 1, 3 * MIB, MIB) else errno.EBADMSG


def touch_mapped(path: str) -> int:
    """Reads through a mapping, where an error would be a SIGBUS."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), SIZE, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
        return 0 if mapped[5 * MIB : 6 * MIB] == pattern(b"/file", 1, 5 * MIB, MIB) else errno.EBADMSG


def stat(path: str) -> int:
    """Looks a name up."""
    return 0 if LIBC.access(os.fsencode(path), os.F_OK) == 0 else ctypes.get_errno()


def list_directory(path: str) -> int:
    """Lists the directory of the file."""
    return 0 if os.listdir(os.path.join(os.path.dirname(path), "d")) == ["name"] else errno.EBADMSG


def read_link(path: str) -> int:
    """Reads the link beside the file."""
    return 0 if os.readlink(os.path.join(os.path.dirname(path), "link")) == "file" else errno.EBADMSG


def statfs(path: str) -> int:
    """Asks for the figures of the file system."""
    return 0 if os.statvfs(path).f_blocks else errno.EBADMSG


WAITS = [
    pytest.param("read", read, "", id="read"),
    pytest.param("read", read, "direct_io", id="direct read"),
    pytest.param("read", touch_mapped, "", id="page fault"),
    pytest.param("open", read, "", id="open"),
    pytest.param("stat", stat, "", id="look-up"),
    pytest.param("list", list_directory, "", id="listing"),
    pytest.param("readlink", read_link, "", id="link"),
    pytest.param("statfs", statfs, "", id="statfs"),
]


def wait_in(
    kind: str, mounted: Mounted, source: RemoteSource, children: Children, function: Callable[..., int], count: int = 1
) -> list[Child]:
    """Children that wait for a kind of call."""
    source.hold(kind)
    waiting = [children.start(function, mounted.join("file")) for _ in range(count)]
    mounted.until(lambda s: s["requests_born"] > s["requests_died"] and source.waiting(kind) > 0, "a request to wait")
    return waiting


@pytest.fixture
def source(remote: Remote) -> RemoteSource:
    """A source with a switch for each kind of call."""
    kinds = ("read", "open", "stat", "list", "readlink", "statfs")
    return remote(TREE, rules=[(kind, kind, None) for kind in kinds])


@pytest.mark.parametrize(("kind", "function", "options"), WAITS)
def test_killed(
    mounts: Mounts, children: Children, source: RemoteSource, kind: str, function: Callable[..., int], options: str
) -> None:
    """A process that waits, whatever for, is dead at once when it is killed; its place is free, others go on."""
    mounted = mounts.mount(source, options)
    (victim,) = wait_in(kind, mounted, source, children, function)
    victim.kill()
    assert mounted.stats()["op_timed_out"] == 0  # it did not wait for that
    assert victim.ended_by() == "SIGKILL"
    source.release(kind)
    assert children.run(function, mounted.join("file")) == 0
    mounted.settled()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE])
def test_ended_by_other_signals(
    mounts: Mounts, children: Children, source: RemoteSource, number: signal.Signals
) -> None:
    """Any signal that ends a process does so at once while it waits."""
    mounted = mounts.mount(source)
    (victim,) = wait_in("read", mounted, source, children, read)
    victim.signal(number)
    victim.wait(120)
    assert mounted.stats()["op_timed_out"] == 0
    assert victim.ended_by() == number.name
    source.release("read")


def test_many_are_killed(mounts: Mounts, children: Children, source: RemoteSource) -> None:
    """Forty readers of one file that hangs are killed together, and nothing of them is left."""
    mounted = mounts.mount(source, "direct_io", CACHE)
    victims = wait_in("read", mounted, source, children, read, 40)
    for victim in victims:
        victim.signal(signal.SIGKILL)
    for victim in victims:
        victim.wait(120)
    stats = mounted.until(lambda s: s["requests_born"] == s["requests_died"], "all requests to be given up")
    assert stats["op_timed_out"] == 0
    assert stats["op_interrupted"] > 0
    source.release("read")
    assert children.run(read, mounted.join("file")) == 0


def disturbed(function: Callable[..., int], path: str, ready: int) -> tuple[int, int]:
    """Calls a function while a timer with a handler goes off all the time, and children end."""
    rang = 0

    def ring(*_: object) -> None:
        nonlocal rang
        rang += 1

    signal.signal(signal.SIGALRM, ring)
    signal.signal(signal.SIGCHLD, ring)
    for _ in range(3):
        if os.fork() == 0:
            signal.sigtimedwait([signal.SIGUSR1], 0.3)
            os._exit(0)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    os.write(ready, b"x")
    answer = function(path)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return answer, rang


@pytest.mark.parametrize(("kind", "function", "options"), WAITS)
def test_signals_with_a_handler(
    mounts: Mounts, children: Children, source: RemoteSource, kind: str, function: Callable[..., int], options: str
) -> None:
    """A process that waits and has a handler for its signals gets no EINTR and no SIGBUS, but its answer."""
    mounted = mounts.mount(source, options)
    reading, writing = os.pipe()
    source.hold(kind)
    waiting = children.start(disturbed, function, mounted.join("file"), writing)
    assert os.read(reading, 1) == b"x"
    mounted.until(lambda s: s["requests_born"] > s["requests_died"] and source.waiting(kind) > 0, "a request to wait")
    mounted.until(lambda _: pending(waiting.pid), "signals to arrive")
    source.release(kind)
    answer, rang = waiting.result()
    assert answer == 0
    assert rang > 0
    os.close(reading)
    os.close(writing)


def pending(pid: int) -> bool:
    """Whether a timer and a child's end wait to be handled by a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":\t", 1) for line in file if ":\t" in line)
    signals = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
    return bool(signals & 1 << (signal.SIGALRM - 1)) and bool(signals & 1 << (signal.SIGCHLD - 1))


def test_killed_after_a_signal(mounts: Mounts, children: Children, source: RemoteSource) -> None:
    """A process that has been disturbed while it waited can still be killed: the kernel does not tell of that."""
    mounted = mounts.mount(source)
    reading, writing = os.pipe()
    source.hold("read")
    waiting = children.start(disturbed, read, mounted.join("file"), writing)
    assert os.read(reading, 1) == b"x"
    mounted.until(lambda _: source.waiting("read") > 0 and pending(waiting.pid), "a signal to arrive")
    waiting.kill()
    assert mounted.stats()["op_timed_out"] == 0
    source.release("read")
    os.close(reading)
    os.close(writing)


def test_stopped_and_continued(mounts: Mounts, children: Children, source: RemoteSource) -> None:
    """A reader that is stopped while it waits gets its bytes when it is continued."""
    mounted = mounts.mount(source)
    waiting = wait_in("read", mounted, source, children, read, 2)
    for one in waiting:
        one.signal(signal.SIGSTOP)
    source.release("read")
    for one in waiting:
        one.signal(signal.SIGCONT)
    assert results(waiting) == [0, 0]
