"""The fetcher threads, between a core made for the test (a mount would be needed for a real one) and a source."""

from __future__ import annotations

import errno
import gc
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest

from alluxio_jnifuse import _core
from alluxio_jnifuse.daemon.fetcher import Fetchers
from alluxio_jnifuse.errors import MountError, StaleVersion
from alluxio_jnifuse.sources.base import Extent, Listing, OpenFile, Source
from alluxio_jnifuse.testing import (
    FaultySource,
    Hang,
    Link,
    MemorySource,
    Rule,
    flip_version,
    raising,
    returning,
    short,
    too_much,
)

WAIT_S = 100.0  # for what must happen; a test that gets as far as this has failed
AT_WORK = 4
MAXIMUM = 2 * AT_WORK  # as many again may be lost in the source


class QueuedFetch(bytearray):
    """A fetch as the core hands it out; notes how it was ended. Its own bytes are the buffer."""

    def __init__(self, kind: int, path: bytes = b"/", *, length: int = 0, offset: int = 0, **fields: int) -> None:
        super().__init__(length)
        self.kind = kind
        self.path = path
        self.length = length
        self.offset = offset
        self.version = fields.get("version", 0)
        self.handle = fields.get("handle", 0)
        self.size = fields.get("size", offset + length)
        self.malformed = False  # what the core would find of the answer
        self.in_use = False
        self.cancelled = False
        self.final = 0
        self.given_back = False
        self.endings: list[tuple[Any, ...]] = []

    def progress(self, filled: int) -> None:
        if not self.final <= filled <= self.length:
            raise ValueError(filled)
        self.final = filled
        if self.cancelled:
            raise _core.Cancelled

    def check_wanted(self) -> None:
        if self.cancelled:
            raise _core.Cancelled

    def _end(self, *ending: Any) -> None:
        self.endings.append(ending)
        if self.malformed and ending[0] not in ("done", "fail"):
            raise ValueError("malformed")

    def answer_attr(self, attr: Any) -> None:
        self._end("attr", attr.ino, attr.size, attr.version)

    def answer_list(self, entries: Any, names: bytes) -> None:
        self._end("list", memoryview(entries).nbytes, names)

    def answer_link(self, target: bytes) -> None:
        self._end("link", bytes(memoryview(target)))

    def answer_statfs(self, *figures: int) -> None:
        if len(figures) != 7:
            raise TypeError
        self._end("statfs", *figures)

    def answer_opened(self, handle: int, version: int, size: int, extents: Any, attr: Any = None) -> None:
        self._end("opened", handle, version, size, tuple(extents))

    def done(self, filled: int = 0) -> None:
        self._end("done", filled)

    def complete(self) -> None:
        self._end("done", self.length)

    def fail(self, err: int) -> None:
        self._end("fail", err)

    def release(self) -> None:
        assert self.endings  # nothing is given back unanswered
        self.given_back = True
        if self.in_use:
            raise BufferError


class Queue:
    """What Fetchers use of a core, and how a test waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[QueuedFetch] = []
        self._waiting = 0
        self._working: set[int] = set()  # threads between two calls of next_fetch
        self._timeouts = 0
        self._stopped = False

    def next_fetch(self, timeout: float, ended: list[_core.Fetch]) -> tuple[_core.Fetch | None, int]:
        assert timeout > 1  # nobody polls
        while ended:
            ended.pop().release()
        with self._changed:
            self._working.discard(threading.get_ident())
            self._waiting += 1
            self._changed.notify_all()
            try:
                assert self._changed.wait_for(lambda: self._queue or self._timeouts or self._stopped, 4 * WAIT_S)
            finally:
                self._waiting -= 1
                self._changed.notify_all()
            if self._stopped:
                raise _core.Stopped
            if self._queue:
                self._working.add(threading.get_ident())
                fetch = cast("_core.Fetch", self._queue.pop(0))
                return fetch, max(0, len(self._queue) + 1 - self._waiting)
            self._timeouts -= 1
            return None, max(0, 1 - self._waiting)

    def put(self, *fetches: QueuedFetch) -> None:
        with self._changed:
            self._queue += fetches
            self._changed.notify_all()

    def ask(self, *fetches: QueuedFetch) -> QueuedFetch:
        """Has fetches done, and waits until their threads have come back for more; returns the first."""
        self.put(*fetches)
        self.settle()
        for fetch in fetches:
            assert len(fetch.endings) == 1
            assert fetch.given_back
        return fetches[0]

    def settle(self, hung: int = 0) -> None:
        """Waits until everything is done but for what hangs."""
        self._until(lambda: not self._queue and len(self._working) == hung)

    def until_waiting(self, threads: int) -> None:
        self._until(lambda: self._waiting == threads)

    def time_out(self, times: int) -> None:
        """Lets as many threads wait in vain."""
        with self._changed:
            self._timeouts += times
            self._changed.notify_all()
        self._until(lambda: not self._timeouts)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _until(self, predicate: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(predicate, WAIT_S)


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def memory() -> MemorySource:
    return MemorySource({b"f": bytes(range(256)) * 10_000, b"l": Link(b"f"), b"d": {b"x": b""}})


@pytest.fixture
def run(queue: Queue) -> Iterator[Callable[[Source], Fetchers]]:
    """Starts fetchers for a source; they are stopped, and none may be left, at the end of the test."""
    started: list[Fetchers] = []

    def start(source: Source) -> Fetchers:
        fetchers = Fetchers(queue, source, AT_WORK)
        fetchers.start()
        started.append(fetchers)
        return fetchers

    yield start
    queue.stop()
    for fetchers in started:
        assert fetchers.stop(WAIT_S) == 0
        assert fetchers.threads == 0
        assert fetchers.open_handles == 0


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="alluxio_jnifuse")


Run = Callable[[Source], Fetchers]


def open_handle(queue: Queue, memory: MemorySource) -> int:
    version = memory.stat(b"/f").version
    [ending] = queue.ask(QueuedFetch(_core.OPEN, b"/f", version=version)).endings
    assert ending[0] == "opened"
    return int(ending[1])


# ------------------------------------------------------------------------------------------------------- answers


def test_every_kind_is_answered_with_what_the_source_says(queue: Queue, memory: MemorySource, run: Run) -> None:
    """One ending for each fetch, and the right one."""
    run(memory)
    attr = memory.stat(b"/f")
    listing = memory.list(b"/d")
    assert queue.ask(QueuedFetch(_core.STAT, b"/f")).endings == [("attr", attr.ino, attr.size, attr.version)]
    assert queue.ask(QueuedFetch(_core.LIST, b"/d")).endings == [("list", listing.entries.nbytes, b"x")]
    assert queue.ask(QueuedFetch(_core.READLINK, b"/l")).endings == [("link", b"f")]
    assert queue.ask(QueuedFetch(_core.STATFS)).endings == [("statfs", *memory.statfs())]
    handle = open_handle(queue, memory)
    fetch = queue.ask(QueuedFetch(_core.READ, b"/f", handle=handle, offset=5, length=1000, size=attr.size))
    assert fetch.endings == [("done", 1000)]
    assert bytes(fetch) == memory.content(b"/f", 5, 1000)
    assert fetch.final == 1000
    assert queue.ask(QueuedFetch(_core.CLOSE, handle=handle)).endings == [("done", 0)]
    assert memory.calls["close"] == 1


def test_a_read_may_end_where_the_file_does(queue: Queue, memory: MemorySource, run: Run) -> None:
    """A page is larger than what is left of the file."""
    run(memory)
    size = memory.stat(b"/f").size
    handle = open_handle(queue, memory)
    fetch = QueuedFetch(_core.READ, b"/f", handle=handle, offset=size - 10, length=4096, size=size)
    assert queue.ask(fetch).endings == [("done", 10)]


def test_what_is_lent_is_passed_on_without_a_handle(queue: Queue, memory: MemorySource, run: Run) -> None:
    """The descriptors belong to the core then; 0 is no handle, and closing it is nothing."""
    version = memory.stat(b"/f").version
    extents = (Extent(1_000_000, 0, 10), Extent(1_000_001, 5, 20))
    fetchers = run(FaultySource(memory, [Rule("open", returning(OpenFile(None, version, 30, extents)))]))
    fetch = queue.ask(QueuedFetch(_core.OPEN, b"/f", version=version))
    assert fetch.endings == [("opened", 0, version, 30, extents)]
    assert fetchers.open_handles == 0
    assert queue.ask(QueuedFetch(_core.CLOSE, handle=0)).endings == [("done", 0)]


def test_a_listing_may_be_made_of_bytes(queue: Queue, memory: MemorySource, run: Run) -> None:
    """As the local source's is, which has no NumPy."""
    run(FaultySource(memory, [Rule("list", returning(Listing(b"\0" * 80, b"")))]))
    assert queue.ask(QueuedFetch(_core.LIST, b"/d")).endings == [("list", 80, b"")]


def test_handles_differ_and_are_never_used_again(queue: Queue, memory: MemorySource, run: Run) -> None:
    """A late fetch must not read another file."""
    run(memory)
    seen = set()
    for _ in range(3):
        handle = open_handle(queue, memory)
        seen |= {handle, open_handle(queue, memory)}
        queue.ask(QueuedFetch(_core.CLOSE, handle=handle))
    assert len(seen) == 6
    assert 0 not in seen


def test_what_was_done_is_let_go(queue: Queue, memory: MemorySource, run: Run) -> None:
    """The range of a fetch is not used again while somebody holds the fetch, so an idle thread holds none."""
    run(memory)
    handle = open_handle(queue, memory)
    fetches = [
        QueuedFetch(_core.STAT, b"/f"),
        QueuedFetch(_core.STAT, b"/missing"),
        QueuedFetch(_core.READ, b"/f", handle=handle, length=10),
        QueuedFetch(_core.READ, b"/f", handle=0, length=10),
    ]
    assert_let_go(queue, fetches)


def test_an_exception_that_is_kept_keeps_no_fetch(queue: Queue, memory: MemorySource, run: Run) -> None:
    """A source may raise the same one again and again, itself or as the cause of others."""
    kept = RuntimeError("kept")
    outer = OSError(errno.EACCES, "because of it")
    outer.__cause__ = kept
    kept.__cause__ = outer
    run(FaultySource(memory, [Rule("read", raising(kept), nth=1), Rule("read", raising(outer))]))
    handle = open_handle(queue, memory)
    for _ in range(3):
        assert_let_go(queue, [QueuedFetch(_core.READ, b"/f", handle=handle, length=10)])


def assert_let_go(queue: Queue, fetches: list[QueuedFetch]) -> None:
    """Empties the list, has its fetches done, and asserts that nobody holds one afterwards."""
    alive = [weakref.ref(fetch) for fetch in fetches]
    queue.ask(*fetches)
    fetches.clear()
    gc.collect()
    assert [ref() for ref in alive] == [None] * len(alive)


# ------------------------------------------------------------------------------------------------------ failures

ASKED = {
    "stat": QueuedFetch(_core.STAT, b"/f"),
    "list": QueuedFetch(_core.LIST, b"/f"),
    "readlink": QueuedFetch(_core.READLINK, b"/f"),
    "statfs": QueuedFetch(_core.STATFS, b"/"),
    "open": QueuedFetch(_core.OPEN, b"/f", version=1),
}


def failing(queue: Queue, memory: MemorySource, run: Run, kind: str, action: Callable[..., Any]) -> QueuedFetch:
    """Has the source do `action` in place of a call of `kind`; returns the fetch that made the call."""
    run(FaultySource(memory, [Rule(kind, action)]))
    if kind == "read":
        handle = open_handle(queue, memory)
        return queue.ask(QueuedFetch(_core.READ, b"/f", handle=handle, offset=4096, length=1000, size=100_000))
    like = ASKED[kind]
    return queue.ask(QueuedFetch(like.kind, like.path, version=like.version))


EVERY_KIND = [*ASKED, "read"]


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("number", [errno.ENOENT, errno.EMFILE, errno.EACCES])
def test_an_errno_reaches_the_application(
    queue: Queue, memory: MemorySource, run: Run, caplog: pytest.LogCaptureFixture, kind: str, number: int
) -> None:
    """As the source told it, and without a log line: it is an answer."""
    fetch = failing(queue, memory, run, kind, raising(OSError(number, "why")))
    assert fetch.endings == [("fail", number)]
    assert not caplog.records


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize(
    "exc", [RuntimeError("first\nsecond"), OSError("no errno"), OSError(errno.ECANCELED, "its own"), SystemExit(1)]
)
def test_whatever_else_is_eio_and_one_log_line(
    queue: Queue, memory: MemorySource, run: Run, caplog: pytest.LogCaptureFixture, kind: str, exc: BaseException
) -> None:
    """With what it was, where, and of which source; and the thread lives on."""
    fetch = failing(queue, memory, run, kind, raising(exc))
    assert fetch.endings == [("fail", errno.EIO)]
    [record] = caplog.records
    text = record.getMessage()
    assert len(text.splitlines()) == 1
    for part in (kind, repr(os.fsdecode(fetch.path)), f"offset {fetch.offset}", type(exc).__name__, "FaultySource"):
        assert part in text
    assert queue.ask(QueuedFetch(_core.STAT, b"/d")).endings[0][0] in ("attr", "fail")


def test_a_log_line_survives_any_name(
    queue: Queue, memory: MemorySource, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """Line breaks and bytes that are no UTF-8 among them."""
    run(FaultySource(memory, [Rule("stat", raising(RuntimeError("why")))]))
    queue.ask(QueuedFetch(_core.STAT, b"/two\nlines \xff"))
    [record] = caplog.records
    assert len(record.getMessage().encode().splitlines()) == 1


@pytest.mark.parametrize("kind", ["open", "read"])
def test_a_stale_version(
    queue: Queue, memory: MemorySource, run: Run, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """An open sends the kernel to look again; a read has no name to look up, and the core answers EIO."""
    assert failing(queue, memory, run, kind, raising(StaleVersion("/f"))).endings == [("fail", errno.ESTALE)]
    assert not caplog.records


@pytest.mark.parametrize(
    "action",
    [short(), too_much(), *(returning(value) for value in (-1, 0, 2**64, None, "1000", 1000.0, True, np.int64(1000)))],
)
def test_a_read_of_the_wrong_length_is_eio(
    queue: Queue, memory: MemorySource, run: Run, caplog: pytest.LogCaptureFixture, action: Callable[..., Any]
) -> None:
    """Never wrong bytes: nothing but the number of bytes that were due is believed."""
    assert failing(queue, memory, run, "read", action).endings == [("fail", errno.EIO)]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", list(ASKED))
@pytest.mark.parametrize("value", [None, 7, "text"])
def test_garbage_for_an_answer_is_eio(
    queue: Queue, memory: MemorySource, run: Run, caplog: pytest.LogCaptureFixture, kind: str, value: object
) -> None:
    """A source is code of somebody else."""
    assert failing(queue, memory, run, kind, returning(value)).endings == [("fail", errno.EIO)]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", list(ASKED))
def test_an_answer_that_the_core_refuses_is_ended_once(
    queue: Queue, memory: MemorySource, run: Run, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """The core has failed the fetch itself; what was opened for it is closed."""
    paths = {"list": b"/d", "readlink": b"/l"}
    like = ASKED[kind]
    fetchers = run(memory)
    fetch = QueuedFetch(like.kind, paths.get(kind, b"/f"), version=memory.stat(b"/f").version)
    fetch.malformed = True
    queue.ask(fetch)
    assert fetch.endings[0][0] != "fail"
    assert len(caplog.records) == 1
    assert fetchers.open_handles == 0
    assert memory.calls["open"] == memory.calls["close"]


def test_a_cancelled_read_is_given_back(
    queue: Queue, memory: MemorySource, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for the rest, so it is no failure."""
    run(memory)
    fetch = QueuedFetch(_core.READ, b"/f", handle=open_handle(queue, memory), length=2 << 20)
    fetch.cancelled = True
    queue.ask(fetch)
    assert fetch.endings == [("fail", errno.ECANCELED)]
    assert fetch.final < fetch.length
    assert not caplog.records


def test_another_version_is_told_and_not_kept(queue: Queue, memory: MemorySource, run: Run) -> None:
    """The core learns which version is there; what was opened and lent is closed."""
    version = memory.stat(b"/f").version
    fetchers = run(FaultySource(memory, [Rule("open", flip_version(), nth=1)]))
    fetch = queue.ask(QueuedFetch(_core.OPEN, b"/f", version=version))
    assert fetch.endings == [("opened", 0, version ^ 1, 2_560_000, ())]
    assert fetchers.open_handles == 0
    assert memory.calls["close"] == 1


def test_descriptors_of_another_version_are_closed(queue: Queue, memory: MemorySource, run: Run) -> None:
    """They were ours, and the core does not get them."""
    inner, outer = os.pipe()
    run(FaultySource(memory, [Rule("open", returning(OpenFile(None, 5, 9, (Extent(inner, 0, 9),))))]))
    queue.ask(QueuedFetch(_core.OPEN, b"/f", version=6))
    with pytest.raises(OSError) as caught:
        os.fstat(inner)
    assert caught.value.errno == errno.EBADF
    os.close(outer)


@pytest.mark.parametrize("handle", [0, 99])
def test_a_handle_that_is_not_open_cannot_be_read(
    queue: Queue, memory: MemorySource, run: Run, caplog: pytest.LogCaptureFixture, handle: int
) -> None:
    """Closing it is nothing."""
    run(memory)
    assert queue.ask(QueuedFetch(_core.READ, b"/f", handle=handle, length=10)).endings == [("fail", errno.EIO)]
    assert len(caplog.records) == 1
    assert queue.ask(QueuedFetch(_core.CLOSE, handle=handle)).endings == [("done", 0)]


class Keeper(MemorySource):
    """Keeps what it was given to fill."""

    kept: Any = None

    def read_into(self, handle: Any, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        self.kept = buffer
        return super().read_into(handle, offset, buffer, progress)


def test_a_source_cannot_write_after_its_read(queue: Queue, run: Run) -> None:
    """The bytes are in applications' hands."""
    source = Keeper({b"f": b"12345"})
    run(source)
    handle = open_handle(queue, source)
    assert queue.ask(QueuedFetch(_core.READ, b"/f", handle=handle, length=5)).endings == [("done", 5)]
    with pytest.raises(ValueError, match="released"):
        source.kept[0] = 0


def test_a_fetch_that_is_in_use_holds_nobody_up(
    queue: Queue, memory: MemorySource, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """It is given back by itself, as far as that can be done, and the thread takes the next one."""
    run(memory)
    handle = open_handle(queue, memory)
    for _ in range(3):
        fetch = QueuedFetch(_core.READ, b"/f", handle=handle, length=5)
        fetch.in_use = True
        assert queue.ask(fetch).endings == [("done", 5)]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3


# ------------------------------------------------------------------------------------------------------- threads


def hung(queue: Queue, hangs: list[Hang]) -> list[QueuedFetch]:
    """Hangs one fetch after the other, each as soon as the one before is inside the source."""
    fetches = []
    for hang in hangs:
        fetches.append(QueuedFetch(_core.STAT, b"/f"))
        queue.put(fetches[-1])
        assert hang.reached.wait(WAIT_S)
    return fetches


def until_threads(fetchers: Fetchers, count: int) -> None:
    """Waits until no more are left than that."""
    deadline = time.monotonic() + WAIT_S
    while fetchers.threads > count and time.monotonic() < deadline:
        time.sleep(0.01)


def hanging(memory: MemorySource, count: int) -> tuple[list[Hang], FaultySource]:
    hangs = [Hang() for _ in range(count)]
    return hangs, FaultySource(memory, [Rule("stat", hang, nth=i + 1) for i, hang in enumerate(hangs)])


def test_threads_are_made_while_one_is_ready(queue: Queue, memory: MemorySource, run: Run) -> None:
    """Two at first, and always one more than are busy, as far as the maximum."""
    hangs, source = hanging(memory, MAXIMUM)
    fetchers = run(source)
    queue.until_waiting(2)
    assert fetchers.threads == 2
    for i, hang in enumerate(hangs):
        [fetch] = hung(queue, [hang])
        queue.until_waiting(max(1, 2 - i - 1) if i + 1 < MAXIMUM else 0)
        assert fetchers.threads == min(max(2, i + 2), MAXIMUM)
        assert not fetch.endings
    for hang in hangs:
        hang.released.set()
    queue.settle()


def test_a_burst_doubles_the_threads(
    queue: Queue, memory: MemorySource, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes one of many fetches makes up to two threads before he turns to it, and no more."""
    start = threading.Thread.start
    made: Counter[str] = Counter()

    def count(thread: threading.Thread) -> None:
        made[threading.current_thread().name] += 1
        start(thread)

    hangs, source = hanging(memory, MAXIMUM)
    fetchers = run(source)
    queue.until_waiting(2)
    monkeypatch.setattr(threading.Thread, "start", count)
    queue.put(*(QueuedFetch(_core.STAT, b"/f") for _ in hangs))
    for hang in hangs:
        assert hang.reached.wait(WAIT_S)
    assert fetchers.threads == MAXIMUM
    assert sum(made.values()) == MAXIMUM - 2
    assert max(made.values()) <= 2  # one, where others have come meanwhile
    for hang in hangs:
        hang.released.set()
    queue.settle()


def test_a_burst_beyond_the_maximum_is_done_all_the_same(queue: Queue, memory: MemorySource, run: Run) -> None:
    """What finds no thread waits for one."""
    fetchers = run(memory)
    fetches = [QueuedFetch(_core.STAT, b"/f") for _ in range(50 * MAXIMUM)]
    queue.ask(*fetches)
    assert {fetch.endings[0][0] for fetch in fetches} == {"attr"}
    assert fetchers.threads <= MAXIMUM


def test_idle_threads_end_but_for_two(queue: Queue, memory: MemorySource, run: Run) -> None:
    """What a burst needed is not kept for ever."""
    hangs, source = hanging(memory, 5)
    fetchers = run(source)
    hung(queue, hangs)
    for hang in hangs:
        hang.released.set()
    queue.settle()
    queue.until_waiting(6)
    queue.time_out(4)
    queue.until_waiting(2)
    assert fetchers.threads == 2
    queue.time_out(2)
    queue.until_waiting(2)
    assert fetchers.threads == 2
    queue.ask(QueuedFetch(_core.STAT, b"/f"))


def test_the_last_one_that_waits_does_not_end(queue: Queue, memory: MemorySource, run: Run) -> None:
    """All others may hang in the source for ever: nobody would be there to take what comes, or to make a thread."""
    hangs, source = hanging(memory, 3)
    fetchers = run(source)
    hung(queue, hangs)
    queue.until_waiting(1)
    for _ in range(3):
        queue.time_out(1)
        queue.until_waiting(1)
    assert fetchers.threads == 4
    queue.put(QueuedFetch(_core.STAT, b"/f"))
    queue.settle(hung=3)
    for hang in hangs:
        hang.released.set()


def test_stop_waits_for_threads_that_are_being_made(
    queue: Queue, memory: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are on no list yet, and end like the others."""
    start = threading.Thread.start
    begun, go = threading.Event(), threading.Event()

    def start_late(thread: threading.Thread) -> None:
        begun.set()
        assert go.wait(WAIT_S)
        start(thread)

    hangs, source = hanging(memory, 2)
    fetchers = Fetchers(queue, source, AT_WORK)
    fetchers.start()
    hung(queue, hangs[:1])
    monkeypatch.setattr(threading.Thread, "start", start_late)
    queue.put(QueuedFetch(_core.STAT, b"/f"))  # takes the last thread that was ready
    assert begun.wait(WAIT_S)
    assert fetchers.stop(0.01) == 3
    queue.stop()
    for hang in hangs:
        hang.released.set()
    go.set()
    assert fetchers.stop(WAIT_S) == 0
    assert fetchers.threads == 0


def test_a_full_process_table_is_survived(
    queue: Queue,
    memory: MemorySource,
    run: Run,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The threads that there are do the work, and one line says so."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    hangs, source = hanging(memory, 1)
    fetchers = run(source)
    queue.until_waiting(2)
    hung(queue, hangs)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        patch.setattr("alluxio_jnifuse.daemon.fetcher._RETRY_S", 0.0)
        fetches = [QueuedFetch(_core.STAT, b"/f") for _ in range(10)]
        for fetch in fetches:
            queue.put(fetch)
        queue.settle(hung=1)
    assert [fetch.endings[0][0] for fetch in fetches] == ["attr"] * 10
    assert fetchers.threads == 2
    [record] = caplog.records
    assert "can't start new thread" in record.getMessage()
    hangs[0].released.set()
    queue.settle()


def test_a_thread_is_made_later_though_all_others_hang(
    queue: Queue, memory: MemorySource, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When none could be made before, and nobody is left to come to it."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    hangs, source = hanging(memory, 2)
    fetchers = run(source)
    queue.until_waiting(2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        patch.setattr("alluxio_jnifuse.daemon.fetcher._RETRY_S", 0.0)
        hung(queue, hangs)
        fetchers.tend()
    fetch = QueuedFetch(_core.STAT, b"/f")
    queue.put(fetch)
    fetchers.tend()
    queue.settle(hung=2)
    assert fetch.endings[0][0] == "attr"
    threads = fetchers.threads
    assert threads > 2
    fetchers.tend()
    assert fetchers.threads == threads
    for hang in hangs:
        hang.released.set()
    queue.settle()


def test_not_a_single_thread_is_an_error_at_once(
    queue: Queue, memory: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the mount, not as a hang at the first request."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(MountError):
        Fetchers(queue, memory, AT_WORK).start()


# --------------------------------------------------------------------------------------------------------- end


def test_stop_closes_what_is_open(queue: Queue, memory: MemorySource) -> None:
    """The core asks for nothing any more, closing included."""
    fetchers = Fetchers(queue, memory, AT_WORK)
    fetchers.start()
    open_handle(queue, memory)
    open_handle(queue, memory)
    queue.stop()
    assert fetchers.stop(WAIT_S) == 0
    assert memory.calls["close"] == 2
    assert fetchers.open_handles == 0


def test_stop_tells_who_is_still_inside_the_source(queue: Queue, memory: MemorySource) -> None:
    """It waits no longer than it was told; whoever comes out later tidies up and ends."""
    hangs, source = hanging(memory, 2)
    fetchers = Fetchers(queue, source, AT_WORK)
    fetchers.start()
    hung(queue, hangs)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("fetcher-"))
    queue.stop()
    until_threads(fetchers, 2)
    assert fetchers.stop(0.01) == 2
    for hang in hangs:
        hang.released.set()
    assert fetchers.stop(WAIT_S) == 0
    assert fetchers.threads == 0


def test_stop_before_start_is_nothing(queue: Queue, memory: MemorySource) -> None:
    """A mount may fail half way."""
    assert Fetchers(queue, memory, AT_WORK).stop(WAIT_S) == 0


def test_no_thread_is_made_after_stop(queue: Queue, memory: MemorySource) -> None:
    """A fetch that was taken at the last moment starts nothing new."""
    hangs, source = hanging(memory, 1)
    fetchers = Fetchers(queue, source, AT_WORK)
    fetchers.start()
    hung(queue, hangs)
    queue.until_waiting(1)
    assert fetchers.stop(0.01) == 2  # the core was not stopped
    queue.put(QueuedFetch(_core.STAT, b"/f"))
    hangs[0].released.set()
    queue.stop()
    assert fetchers.stop(WAIT_S) == 0


def test_a_process_with_a_hung_source_can_exit() -> None:
    """Nothing but the end of the process ends such a thread."""
    program = """
import threading
from alluxio_jnifuse import _core
from alluxio_jnifuse.daemon.fetcher import Fetchers
from alluxio_jnifuse.testing import FaultySource, Hang, MemorySource, Rule

hang = Hang()

class Fetch:
    kind, path, answer_attr = _core.STAT, b"/", None

class Core:
    def next_fetch(self, timeout, ended):
        return Fetch(), 0

fetchers = Fetchers(Core(), FaultySource(MemorySource({}), [Rule("stat", hang)]), 2)
fetchers.start()
hang.reached.wait()
print(fetchers.stop(0.01))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
