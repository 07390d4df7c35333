"""How long requests and fetches of a mount took: histograms of the core (stats_times.h), and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

_TOLD = (0.5, 0.9, 0.99, 0.999)  # quantiles in the report


class Timing(Protocol):
    """A binding that has histograms: `_core.Core`, or that of llfuse."""

    def times(self) -> dict[str, tuple[int, tuple[int, ...], dict[str, int]]]: ...


class Times(NamedTuple):
    """One histogram. `ranges`: how many durations are in each range of `bounds_us`, where the range begins.

    `errors`: how many failed, by the name of the errno; those without a name of their own are "other".
    """

    sum_ns: int
    ranges: tuple[int, ...]
    errors: Mapping[str, int]
    bounds_us: tuple[int, ...]

    @property
    def number(self) -> int:
        """How many durations there are."""
        return sum(self.ranges)

    @property
    def sum_s(self) -> float:
        """All of them together."""
        return self.sum_ns / 1e9

    def quantile_s(self, share: float) -> float:
        """The duration that `share` of all do not exceed, at most 25 % from the true one; 0 if there is none.

        Within a range they count as evenly spread; the last range counts as its beginning.
        """
        rank, seen = share * self.number, 0
        for index, (number, start) in enumerate(zip(self.ranges, self.bounds_us)):
            if number and seen + number >= rank:
                end = self.bounds_us[index + 1] if index + 1 < len(self.bounds_us) else start
                return (start + (end - start) * max(0.0, rank - seen) / number) / 1e6
            seen += number
        return 0.0

    def report(self) -> dict[str, Any]:
        """For `stat --stats`: counts by the us at which their range begins, and times in seconds."""
        quantiles = {f"p{share * 100:g}_seconds": round(self.quantile_s(share), 9) for share in _TOLD}
        ranges = {str(start): number for start, number in zip(self.bounds_us, self.ranges) if number}
        return {
            "count": self.number,
            "sum_seconds": self.sum_s,
            **quantiles,
            "from_us": ranges,
            "errors": dict(self.errors),
        }


def times_of(core: Timing) -> dict[str, Times]:
    """All histograms of a mount by their names, also those without a duration."""
    from alluxio_jnifuse._core import time_ranges

    bounds = time_ranges()
    return {name: Times(*values, bounds) for name, values in core.times().items()}


def report(core: Timing) -> dict[str, dict[str, Any]]:
    """Those that have a duration or a failure, for `stat --stats`."""
    return {name: times.report() for name, times in times_of(core).items() if times.number or times.errors}


def sums(core: Timing) -> dict[str, tuple[int, int]]:
    """How many durations each histogram has, and what they add up to in ns."""
    return {name: (sum(ranges), sum_ns) for name, (sum_ns, ranges, _) in core.times().items()}
