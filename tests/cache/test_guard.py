"""A disk that fails or hangs holds up nobody for longer than the timeout, and is then left alone (cache/guard.py)."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from alluxio_jnifuse.cache import guard as module
from alluxio_jnifuse.cache.buffers import Buffers
from alluxio_jnifuse.cache.guard import Guard, Hanging, Refused
from alluxio_jnifuse.errors import MountError

WAIT_S = 100.0
SHORT_S = 0.05


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The guard's clock."""
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """What hanging work waits for; it is set at the end."""
    made = threading.Event()
    yield made
    made.set()


def fail() -> None:
    raise OSError(errno.EIO, "broken")


@pytest.mark.parametrize("timeout", [0.0, WAIT_S])
def test_results_and_errors_are_those_of_the_work(timeout: float) -> None:
    """With a timeout, and without."""
    guard = Guard("disk", timeout, 2)
    assert guard.run("work", lambda: 7) == 7
    with pytest.raises(OSError, match="broken"):
        guard.run("work", fail)
    with pytest.raises(ZeroDivisionError):
        guard.run("work", lambda: 1 // 0)
    assert guard.run("work", lambda: 8) == 8
    assert (guard.errors, guard.timeouts) == (1, 0)


@pytest.mark.parametrize("timeout", [0.0, WAIT_S])
def test_a_disk_that_keeps_failing_is_left_alone(timeout: float, clock: Clock) -> None:
    """After eight failures in a row nothing is begun for thirty seconds; a success in between begins the count anew."""
    guard = Guard("disk", timeout, 2)
    for _ in range(3):
        for _ in range(7):
            with pytest.raises(OSError, match="broken"):
                guard.run("work", fail)
        assert guard.run("work", lambda: 1) == 1
    for _ in range(8):
        with pytest.raises(OSError, match="broken"):
            guard.run("work", fail)
    with pytest.raises(Refused):
        guard.run("work", lambda: pytest.fail("begun"))
    assert not guard.start(lambda: None, 1)
    clock.now += 30
    assert guard.run("work", lambda: 2) == 2


def test_hanging_work_is_given_up(hang: threading.Event, clock: Clock) -> None:
    """Whoever waits for it goes on after the timeout, the next one at once; later the disk is tried again."""
    guard = Guard("disk", SHORT_S, 4)
    with pytest.raises(Hanging):
        guard.run("work", hang.wait)
    with pytest.raises(Refused):
        guard.run("work", lambda: 1)
    clock.now += 30
    guard = guard_with_time(guard)
    assert guard.run("work", lambda: 2) == 2
    assert guard.timeouts == 1


def guard_with_time(guard: Guard) -> Guard:
    """The same, patient: this machine may be slower than the timeout that makes work hang."""
    guard._timeout = WAIT_S
    return guard


def test_what_hanging_work_results_in_is_undone(hang: threading.Event) -> None:
    """It ends when nobody waits for it any more."""
    undone = threading.Event()
    results: list[object] = []

    def undo(result: object) -> None:
        results.append(result)
        undone.set()

    guard = Guard("disk", SHORT_S, 4)
    with pytest.raises(Hanging):
        guard.run("work", lambda: (hang.wait(), "opened")[1], undo)
    hang.set()
    assert undone.wait(WAIT_S)
    assert results == ["opened"]


def test_work_that_was_given_up_is_not_begun(hang: threading.Event, clock: Clock) -> None:
    """The only thread hangs; what waits behind it is given up, and what is to be done afterwards is done at once."""
    guard = Guard("disk", SHORT_S, 1)
    begun: list[str] = []
    after: list[str] = []
    with pytest.raises(Hanging) as hanging:
        guard.run("work", hang.wait, after=lambda: after.append("first"))
    assert hanging.value.begun
    assert not after
    clock.now += 30
    with pytest.raises(Hanging) as waiting:
        guard.run("work", lambda: begun.append("begun"), after=lambda: after.append("second"))
    assert not waiting.value.begun
    assert after == ["second"]
    hang.set()
    done = threading.Event()
    guard.start(done.set)
    assert done.wait(WAIT_S)
    assert (begun, after) == ([], ["second", "first"])


def test_one_looks_whether_the_disk_works_again(hang: threading.Event, clock: Clock) -> None:
    """The others are refused meanwhile; and as long as it does not, the pauses become longer."""
    guard = Guard("disk", SHORT_S, 8)
    with pytest.raises(Hanging):
        guard.run("work", hang.wait)
    pause = 30.0
    refused: list[bool] = []

    def look() -> None:
        refused.append(guard.is_closed)
        hang.wait()

    for _ in range(3):
        clock.now += pause
        with pytest.raises(Hanging):
            guard.run("work", look)
        pause *= 2
        clock.now += pause - 1
        with pytest.raises(Refused):
            guard.run("work", lambda: 1)
        clock.now -= pause - 1
    assert guard.timeouts == 4
    assert refused == [True] * 3


def test_failures_of_one_kind_are_counted_together() -> None:
    """Reads fail, while looking goes well each time: the store is closed all the same."""
    guard = Guard("disk", 0, 1)
    for _ in range(8):
        assert guard.run("look", lambda: 1) == 1
        with pytest.raises(OSError, match="broken"):
            guard.run("read", fail)
    with pytest.raises(Refused):
        guard.run("look", lambda: 1)


def test_undoing_may_fail(hang: threading.Event, clock: Clock) -> None:
    """Nobody is told, and no thread is lost."""
    guard = Guard("disk", SHORT_S, 1)
    with pytest.raises(Hanging):
        guard.run("work", hang.wait, undo=lambda result: fail())
    hang.set()
    clock.now += 30
    assert guard_with_time(guard).run("work", lambda: 1) == 1


def test_no_more_threads_than_said(hang: threading.Event, clock: Clock) -> None:
    """However much hangs."""
    guard = Guard("hanging disk", SHORT_S, 2)
    before = threading.active_count()
    for _ in range(5):
        with pytest.raises(Hanging):
            guard.run("work", hang.wait)
        clock.now += 600
    assert threading.active_count() <= before + 2


def test_work_that_nobody_waits_for_is_done(hang: threading.Event) -> None:
    """Up to a limit of memory; beyond it the caller is told."""
    guard = Guard("disk", 0, 1)
    done = threading.Event()
    assert guard.start(hang.wait, 60 << 20)
    assert not guard.start(done.set, 5 << 20)
    assert guard.start(done.set, 1 << 20)
    hang.set()
    assert done.wait(WAIT_S)
    deadline = time.monotonic() + WAIT_S
    while not guard.start(lambda: None, 60 << 20):  # room comes back
        assert time.monotonic() < deadline


def test_writing_that_nobody_waits_for_may_fail(clock: Clock) -> None:
    """It is counted as any other: a disk that keeps failing is left alone, and tried again later."""
    guard = Guard("disk", 0, 1)

    def write(work: Callable[[], object]) -> bool:
        return guard.start(work, 1) and guard.wait_idle(WAIT_S)

    for _ in range(module._FAILURES):
        assert write(fail)
    assert guard.errors == module._FAILURES
    assert not write(fail)
    clock.now += module._PAUSE_S
    assert write(fail)
    assert guard.errors == module._FAILURES + 1
    assert not write(fail)
    clock.now += 2 * module._PAUSE_S
    for _ in range(module._FAILURES - 1):
        assert write(lambda: None)
        assert write(fail)
    assert write(lambda: None)


def test_work_waits_for_a_thread_that_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there may be none at the moment, the next one does it; who cannot wait is refused."""
    guard = Guard("disk", WAIT_S, 1)
    done, refused = threading.Event(), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(module, "start_thread", no_thread)
        assert guard.start(done.set, 40 << 20)
        with pytest.raises(Refused):
            guard.run("work", refused.set)
    assert not done.is_set()
    guard.run("work", lambda: None)
    assert done.wait(WAIT_S)
    assert not refused.is_set()
    assert guard.wait_idle(WAIT_S)
    assert guard.start(done.set, 40 << 20)  # its memory was given back


def no_thread(*_: object) -> None:
    raise MountError("no thread can be started")


def test_waiting_until_all_is_done(hang: threading.Event) -> None:
    """What waits in the queue counts, too; a store that does not work is not waited for."""
    guard = Guard("disk", SHORT_S, 1)
    done = threading.Event()
    assert guard.start(hang.wait)
    assert guard.start(done.set)
    assert not guard.wait_idle(SHORT_S)
    threading.Timer(SHORT_S, hang.set).start()
    assert guard.wait_idle(WAIT_S)
    assert done.is_set()
    hang.clear()
    with pytest.raises(Hanging):
        guard.run("work", hang.wait)
    before = time.monotonic()
    assert not guard.wait_idle(WAIT_S)
    assert time.monotonic() < before + WAIT_S


def test_buffers_are_used_again() -> None:
    """One that is lost is not, and one that is too small neither."""
    buffers = Buffers()
    first, lost = buffers.take(1 << 20), buffers.take(1 << 20)
    assert first is not lost
    buffers.give_back(first)
    assert len(buffers.take(3 << 20)) >= 3 << 20
    assert buffers.take((1 << 20) - 5) is first
    buffers.give_back(first)
    buffers.drop()
    assert buffers.take(1 << 20) is not first


def test_buffers_are_freed_with_the_last_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has had no work for long."""
    monkeypatch.setattr(module, "_IDLE_S", SHORT_S)
    freed = threading.Event()
    monkeypatch.setattr(Buffers, "drop", lambda _: freed.set())
    Guard("disk", WAIT_S, 2).run("work", lambda: None)
    assert freed.wait(WAIT_S)
