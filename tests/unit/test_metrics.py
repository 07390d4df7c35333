"""Counters are asked for by signal, and those that must balance are compared at the end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import stats
from alluxio_jnifuse.mounts.registry import Registry, record_of_this_process, stats_path, write_atomically

STATS = {"op_read": 3, "op_open": 0, "inodes_born": 5, "inodes_died": 4, "pages_born": 2, "pages_died": 2}


def test_left_behind() -> None:
    """What was born and has not died is named with its number."""
    assert stats.left_behind(STATS) == {"inodes": 1}
    assert stats.left_behind({**STATS, "inodes_died": 5}) == {}


def test_summary() -> None:
    """The line for the log leaves out counters that never counted."""
    assert stats.summary({"op_read": 3, "op_open": 0, "op_stat": 1}) == "op_read=3 op_stat=1"


def test_no_such_mount(tmp_path: Path) -> None:
    """Asking for the counters of what is not mounted is an error."""
    with pytest.raises(MountError, match="/mnt/a: not mounted"):
        stats.request("/mnt/a", registry=Registry([str(tmp_path)]))


def test_answer_is_newer_than_the_question(tmp_path: Path) -> None:
    """A file of an earlier request is not taken for the answer."""
    registry = Registry([str(tmp_path)])
    path = registry.add(record_of_this_process("/mnt/a", "/", "/data", ""))
    asked = 0

    def answer(*_: object) -> None:
        nonlocal asked
        asked += 1
        write_atomically(stats_path(path), f'{{"time_ns": {asked}, "features": [], "stats": {{}}}}')

    before = signal.signal(stats.REQUEST, answer)
    try:
        for number in (1, 2, 3):
            assert stats.request("/mnt/a", registry=registry).time_ns == number
    finally:
        signal.signal(stats.REQUEST, before)


def test_no_answer(tmp_path: Path) -> None:
    """A daemon that does not answer is named with its process."""
    registry = Registry([str(tmp_path)])
    registry.add(record_of_this_process("/mnt/a", "/", "/data", ""))
    before = signal.signal(stats.REQUEST, signal.SIG_IGN)
    try:
        with pytest.raises(MountError, match=f"process {os.getpid()} did not answer within"):
            stats.request("/mnt/a", timeout=0.05, registry=registry)
    finally:
        signal.signal(stats.REQUEST, before)
