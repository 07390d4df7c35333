"""Rows are made of rounds, targets are judged, accelerators are counted."""

from __future__ import annotations

import pytest

from benchmarks.measure import Outcome, Rounds, Sample, at_least, at_most, row_of_pairs, single
from benchmarks.training import mlperf


def taken(rate: float, foreign: float = 0.0) -> Sample:
    return Sample(Outcome(rate, 1.0, 0.1), 1.0, 0.1, foreign)


def test_rounds_end_when_each_row_has_its_quiet_pairs() -> None:
    rounds = Rounds(2)
    number = 0
    while rounds.more():
        number += 1
        rounds.add({"ours": (taken(10), taken(5)), "theirs": (taken(10), taken(2, foreign=0.5 if number == 1 else 0))})
    assert number == 3
    row = row_of_pairs("theirs", "", rounds.best("theirs"), runs=2)
    assert (row.ratio, row.runs, row.noisy) == (0.2, 2, False)


def test_rounds_end_on_a_busy_machine_too() -> None:
    """The quietest pairs are taken, and the row says so."""
    rounds = Rounds(2)
    number = 0
    while rounds.more():
        number += 1
        rounds.add({"ours": (taken(10), taken(number, foreign=1 / number))})
    assert number == 6
    row = row_of_pairs("ours", "", rounds.best("ours"), runs=2)
    assert (row.ratio, row.noisy) == (0.55, True)


@pytest.mark.parametrize(("target", "met"), [(at_least(0.95), False), (at_least(0.8), True), (at_most(0.9), True)])
def test_targets_are_of_the_ratio(target: object, met: bool) -> None:
    pair = (taken(10), taken(9))
    assert row_of_pairs("a", "", [pair], runs=1, target=target).met is met  # type: ignore[arg-type]
    assert single("a", "", 0.9, target=target).met is met  # type: ignore[arg-type]


def test_accelerators_of_retinanet() -> None:
    """One takes 24 samples in 47.55 ms, and must compute for 85 % of the time: 429 samples/s of storage feed it."""
    assert mlperf.accelerators(24 / 0.04755 * 0.85) == pytest.approx(1)
    assert mlperf.accelerators(4290) == pytest.approx(10, rel=1e-3)
    assert mlperf.RETINANET.sample_bytes == 322_957
