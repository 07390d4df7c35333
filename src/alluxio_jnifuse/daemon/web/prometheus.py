"""The counters as text for Prometheus, exposition format 0.0.4.

The names are those of `stat --stats` with `alluxio_jnifuse_` before them, and `_total` behind those of counters; times
are histograms with operation or kind as a label. Figures that AlluxioFuse has, too, have its names besides, written as
its own endpoint writes them. A histogram without a duration is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from alluxio_jnifuse.daemon.web.alluxio import Figures
from alluxio_jnifuse.mounts.times import Times

TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "alluxio_jnifuse_"
_QUANTILES = (0.5, 0.75, 0.95, 0.98, 0.99, 0.999)
# How the times are called: name, label, what is timed.
_TIMED = {
    "op": ("request_seconds", "op", "from when a worker took a request of the kernel until its answer was written"),
    "queue": ("fetch_queue_seconds", "kind", "how long fetches waited in the queue"),
    "source": ("fetch_source_seconds", "kind", "how long fetches were at the source"),
}
_FAILED = {
    "op": ("request_errors_total", "requests of the kernel that failed"),
    "source": ("fetch_errors_total", "fetches that failed"),
}
# Counters of servers by the end of their names; the others are requests if their names begin so, else events.
_OF_SERVERS = {"bytes": "server_bytes_total", "retries": "server_retries_total", "failures": "server_failures_total"}
_REQUESTS = ("rpc_", "oss_get", "oss_list", "oss_head")

Labels = Mapping[str, str]


def render(
    info: Labels,
    stats: Mapping[str, int],
    helps: Mapping[str, str],
    times: Mapping[str, Times],
    servers: Mapping[str, Mapping[str, int]],
    figures: Figures,
) -> bytes:
    """`helps`: what the counters count, by their names; that of a gauge ends with "(gauge)"."""
    page = _Page()
    page.family("info", "gauge", "the mount", [(info, 1)])
    for name, value in stats.items():
        meaning = helps.get(name, "a counter of the source")
        if meaning.endswith(" (gauge)"):
            page.family(name, "gauge", meaning[: -len(" (gauge)")], [({}, value)])
        else:
            page.family(f"{name}_total", "counter", meaning, [({}, value)])
    for kind, (name, label, meaning) in _TIMED.items():
        of_kind = {key.partition("_")[2]: each for key, each in times.items() if key.partition("_")[0] == kind}
        page.histograms(name, meaning, {what: each for what, each in of_kind.items() if each.number}, label)
        if kind in _FAILED:
            rows = [
                ({label: what, "errno": err}, n) for what, each in of_kind.items() for err, n in each.errors.items()
            ]
            page.family(_FAILED[kind][0], "counter", _FAILED[kind][1], rows)
    _servers(page, servers)
    _alluxio(page, figures)
    return page.text()


class _Page:
    """The text, family by family."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def family(
        self, name: str, kind: str, meaning: str, rows: Iterable[tuple[Labels, float]], prefix: str = _PREFIX
    ) -> None:
        """Rows of one name; none is left out as a whole."""
        rows = list(rows)
        if rows:
            name = self._head(prefix + name, kind, meaning)
            self._lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in rows]

    def histograms(self, name: str, meaning: str, of: Mapping[str, Times], label: str) -> None:
        """With a bucket for each power of two of microseconds."""
        if not of:
            return
        name = self._head(_PREFIX + name, "histogram", meaning)
        for what, times in of.items():
            below = 0
            for number, start in zip(times.ranges, times.bounds_us):
                if start and not start & (start - 1):
                    self._lines.append(f"{name}_bucket{_labels({label: what, 'le': _number(start / 1e6)})} {below}")
                below += number
            labels = _labels({label: what})
            self._lines.append(f"{name}_bucket{_labels({label: what, 'le': '+Inf'})} {times.number}")
            self._lines += [f"{name}_sum{labels} {_number(times.sum_s)}", f"{name}_count{labels} {times.number}"]

    def summary(self, name: str, meaning: str, times: Times) -> None:
        name = self._head(name, "summary", meaning)
        for share in _QUANTILES:
            labels = _labels({"quantile": _number(share)})
            self._lines.append(f"{name}{labels} {_number(times.quantile_s(share))}")
        self._lines += [f"{name}_sum {_number(times.sum_s)}", f"{name}_count {times.number}"]

    def _head(self, name: str, kind: str, meaning: str) -> str:
        name = re.sub(r"[^a-zA-Z0-9_]", "_", name)
        meaning = meaning.replace("\\", "\\\\").replace("\n", " ")
        self._lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
        return name

    def text(self) -> bytes:
        return "\n".join([*self._lines, ""]).encode("utf-8", "replace")


def _servers(page: _Page, servers: Mapping[str, Mapping[str, int]]) -> None:
    rows: dict[str, list[tuple[Labels, float]]] = {}
    for server, counts in servers.items():
        for name, number in counts.items():
            labels = {"server": server}
            family = _OF_SERVERS.get(name.rpartition("_")[2])
            if family is None:
                kind = "request" if name.startswith(_REQUESTS) else "event"
                family, labels[kind] = f"server_{kind}s_total", name
            rows.setdefault(family, []).append((labels, number))
    for family in sorted(rows):
        what = family[len("server_") : -len("_total")]
        page.family(family, "counter", f"{what} of the source by server", rows[family])


def _alluxio(page: _Page, figures: Figures) -> None:
    for name, value in {**figures.gauges, **figures.counters}.items():
        page.family(name, "gauge", f"{name} of AlluxioFuse", [({}, value)], prefix="")
    for name, value in figures.meters.items():
        page.family(f"{name}_total", "counter", f"{name} of AlluxioFuse", [({}, value)], prefix="")
    for name, times in figures.timers.items():
        page.summary(name, f"{name} of AlluxioFuse, seconds", times)


def _labels(labels: Labels) -> str:
    pairs = []
    for name, value in labels.items():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        pairs.append(f'{name}="{escaped}"')
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _number(value: float) -> str:
    """In the fewest digits that tell it exactly."""
    return str(value) if isinstance(value, int) else repr(float(value))
