"""The command line of the benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.__main__ import parse
from benchmarks.bench import ENGINES, Bench, Scope
from benchmarks.suites import NAMES


def test_without_words_everything_is_measured_and_recorded() -> None:
    suites, scope, place = parse([])
    assert list(suites) == list(NAMES)
    assert (scope.scale, list(scope.engines), list(scope.peers)) == (1.0, list(ENGINES), [])
    assert scope.torch == sys.executable
    assert place == results.PLACE


@pytest.mark.parametrize(
    "words",
    [
        ["--quick"],
        ["--scale", "0.5"],
        ["--engines", "directory,bucket"],
        ["--with", "other=mount {source} {mountpoint}"],
        ["--no-record"],
    ],
    ids=" ".join,
)
def test_a_part_is_not_recorded(words: list[str]) -> None:
    """RESULTS.md shows full runs alone; another directory may have any run."""
    assert parse(words).place is None
    assert parse([*words, "--record-in", "/somewhere"]).place == Path("/somewhere")


def test_quick_is_a_small_scale_and_few_runs() -> None:
    scope = parse(["--quick", "small"]).scope
    assert (scope.scale, scope.runs) == (0.1, 3)
    scope = parse(["--quick", "--scale", "0.01", "--runs", "1"]).scope
    assert (scope.scale, scope.runs) == (0.01, 1)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["no-such"], "no such suite: no-such"),
        (["--engines", "directory,tape"], "'directory,tape'"),
        (["--scale", "0"], "above 0"),
        (["--scale", "2"], "above 0"),
        (["--runs", "0"], "1 run at least"),
        (["--with", "nothing"], "NAME=COMMAND"),
        (["--with", "a=x {source} {mountpoint}", "--with", "a=y {source} {mountpoint}"], "one name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_named(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(words)
    assert why in capsys.readouterr().err


def test_data_is_scaled() -> None:
    """A run of a hundredth has a hundredth of the data, and one of anything at least."""
    with Bench(Scope(runs=1, scale=0.01)) as bench:
        assert bench.scaled(20_000) == 200
        assert bench.scaled(5) == 1
