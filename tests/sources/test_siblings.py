"""Directories that are listed because of look-ups in them."""

from __future__ import annotations

import time
from collections.abc import Callable

from alluxio_jnifuse.sources.siblings import Siblings


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_directory_is_listed_after_some_look_ups() -> None:
    listed: list[bytes] = []

    def remember(directory: bytes) -> bool:
        listed.append(directory)
        return True

    siblings = Siblings(remember)
    for number in range(3):
        siblings.looked_up(b"/d/%d" % number, 0.1 * number)
        siblings.looked_up(b"/e%d/x" % number, 0.1 * number)
    time.sleep(0.05)
    assert listed == []
    siblings.looked_up(b"/d/3", 0.5)
    until(lambda: listed == [b"/d"])


def test_a_directory_that_cannot_be_listed_is_tried_again_soon() -> None:
    tried: list[bytes] = []

    def fail(directory: bytes) -> bool:
        tried.append(directory)
        raise OSError(5, "no master")

    siblings = Siblings(fail)
    for at, times in ((100.0, 1), (105.0, 1), (111.0, 2)):
        for number in range(4):
            siblings.looked_up(b"/d/%d" % number, at + number / 10)
        until(lambda times=times: len(tried) == times)
        until(lambda: not siblings._running)
        assert len(tried) == times


def test_slow_look_ups_and_large_directories_are_left_alone() -> None:
    listed: list[bytes] = []

    def refuse(directory: bytes) -> bool:
        listed.append(directory)
        return False

    siblings = Siblings(refuse)
    for number in range(20):
        siblings.looked_up(b"/slow/%d" % number, 3.0 * number)
    for number in range(4):
        siblings.looked_up(b"/large/%d" % number, 100.0)
    until(lambda: listed == [b"/large"])
    time.sleep(0.05)
    for number in range(20):
        siblings.looked_up(b"/large/%d" % number, 101.0)
    time.sleep(0.05)
    assert listed == [b"/large"]
