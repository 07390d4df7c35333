"""The present of a mount and its last minutes, for `alluxio-jnifuse why` (mounts/why.py).

The counters are noted now and then, so that there is something to compare those of now with. Only the user who mounted
and root may ask for them, and so for paths and processes.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from alluxio_jnifuse.daemon.fetcher import KINDS
from alluxio_jnifuse.mounts import times

if TYPE_CHECKING:
    from alluxio_jnifuse.daemon.bindings import Binding, Workers
    from alluxio_jnifuse.sources.doing import Step

_MOST = 200  # requests, and fetches, that are told of
_EVERY_S = 20.0
_FOR_S = 300.0

_LANES = ("metadata", "demand", "prefetch", "ahead")  # by number, as in csrc/source/fetch.h


def of(core: Binding, workers: Workers) -> dict[str, Any]:
    """Returns the requests that wait, the fetches that nobody has taken, and those at the source; as JSON has them."""
    waiting, untaken = core.waiting(_MOST)
    return {
        "waiting": [
            {
                "operation": operation,
                "path": os.fsdecode(path),
                "offset": offset,
                "size": size,
                "for_seconds": seconds,
                "thread": thread,
                "uid": uid,
            }
            for operation, path, offset, size, seconds, thread, uid in waiting
        ],
        "untaken": [
            {
                "kind": KINDS[kind],
                "lane": _LANES[lane],
                "path": os.fsdecode(path),
                "offset": offset,
                "size": size,
                "for_seconds": seconds,
                "needs_memory": starved,
            }
            for kind, lane, path, offset, size, seconds, starved in untaken
        ],
        "fetching": [_told(step) for step in workers.steps()[:_MOST]],
    }


def _told(step: Step) -> dict[str, Any]:
    fetch = step.fetch
    return {
        "kind": KINDS[fetch.kind],
        "lane": _LANES[fetch.lane],
        "path": os.fsdecode(fetch.path),
        "offset": fetch.offset,
        "size": fetch.length,
        "for_seconds": step.for_s,
        "server": step.server,
        "attempt": step.attempt,
        "error": step.error,
        "failed_at": step.failed_at,
        "throttled": step.throttled,
        "pausing": step.pausing,
    }


class Recent:
    """The counters of the last minutes. `stats` gives them now. `sample` is one thread's; others may ask."""

    def __init__(self, core: times.Timing, stats: Callable[[], Mapping[str, int]]) -> None:
        self._core = core
        self._stats = stats
        self._lock = threading.Lock()  # guards the samples
        self._samples: deque[tuple[float, Mapping[str, int], Mapping[str, tuple[int, int]]]] = deque()

    def look(self, now: float) -> None:
        """Notes the counters if it is time to; `now`: monotonic, s."""
        with self._lock:
            if self._samples and now < self._samples[-1][0] + _EVERY_S:
                return
        sample = (now, self._stats(), times.sums(self._core))
        with self._lock:
            self._samples.append(sample)
            while self._samples[0][0] < now - _FOR_S:
                self._samples.popleft()

    def since(self) -> dict[str, Any]:
        """Returns the oldest sample, as JSON has it: how long ago it was taken, counters, and times by name."""
        with self._lock:
            if not self._samples:
                return {}
            then, stats, sums = self._samples[0]
        waited = {name: {"count": number, "sum_seconds": ns / 1e9} for name, (number, ns) in sums.items() if number}
        return {"seconds": time.monotonic() - then, "stats": stats, "times": waited}
