"""What a request waits for, and how the waiting of the last minutes divides, from what a daemon tells."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from alluxio_jnifuse.daemon.present import Recent
from alluxio_jnifuse.mounts import why
from alluxio_jnifuse.mounts.readers import Reader
from alluxio_jnifuse.mounts.stats import Snapshot
from alluxio_jnifuse.sources import doing


def request(operation: str, path: str = "/a", offset: int = 0, size: int = 0) -> dict[str, Any]:
    return {
        "operation": operation, "path": path, "offset": offset, "size": size, "for_seconds": 1.0,
        "thread": os.getpid(), "uid": 0,
    }  # fmt: skip


def step(kind: str, path: str = "/a", offset: int = 0, size: int = 0, **more: Any) -> dict[str, Any]:
    told = {
        "kind": kind, "lane": "demand", "path": path, "offset": offset, "size": size, "for_seconds": 0.5,
        "server": "host:1", "attempt": 1, "error": "", "failed_at": "", "throttled": False, "pausing": False,
        "needs_memory": False,
    }  # fmt: skip
    return {**told, **more}


def snapshot(**now: Any) -> Snapshot:
    return Snapshot(0, [], {}, now={"waiting": [], "untaken": [], "fetching": [], **now})


def cause(asked: dict[str, Any], **now: Any) -> why.Cause:
    (found,) = why.requests_of(snapshot(waiting=[asked], **now))
    assert found.pid == os.getpid()
    return found.cause


@pytest.mark.parametrize(
    ("operation", "kind", "path"),
    [
        ("Open", "open", "/a"),
        ("Open", "read", "/a"),
        ("Open", "stat", "/a"),
        ("Read", "open", "/a"),
        ("Lookup", "stat", "/a/name"),
        ("Lookup", "list", "/a"),
        ("Getattr", "stat", "/a"),
        ("Readlink", "readlink", "/a"),
        ("Readdirplus", "list", "/a"),
        ("Statfs", "statfs", "/"),
        ("Refresh", "forget", "/a"),
    ],
)
def test_the_fetch_of_a_request(operation: str, kind: str, path: str) -> None:
    others = [step(kind, "/other/name"), step("close", "/a"), step(kind, path)]
    if operation == "Statfs":
        del others[0]
    found = cause(request(operation), fetching=others)
    assert (found.kind, found.server, found.step) == (why.SERVER, "host:1", others[-1])


def test_a_look_up_in_the_root() -> None:
    assert cause(request("Lookup", "/"), fetching=[step("stat", "/a")]).kind == why.SERVER


def test_a_read_waits_for_its_bytes() -> None:
    reads = [step("read", offset=0, size=10), step("read", offset=10, size=10, server="right"), step("read", offset=20)]
    assert cause(request("Read", offset=12, size=4), fetching=reads).server == "right"
    assert cause(request("Read", offset=30, size=4), fetching=reads).kind == why.ANSWER


def test_where_a_fetch_is() -> None:
    asked = request("Getattr")
    pausing = cause(asked, fetching=[step("stat", pausing=True, error="no", failed_at="other:1")])
    assert (pausing.kind, pausing.server) == (why.PAUSE, "other:1")
    assert cause(asked, untaken=[step("stat")]).kind == why.TURN
    assert cause(asked, untaken=[step("stat", needs_memory=True)]).kind == why.MEMORY
    assert cause(asked, fetching=[step("stat", server="")]).server == "the storage"
    assert cause(asked).kind == why.ANSWER


@pytest.mark.parametrize(
    ("direct", "idle", "server"), [(3, 1, "the file system of the directory"), (3, 2, ""), (0, 1, "")]
)
def test_a_directory_that_hangs(direct: int, idle: int, server: str) -> None:
    """A thread of the core is in it; there is no fetch."""
    stats = {"fetch_direct": direct, "threads": 2, "threads_idle": idle}
    (found,) = why.requests_of(snapshot(waiting=[request("Getattr")])._replace(stats=stats))
    assert (found.cause.server, found.cause.step) == (server, None)
    assert found.cause.kind == (why.SERVER if server else why.ANSWER)


def test_a_thread_that_is_gone() -> None:
    (found,) = why.requests_of(snapshot(waiting=[{**request("Read"), "thread": 0}]))
    assert (found.pid, found.process) == (0, "")


def times(**seconds: float) -> dict[str, dict[str, float]]:
    return {name: {"sum_seconds": value} for name, value in seconds.items()}


def test_how_waiting_divides() -> None:
    """10 s since the counters were noted, 8 of them parked; of fetches a fifth in the queue, a quarter in pauses."""
    recent = {"seconds": 60.0, "stats": {"requests_parked_us": 1_000_000}, "times": times(op_read=5.0, source_read=1.0)}
    now = times(op_read=13.0, op_lookup=2.0, op_release=9.0, queue_read=4.0, queue_close=7.0, source_read=17.0)
    stats = {"requests_parked_us": 9_000_000, "oss_paused_ms": 5_000}
    shares = why.shares_of(Snapshot(0, [], stats, times=now, recent=recent))
    assert shares is not None
    assert (shares.seconds, shares.waited_s) == (60.0, 10.0)
    assert shares.daemon == pytest.approx(0.2)
    assert shares.queue == pytest.approx(0.8 * 4 / 20)
    assert shares.pauses == pytest.approx(0.8 * 5 / 20)
    assert shares.daemon + shares.queue + shares.storage + shares.pauses == pytest.approx(1)
    assert shares.names == pytest.approx(0.2)


def test_nothing_waited() -> None:
    assert why.shares_of(Snapshot(0, [], {})) is None
    assert why.shares_of(Snapshot(0, [], {}, recent={"seconds": 1.0, "stats": {}, "times": {}})) is None


def test_memory_that_is_full() -> None:
    starved = snapshot(untaken=[step("read", needs_memory=True), step("read", lane="ahead")])
    (found,) = why.findings([[]], [starved], None, [])
    assert "1 fetch waits for room in memory" in found.what


def test_a_reader_that_waits_for_nothing_else() -> None:
    readers = [
        Reader(1, "busy", 0.9, 0.1, 0.0, 0.0),
        Reader(2, "waits", 0.1, 0.6, 0.3, 0.0),
        Reader(3, "idle", 0.0, 0.0, 0.0, 0.0),
    ]
    (found,) = why.findings([[]], [snapshot()], None, readers)
    assert found.what.startswith("busy (1) waits for the mount only 10%")


# -------------------------------------------------------------------------------------------------- the daemon's side


class Timed:
    """Histograms with as many durations as were asked for."""

    number = 0

    def times(self) -> dict[str, tuple[int, tuple[int, ...], dict[str, int]]]:
        return {"op_read": (self.number * 10**9, (self.number,), {}), "op_open": (0, (0,), {})}


def test_counters_of_the_last_minutes() -> None:
    """The oldest of the last five."""
    core = Timed()
    recent = Recent(core, lambda: {"op_read": core.number})
    assert recent.since() == {}
    for core.number in range(1000):
        recent.look(float(core.number))
    told = recent.since()
    oldest = told["stats"]["op_read"]
    assert 999 - 320 < oldest <= 999 - 280
    assert told["times"] == {"op_read": {"count": oldest, "sum_seconds": oldest}}


def test_what_a_thread_does() -> None:
    """A source that nobody asks about tells it in vain."""
    doing.leave()
    doing.asking("nobody")
    doing.failed("nothing")
    with doing.pausing():
        pass
    assert doing.fetch() is None
    me = doing.present()
    try:
        ident = threading.get_ident()
        assert doing.steps([ident, 1]) == []
        me.begin("fetch")
        assert doing.asking("a") == ""
        assert doing.asking("b") == "a"
        doing.failed("no", throttled=True)
        with doing.pausing():
            (found,) = doing.steps([ident])
        assert found[0] == "fetch"
        assert found.for_s >= 0
        assert found[2:] == ("b", 2, "no", "b", True, True)
        me.begin("next")
        (found,) = doing.steps([ident])
        assert found[2:] == ("", 1, "", "", False, False)
    finally:
        doing.leave()
