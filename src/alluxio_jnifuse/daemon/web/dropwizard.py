"""The counters as the JSON that AlluxioFuse shows: that of Dropwizard Metrics, by kind, with Alluxio's names.

A figure without a name of Alluxio's is among counters and gauges under its own. Rates over minutes are left out, and so
is the standard deviation of a timer: nothing keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from alluxio_jnifuse.daemon.web.alluxio import Figures
from alluxio_jnifuse.mounts.times import Times

_QUANTILES = {"p50": 0.5, "p75": 0.75, "p95": 0.95, "p98": 0.98, "p99": 0.99, "p999": 0.999}


def render(figures: Figures, stats: Mapping[str, int], gauges: frozenset[str], up_s: float) -> bytes:
    """`gauges`: which names of `stats` are such; `up_s`: how long all of this has been counted."""
    told = {
        "version": "4.0.0",
        "gauges": {name: {"value": value} for name, value in {**figures.gauges, **_only(stats, gauges, True)}.items()},
        "counters": {
            name: {"count": value} for name, value in {**figures.counters, **_only(stats, gauges, False)}.items()
        },
        "histograms": {},
        "meters": {
            name: {"count": count, "mean_rate": count / up_s, "units": "events/second"}
            for name, count in figures.meters.items()
        },
        "timers": {name: _timer(times, up_s) for name, times in figures.timers.items()},
    }
    return json.dumps(told, indent=2).encode()


def _only(stats: Mapping[str, int], gauges: frozenset[str], wanted: bool) -> dict[str, int]:
    return {name: value for name, value in stats.items() if (name in gauges) == wanted}


def _timer(times: Times, up_s: float) -> dict[str, Any]:
    """In milliseconds, as Alluxio's."""
    number = times.number
    return {
        "count": number,
        "max": times.quantile_s(1.0) * 1e3,
        "mean": times.sum_s / number * 1e3 if number else 0.0,
        "min": times.quantile_s(0.0) * 1e3,
        **{name: times.quantile_s(share) * 1e3 for name, share in _QUANTILES.items()},
        "mean_rate": number / up_s,
        "duration_units": "milliseconds",
        "rate_units": "calls/second",
    }
