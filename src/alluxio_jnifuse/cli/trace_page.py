"""The report of a trace as text, for `trace --report`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from alluxio_jnifuse.mounts.trace_report import Report, Row
from alluxio_jnifuse.mounts.uses import PATTERNS, Use, amplification
from alluxio_jnifuse.system.locales import escaped

_PROCESSES = 10
_WIDTH = 24


def page(report: Report) -> Iterator[str]:
    """Yields lines."""
    total, end = report.total, report.end
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report.begin.began))
    long = "cut off" if end is None else f"{max(0.0, end.ended - report.begin.began):.1f} s"
    yield f"{escaped(report.begin.mount)}, {began}, {long}: {total.uses:,} uses of files, "\
        f"{_mb(total.read_bytes)} read, {_mb(total.fetched_bytes)} fetched for them"  # fmt: skip
    if end is not None and end.read_bytes >= 0:
        yield f"The whole mount meanwhile: {_mb(end.read_bytes)} read, {_mb(end.fetched_bytes)} fetched"
    if end is not None and end.lost:
        yield f"{end.lost:,} uses are missing: they ended faster than they could be recorded"
    yield ""
    yield _header("by pattern")
    for name, row in report.by_pattern.items():
        yield f"{_row(name, row)}  {PATTERNS[name]}"
    yield ""
    yield _header("by process, the first")
    for (name, pid), row in list(report.by_process.items())[:_PROCESSES]:
        yield _row(f"{escaped(name)} ({pid})" if pid else "ended, or not seen", row)
    if len(report.by_process) > _PROCESSES:
        yield f"and {len(report.by_process) - _PROCESSES:,} more"
    yield from _files("Most was fetched beyond what was read of", report.wasteful)
    yield from _files("Requests waited longest, in all, for", report.slow)


def _header(what: str) -> str:
    columns = ("uses", "opens", "reads", "read", "fetched", "times", "waited s", "failed")
    return what.ljust(_WIDTH) + "".join(name.rjust(12) for name in columns)


def _row(name: str, row: Row) -> str:
    cells = (
        f"{row.uses:,}", f"{row.opens:,}", f"{row.reads:,}", _mb(row.read_bytes), _mb(row.fetched_bytes),
        _times(row.fetched_bytes, row.read_bytes), f"{row.waited:.2f}", f"{row.failed:,}",
    )  # fmt: skip
    return name.ljust(_WIDTH) + "".join(cell.rjust(12) for cell in cells)


def _files(title: str, uses: Sequence[Use]) -> Iterator[str]:
    if not uses:
        return
    yield ""
    yield title
    for use in uses:
        times = _times(use.fetched_bytes, use.read_bytes)
        yield f"  {_mb(use.read_bytes):>10} read {_mb(use.fetched_bytes):>10} fetched {times:>6} times, "\
            f"{use.pattern}, {use.reads:,} reads at {use.runs:,} places, waited {use.waited:.2f} s, "\
            f"{use.longest:.3f} s at most: {escaped(use.path)}"  # fmt: skip


def _mb(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"


def _times(fetched_bytes: int, read_bytes: int) -> str:
    found = amplification(fetched_bytes, read_bytes)
    return "-" if found is None else f"{found:.2f}"
