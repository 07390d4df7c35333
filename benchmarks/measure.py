"""Measures in pairs: directory, mount, directory, mount ... and takes medians.

The machine is shared: every sample knows how much CPU time went to neither it nor the daemon. A pair during which
others took more than QUIET of the machine is measured again, up to PATIENCE times as often as asked; what is still
short of quiet pairs then is filled up with the quietest of the others, and the row says so.

On a machine that is never quiet the CPU time of those involved still tells something: `cpu_ratio` is the work done
for each CPU second of reader and daemon together, mount to native. Being preempted does not count in it.

The ratio of a row is the median of the ratios of its pairs, because both halves of a pair saw the same machine. It
is not quite the ratio of the two medians that stand beside it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from benchmarks import machine

QUIET = 0.10  # of all processors; medians of pairs do not notice this much
PATIENCE = 3


class Outcome(NamedTuple):
    """The result of one run of something: `count` in `seconds`, for which the reader used `cpu_s` of processors."""

    count: float
    seconds: float
    cpu_s: float


Work = Callable[[], Outcome]


class Target(NamedTuple):
    """A limit for the ratio of a row, or for the figure itself where nothing is compared."""

    sign: str  # ">=" or "<="
    limit: float

    def __str__(self) -> str:
        return f"{'≥' if self.sign == '>=' else '≤'} {self.limit:g}"

    def met(self, value: float) -> bool:
        return value >= self.limit if self.sign == ">=" else value <= self.limit


def at_least(limit: float) -> Target:
    return Target(">=", limit)


def at_most(limit: float) -> Target:
    return Target("<=", limit)


class Sample(NamedTuple):
    """One run of something, and what else happened."""

    done: Outcome
    wall_s: float
    daemon_cpu_s: float
    foreign: float  # share of all processors that others used meanwhile

    @property
    def rate(self) -> float:
        return self.done.count / self.done.seconds

    @property
    def per_cpu(self) -> float:
        """Work done in a CPU second of reader and daemon."""
        return self.done.count / max(self.done.cpu_s + self.daemon_cpu_s, 1e-3)


class Point(NamedTuple):
    """A row's place in a figure of docs/plots: the figure's name, the line or colour, and where on the axis."""

    figure: str
    series: str
    x: str | float


class Row(NamedTuple):
    """One line of a suite's table; figures are medians, `ratio` is mount to native."""

    what: str
    unit: str
    mount: float
    native: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    cpu_ratio: float | None = None
    target: str = ""
    met: bool | None = None
    runs: int = 1
    noisy: bool = False
    daemon_cpu: float | None = None  # seconds of the daemon's CPU per second of the run
    note: str = ""
    point: Point | None = None


def sample(work: Work, pid: int = 0, beside: Iterable[int] = ()) -> Sample:
    """Does `work` once.

    `pid` is the daemon's, or 0 when it does not live from start to end; `beside`: processes that serve it, whose work
    is no disturbance.
    """
    servers = list(beside)
    before, start = machine.busy(), time.monotonic()
    cpu = machine.cpu_seconds(pid) if pid else 0.0
    served = sum(map(machine.cpu_seconds, servers))
    done = work()
    cpu = machine.cpu_seconds(pid) - cpu if pid else 0.0
    served = sum(map(machine.cpu_seconds, servers)) - served
    wall, after = time.monotonic() - start, machine.busy()
    foreign = after.machine - before.machine - (after.own - before.own) - cpu - served
    return Sample(done, wall, cpu, max(0.0, foreign / (wall * machine.CPUS)))


def compare(
    what: str, unit: str, native: Work, mount: Work, *, runs: int, pid: int = 0, target: Target | None = None,
    note: str = "",
) -> Row:  # fmt: skip
    """A row of `runs` quiet pairs, after one run of each that does not count."""
    sample(native)
    sample(mount, pid)
    pairs: list[tuple[Sample, Sample]] = []
    while len(pairs) < runs * PATIENCE and sum(map(is_quiet, pairs)) < runs:
        pairs.append((sample(native), sample(mount, pid)))
    return row_of_pairs(what, unit, pairs, runs=runs, pid=pid, target=target, note=note)


def row_of_pairs(
    what: str, unit: str, pairs: list[tuple[Sample, Sample]], *, runs: int, pid: int = 0,
    target: Target | None = None, note: str = "",
) -> Row:  # fmt: skip
    """The row of the `runs` quietest pairs (native, mount)."""
    best = sorted(pairs, key=_noise)[:runs]
    ratios = [mount.rate / native.rate for native, mount in best]
    ratio = statistics.median(ratios)
    wall = sum(mount.wall_s for _, mount in best)
    return Row(
        what=what,
        unit=unit,
        mount=statistics.median(mount.rate for _, mount in best),
        native=statistics.median(native.rate for native, _ in best),
        ratio=ratio,
        ratio_low=min(ratios),
        ratio_high=max(ratios),
        cpu_ratio=statistics.median(mount.per_cpu / native.per_cpu for native, mount in best) if pid else None,
        target=str(target) if target else "",
        met=target.met(ratio) if target else None,
        runs=len(best),
        noisy=not all(map(is_quiet, best)),
        daemon_cpu=sum(mount.daemon_cpu_s for _, mount in best) / wall if pid else None,
        note=note,
    )


class Rounds:
    """Pairs by the names of their rows, from rounds in which each mount has its turn beside the same native sample.

    while rounds.more():
        rounds.add({"ours": (native, ours), "theirs": (native, theirs)})
    """

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self._pairs: dict[str, list[tuple[Sample, Sample]]] = {}
        self._done = 0

    def more(self) -> bool:
        """Whether some row has fewer quiet pairs than asked for, and there is patience."""
        if self._done == 0:
            return True
        short = any(sum(map(is_quiet, pairs)) < self.runs for pairs in self._pairs.values())
        return short and self._done < self.runs * PATIENCE

    def add(self, pairs: Mapping[str, tuple[Sample, Sample]]) -> None:
        """Takes the pairs of one round, (native, mount)."""
        self._done += 1
        for name, pair in pairs.items():
            self._pairs.setdefault(name, []).append(pair)

    def best(self, name: str) -> list[tuple[Sample, Sample]]:
        """The `runs` quietest pairs of a row."""
        return sorted(self._pairs[name], key=_noise)[: self.runs]


def single(what: str, unit: str, value: float, *, runs: int = 1, target: Target | None = None, note: str = "") -> Row:
    """A row about the mount alone."""
    met = target.met(value) if target else None
    return Row(what, unit, value, target=str(target) if target else "", met=met, runs=runs, note=note)


def _noise(pair: tuple[Sample, Sample]) -> float:
    return max(pair[0].foreign, pair[1].foreign)


def is_quiet(pair: tuple[Sample, Sample]) -> bool:
    return _noise(pair) <= QUIET
