"""A disk that fails or hangs holds up nobody for longer than the timeout, and is then left alone (cache/guard.py)."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator

import pytest

from alluxio_jnifuse.cache import guard as module
from alluxio_jnifuse.cache.guard import Guard, Hanging, Refused

WAIT_S = 20.0
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
    assert guard.run(lambda: 7) == 7
    with pytest.raises(OSError, match="broken"):
        guard.run(fail)
    with pytest.raises(ZeroDivisionError):
        guard.run(lambda: 1 // 0)
    assert guard.run(lambda: 8) == 8
    assert (guard.errors, guard.timeouts) == (1, 0)


@pytest.mark.parametrize("timeout", [0.0, WAIT_S])
def test_a_disk_that_keeps_failing_is_left_alone(timeout: float, clock: Clock) -> None:
    """After eight failures in a row nothing is begun for thirty seconds; a success in between begins the count anew."""
    guard = Guard("disk", timeout, 2)
    for _ in range(3):
        for _ in range(7):
            with pytest.raises(OSError, match="broken"):
                guard.run(fail)
        assert guard.run(lambda: 1) == 1
    for _ in range(8):
        with pytest.raises(OSError, match="broken"):
            guard.run(fail)
    with pytest.raises(Refused):
        guard.run(lambda: pytest.fail("begun"))
    assert not guard.start(lambda: None, 1)
    clock.now += 30
    assert guard.run(lambda: 2) == 2


def test_hanging_work_is_given_up(hang: threading.Event, clock: Clock) -> None:
    """Whoever waits for it goes on after the timeout, the next one at once; later the disk is tried again."""
    guard = Guard("disk", SHORT_S, 4)
    with pytest.raises(Hanging):
        guard.run(hang.wait)
    with pytest.raises(Refused):
        guard.run(lambda: 1)
    clock.now += 30
    guard = guard_with_time(guard)
    assert guard.run(lambda: 2) == 2
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
        guard.run(lambda: (hang.wait(), "opened")[1], undo)
    hang.set()
    assert undone.wait(WAIT_S)
    assert results == ["opened"]


def test_work_that_was_given_up_is_not_begun_unless_it_must(hang: threading.Event, clock: Clock) -> None:
    """The only thread hangs; what waits behind it was given up meanwhile."""
    guard = Guard("disk", SHORT_S, 1)
    begun: list[str] = []
    last = threading.Event()
    with pytest.raises(Hanging):
        guard.run(hang.wait)
    for what in ("may", "must"):
        clock.now += 30
        with pytest.raises(Hanging):
            guard.run(lambda what=what: (begun.append(what), last.set())[0], must=what == "must")
    hang.set()
    assert last.wait(WAIT_S)
    assert begun == ["must"]


def test_no_more_threads_than_said(hang: threading.Event, clock: Clock) -> None:
    """However much hangs."""
    guard = Guard("hanging disk", SHORT_S, 2)
    before = threading.active_count()
    for _ in range(5):
        with pytest.raises(Hanging):
            guard.run(hang.wait)
        clock.now += 30
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


def test_scratch_buffers_are_reused() -> None:
    """One that is lost is not."""
    guard = Guard("disk", WAIT_S, 1)
    first, lost = guard.scratch(), guard.scratch()
    assert first is not lost
    guard.give_back(first)
    assert guard.scratch() is first
