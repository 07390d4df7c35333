"""What `stat --stats` tells of times and failures under a known load: how many, how long, where, and which errnos."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from harness.children import Children, until
from harness.mounting import Mounted, Mounts
from harness.readers import errno_of
from harness.remote import RemoteSource

from alluxio_jnifuse.mounts import stats

pytestmark = pytest.mark.fuse

ABSENT, FAILING, LISTED, HELD_S = 17, 5, 4, 0.06
TREE = {b"file": b"x" * 4096, b"d": {b"a": b"", b"b": b""}}
KINDS = ("stat", "list", "open", "read")


@pytest.fixture
def source(remote: Callable[..., RemoteSource]) -> RemoteSource:
    return remote(TREE, rules=[(kind, kind, None) for kind in KINDS])


@pytest.fixture
def mounted(mounts: Mounts, source: RemoteSource) -> Mounted:
    """The kernel keeps nothing: each call comes."""
    return mounts.mount(source, "attr_timeout=0,entry_timeout=0,direct_io")


def told(mounted: Mounted) -> dict[str, dict[str, Any]]:
    """All times, when every request has been answered: one may be counted just after its caller goes on."""

    def settled() -> dict[str, dict[str, Any]] | None:
        snapshot = stats.request(mounted.path)
        counted = {name: value for name, value in snapshot.stats.items() if value and name in TIMED}
        return snapshot.times if counted == {name: snapshot.times[name]["count"] for name in counted} else None

    return until(settled, "every request to be timed once")


TIMED = tuple(f"op_{name}" for name in ("lookup", "getattr", "open", "read", "release", "opendir", "releasedir"))


def test_each_request_is_timed_once(mounted: Mounted, children: Children) -> None:
    """The histogram of an operation holds as many as its counter says, each in one range."""
    for _ in range(LISTED):
        children.run(os.listdir, mounted.join("d"))
        children.run(os.stat, mounted.join("file"))
    times = told(mounted)
    assert times["op_opendir"]["count"] == LISTED
    assert {name for name in TIMED if name in times} >= {"op_lookup", "op_opendir", "op_releasedir"}
    for name, report in times.items():
        assert sum(report["from_us"].values()) == report["count"], name
        assert report["p50_seconds"] <= report["p90_seconds"] <= report["p99_seconds"] <= report["p99.9_seconds"], name


def test_failures_are_told_by_errno(mounted: Mounted, source: RemoteSource, children: Children) -> None:
    """Names that are not there, and a source that refuses, each as often as it happened."""
    for number in range(ABSENT):
        assert children.run(errno_of, os.stat, mounted.join(f"absent{number}")) == errno.ENOENT
    source.act("open", "raising", PermissionError(errno.EACCES, "planted"))
    for _ in range(FAILING):
        assert children.run(errno_of, os.open, mounted.join("file"), os.O_RDONLY) == errno.EACCES
    source.act("open", "raising", OSError(errno.EHOSTUNREACH, "planted"))
    assert children.run(errno_of, os.open, mounted.join("file"), os.O_RDONLY) == errno.EHOSTUNREACH
    times = told(mounted)
    assert times["op_lookup"]["errors"] == {"ENOENT": ABSENT}
    assert times["source_stat"]["errors"] == {"ENOENT": ABSENT}
    assert times["op_open"]["errors"] == {"EACCES": FAILING, "other": 1}
    assert times["source_open"]["errors"] == {"EACCES": FAILING, "other": 1}


def read_all(path: str) -> int:
    with open(path, "rb") as file:
        return len(file.read())


def test_a_slow_source_is_told_from_a_long_queue(mounted: Mounted, source: RemoteSource, children: Children) -> None:
    """A read that its source holds has its time at the source, and in the request."""
    source.hold("read")
    child = children.start(read_all, mounted.join("file"))
    until(lambda: source.waiting("read"), "the read to be at its source")
    time.sleep(HELD_S)
    source.release("read")
    assert child.result() == 4096
    times = told(mounted)
    for name in ("source_read", "op_read"):
        assert times[name]["sum_seconds"] >= HELD_S, name
        assert any(int(start) >= HELD_S * 1e6 * 0.75 for start in times[name]["from_us"]), name
    assert times["queue_read"]["count"] == times["source_read"]["count"] == source.calls()["read"]


def test_a_long_queue_is_told_from_a_slow_source(mounts: Mounts, source: RemoteSource, children: Children) -> None:
    """A read behind another one, where there is one fetcher, has its time in the queue."""
    source_tree = mounts.mount(source, "attr_timeout=0,entry_timeout=0,direct_io,fetchers=1,metadata_fetchers=1")
    source.hold("read", 1)
    first = children.start(read_all, source_tree.join("file"))
    until(lambda: source.waiting("read"), "the first read to be at its source")
    source.replace(b"/other", b"y" * 4096)
    second = children.start(read_all, source_tree.join("other"))
    until(lambda: source_tree.stats()["op_read"] >= 2, "the second read to be there")
    time.sleep(10 * HELD_S)  # it is queued some time after it has come
    source.release("read")
    assert (first.result(), second.result()) == (4096, 4096)
    times = told(source_tree)
    assert times["queue_read"]["sum_seconds"] >= HELD_S
