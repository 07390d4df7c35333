"""The memory of the live page, without a mount: which waits it keeps, and how it says that a program reads."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from alluxio_jnifuse.daemon.web import live
from alluxio_jnifuse.mounts.why import ANSWER, Cause, Request


def request(offset: int, path: str = "/file", for_s: float = 1.0, operation: str = "Read") -> Request:
    cause = Cause(ANSWER, "", None)
    return Request(7, "reader", operation, path, offset, 4096, for_s, cause)


@pytest.mark.parametrize(
    ("offsets", "name"),
    [
        (range(0, 20 << 30, 1 << 30), "in order"),
        ([0] * 30, ""),
        (range(5), ""),
        ([9, 3, 7, 1, 8, 2, 6, 4, 9, 0, 5, 1], "here and there"),
        (range(100, 0, -1), "here and there"),
    ],
)
def test_how_a_program_reads(offsets: Sequence[int], name: str) -> None:
    """However far it comes from look to look. A read that waits at many looks says nothing, nor do a few."""
    pattern = live._Pattern()
    for offset in offsets:
        pattern.note(request(offset))
    assert pattern.name == name


def test_a_program_of_many_files() -> None:
    """Its files are counted up to a limit, and it takes little memory however many there are."""
    pattern = live._Pattern()
    for number in range(3 * live._MOST_PATHS):
        pattern.note(request(0, f"/{number}"))
    assert pattern.name == "many files"
    assert len(pattern.paths) == live._MOST_PATHS
    assert len(pattern._at) <= live._MOST_PATHS


def test_the_longest_wait_is_kept() -> None:
    """Until it is too long ago; a shorter one of the same kind does not take its place before."""
    kept = live.Live.__new__(live.Live)
    kept._slow, kept._patterns = {}, {}
    kept._remember(request(0, for_s=30.0), 100.0)
    kept._remember(request(0, for_s=0.06), 110.0)
    assert [slow.request.for_s for slow in kept._slow.values()] == [30.0]
    kept._remember(request(0, for_s=0.07), 100.0 + live._FOR_S + 1)
    assert [slow.request.for_s for slow in kept._slow.values()] == [0.07]
    for number in range(100):
        kept._remember(request(number, for_s=float(number)), 2000.0)
    kept._forget(2000.0)
    assert sorted(slow.request.for_s for slow in kept._slow.values()) == list(map(float, range(80, 100)))
