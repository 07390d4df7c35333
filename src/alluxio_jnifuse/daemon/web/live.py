"""The live page: what a mount does now, and did in the last quarter of an hour. live.html shows what this tells.

It names paths, processes and settings, which the counters do not. So it is told to those who know the token of the
address, which is in the log of the mount.

One thread's: that of the server, which calls `tick` about every second.
"""

from __future__ import annotations

import json
import time
from collections import deque
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from alluxio_jnifuse import __version__
from alluxio_jnifuse._core import Core
from alluxio_jnifuse.config.options import OPTIONS
from alluxio_jnifuse.config.secrets import masked_text
from alluxio_jnifuse.daemon import present
from alluxio_jnifuse.mounts import rates, times, why
from alluxio_jnifuse.mounts import stats as mount_stats
from alluxio_jnifuse.mounts.registry import Registry
from alluxio_jnifuse.mounts.stats import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alluxio_jnifuse.config.values import Config
    from alluxio_jnifuse.daemon.bindings import Binding, Workers
    from alluxio_jnifuse.mounts.rates import Rates
    from alluxio_jnifuse.mounts.why import Request
    from alluxio_jnifuse.sources.base import Source

_EVERY_S = 5.0  # a point of the charts
_FOR_S = 900.0
_POINTS = int(_FOR_S / _EVERY_S)
_SLOW_S = 0.05  # a request that waits for less is not remembered
_MOST_SLOW = 20
_MOST_WAITING = 50
_LOOKS = 5  # that are looked at together for what stands out
_MOST_READERS = 20
_MOST_PATHS = 1000  # of a reader
_ENOUGH = 8  # moves in a file, until it is said how they go


class _Point(NamedTuple):
    """One interval of the charts."""

    at: float  # its end, monotonic, s
    rates: Rates


class _Slow(NamedTuple):
    """A request that was seen waiting; `seen`: when, last, monotonic, s."""

    request: Request
    seen: float


class _Pattern:
    """How a process reads, by what it was seen to wait for."""

    def __init__(self) -> None:
        self.seen = 0
        self.paths: set[str] = set()
        self._at: dict[str, int] = {}
        self._forward = self._other = 0

    def note(self, request: Request) -> None:
        """Notes a request that waits: of the reads of a file, the first one at each look."""
        self.seen += 1
        if len(self.paths) < _MOST_PATHS:
            self.paths.add(request.path)
        if len(self._at) >= _MOST_PATHS:
            self._at.clear()
        if request.operation != "Read":
            return
        before = self._at.get(request.path)
        self._at[request.path] = request.offset
        if before is not None and request.offset > before:
            self._forward += 1
        elif before is not None and request.offset < before:
            self._other += 1

    @property
    def name(self) -> str:
        """In a word or two; "" where too little was seen."""
        if self._forward + self._other >= _ENOUGH:
            return "in order" if self._forward > 3 * self._other else "here and there"
        return "many files" if len(self.paths) >= 8 else ""


class Live:
    """See the module's docstring."""

    def __init__(self, config: Config, mountpoint: str, core: Binding, workers: Workers, source: Source) -> None:
        self._config = config
        self._mountpoint = mountpoint
        self._core = core
        self._workers = workers
        self._source = source
        self._tells = isinstance(core, Core)  # llfuse tells neither requests nor fetches
        self._began = time.monotonic()
        self._points: deque[_Point] = deque(maxlen=_POINTS)
        self._servers: Mapping[str, float] = {}  # what each sent in the last interval, in bytes per second
        self._before = self._snapshot({})
        self._due = self._began + _EVERY_S
        self._looks: deque[tuple[list[Request], Snapshot]] = deque(maxlen=_LOOKS)
        self._slow: dict[tuple[int, str, str, int], _Slow] = {}
        self._patterns: dict[tuple[int, str], _Pattern] = {}  # by process; the one seen last is the last

    def tick(self) -> None:
        """Looks at what waits, and now and then at the counters."""
        now = time.monotonic()
        look = self._snapshot(present.of(self._core, self._workers), brief=True)
        self._looks.append((why.requests_of(look), look))
        first: dict[tuple[int, str, str, str], Request] = {}
        for request in self._waiting():
            if request.for_s >= _SLOW_S:
                self._remember(request, now)
            key = (request.pid, request.process, request.operation, request.path)
            if request.pid and (key not in first or request.offset < first[key].offset):
                first[key] = request
        for request in first.values():
            pattern = self._patterns.pop((request.pid, request.process), None) or _Pattern()
            pattern.note(request)
            self._patterns[request.pid, request.process] = pattern
        if now >= self._due:
            self._due = max(self._due + _EVERY_S, now)
            after = self._snapshot({})
            told = rates.between(self._before, after)
            old = _sent(self._before)
            self._servers = {name: (sent - old.get(name, 0)) / told.seconds for name, sent in _sent(after).items()}
            self._points.append(_Point(now, told))
            self._before = after
            self._forget(now)

    def _waiting(self) -> list[Request]:
        return self._looks[-1][0] if self._looks else []

    def _remember(self, request: Request, now: float) -> None:
        """Keeps the longest wait of each kind."""
        key = (request.pid, request.operation, request.path, request.offset)
        kept = self._slow.get(key)
        if kept is None or kept.request.for_s <= request.for_s or kept.seen < now - _FOR_S:
            self._slow[key] = _Slow(request, now)

    def _forget(self, now: float) -> None:
        recent = [(key, slow) for key, slow in self._slow.items() if slow.seen >= now - _FOR_S]
        self._slow = dict(sorted(recent, key=lambda item: -item[1].request.for_s)[:_MOST_SLOW])
        while len(self._patterns) > _MOST_READERS:
            self._patterns.pop(next(iter(self._patterns)))

    def _snapshot(self, now: Mapping[str, Any], *, brief: bool = False) -> Snapshot:
        stats = mount_stats.counters(self._core, self._source)
        told = {} if brief else times.report(self._core)
        servers = {} if brief else {name: dict(counts) for name, counts in self._source.servers().items()}
        return Snapshot(time.monotonic_ns(), sorted(self._core.features()), stats, servers, told, now)

    # ---------------------------------------------------------------------------------------------------- the answers

    def html(self) -> bytes:
        """The page, which asks for the rest."""
        return resources.files(__package__).joinpath("live.html").read_bytes()

    def json(self) -> bytes:
        """The figures that it shows."""
        return json.dumps(self._told(time.monotonic())).encode()

    def _told(self, now: float) -> dict[str, Any]:
        last = self._points[-1].rates if self._points else None
        return {
            "version": __version__,
            "mount_point": self._mountpoint,
            "storage": masked_text(self._config.ufs),
            "up_seconds": now - self._began,
            "tells_requests": self._tells,
            "charts": _charts(self._points, now),
            "flow": self._flow(last),
            "last": None if last is None else _of(last),
            "waiting": [_told_request(each) for each in self._waiting()[:_MOST_WAITING]],
            "slowest": self._slowest(now),
            "readers": [
                {"process": process, "pid": pid, "pattern": each.name, "files": len(each.paths), "seen": each.seen}
                for (pid, process), each in list(reversed(self._patterns.items()))[:_MOST_READERS]
            ],
            "findings": self._findings(),
            "settings": self._settings(),
            "mounts": [
                {"mount_point": each.mountpoint, "storage": masked_text(each.ufs), "pid": each.pid}
                for each in Registry().running()
            ],
        }

    def _flow(self, last: Rates | None) -> dict[str, Any]:
        """The ways that bytes take, in bytes per second. Reads of the kernel itself (passthrough) are not counted."""
        stats = self._before.stats
        return {
            "asked": 0.0 if last is None else last.read_bytes,
            "here": 0.0 if last is None or last.hits is None else last.read_bytes * last.hits,
            "disk": 0.0 if last is None else last.disk_bytes,
            "fetched": 0.0 if last is None else last.fetched_bytes,
            "servers": dict(self._servers),
            "open_passthrough_bytes": stats["open_passthrough_bytes"],
            "memory_bytes": stats["cache_used_bytes"],
            "disk_bytes": stats.get("cache_disk_used_bytes", 0),
            "cache_bytes": self._config.cache_bytes,
        }

    def _slowest(self, now: float) -> list[dict[str, Any]]:
        ranked = sorted(self._slow.values(), key=lambda slow: -slow.request.for_s)
        return [{**_told_request(each.request), "seen_seconds_ago": now - each.seen} for each in ranked[:_MOST_SLOW]]

    def _findings(self) -> list[dict[str, str]]:
        if not self._tells:
            return [{"what": "a mount on llfuse cannot tell what its readers wait for", "remedy": ""}]
        found = why.findings([requests for requests, _ in self._looks], [look for _, look in self._looks], None, [])
        return [each._asdict() for each in found]

    def _settings(self) -> list[dict[str, str]]:
        settings = self._config.settings
        return [
            {"name": row.name, "value": settings[row.name].shown(row.name), "origin": settings[row.name].origin}
            for row in OPTIONS
            if row.name in settings and settings[row.name].rank > 0
        ]


def _sent(snapshot: Snapshot) -> dict[str, int]:
    """The bytes that each server sent so far."""
    return {
        name: sum(number for counter, number in counts.items() if counter.endswith("_bytes"))
        for name, counts in snapshot.servers.items()
    }


def _told_request(request: Request) -> dict[str, Any]:
    return {
        "process": request.process,
        "pid": request.pid,
        "operation": request.operation,
        "path": request.path,
        "offset": request.offset,
        "size": request.size,
        "seconds": request.for_s,
        "waits_for": why.in_words(request.cause),
    }


def _of(last: Rates) -> dict[str, Any]:
    return {
        "requests": last.requests,
        "opens": last.opens,
        "hits": last.hits,
        "ahead": last.ahead,
        "passthrough": last.passthrough,
        "errors": last.errors,
        "amplification": last.fetched_bytes / last.read_bytes if last.read_bytes else None,
        "waits": {name: [wait.number, wait.mean_s, wait.p50_s, wait.p99_s] for name, wait in last.waits.items()},
    }


def _charts(points: deque[_Point], now: float) -> dict[str, list[float | None]]:
    """One list for each line, and the seconds ago at which each point ends."""

    def quantile(each: Rates, name: str, p99: bool) -> float | None:
        wait = each.waits.get(name)
        return None if wait is None or not wait.number else (wait.p99_s if p99 else wait.p50_s)

    return {
        "seconds_ago": [now - point.at for point in points],
        "seconds": [point.rates.seconds for point in points],
        "read_bytes": [point.rates.read_bytes for point in points],
        "fetched_bytes": [point.rates.fetched_bytes for point in points],
        "requests": [point.rates.requests for point in points],
        "hits": [point.rates.hits for point in points],
        "read_p50": [quantile(point.rates, "op_read", False) for point in points],
        "read_p99": [quantile(point.rates, "op_read", True) for point in points],
        "open_p50": [quantile(point.rates, "op_open", False) for point in points],
        "open_p99": [quantile(point.rates, "op_open", True) for point in points],
    }
