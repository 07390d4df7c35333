"""`stats`: figures of a mount for a person: since it began, or again and again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.registry import Registry

if TYPE_CHECKING:
    from alluxio_jnifuse.mounts.rates import Rates

USAGE = f"""\
Usage: {PROGRAM} stats [-w [-i SECONDS] [-n COUNT]] [--json] [MOUNT_POINT]

  MOUNT_POINT               default: the running mount, if there is one only
  -w, --watch               a line for each interval, until interrupted or unmounted
  -i, --interval SECONDS    of --watch (default 1)
  -n, --count COUNT         end after so many lines
  --json                    objects, one for each line; sizes in bytes, times in seconds, all rates per second

Without --watch: the figures since the mount began, by operation and by fetch.
Bytes that the kernel reads by itself, from its pages or in passthrough, do not reach the daemon, and count nowhere.
"""

_HEADER_EACH = 20  # lines of a terminal
_COLUMNS = (
    "read MB/s", "fetched MB/s", "ahead", "hits", "requests/s", "opens/s", "pass", "read p50 ms", "p99", "open p50 ms",
    "p99", "waiting", "fetching", "errors/s",
)  # fmt: skip


class _Wanted(NamedTuple):
    mountpoint: str
    watch: bool
    interval: float
    lines: int  # 0: no end
    as_json: bool


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError and AlluxioFuseError."""
    wanted = _parse(arguments)
    if wanted.watch:
        return _watch(wanted)
    from alluxio_jnifuse.mounts import rates, stats

    snapshot = stats.request(wanted.mountpoint)
    whole = rates.between(None, snapshot, began_ns=_began_ns(wanted.mountpoint))
    print(_as_json(whole) if wanted.as_json else "\n".join(_page(whole)))
    return 0


def _parse(arguments: Sequence[str]) -> _Wanted:
    options, positional = options_of(arguments, "wi:n:", ["watch", "interval=", "count=", "json"])
    if len(positional) > 1:
        raise UsageError(f"too many arguments: {' '.join(positional)}")
    given = dict(options)
    watch = "-w" in given or "--watch" in given
    numbers = [name for name, _ in options if name in ("-i", "--interval", "-n", "--count")]
    if numbers and not watch:
        raise UsageError(f"{numbers[0]} needs --watch")
    interval, count = given.get("--interval", given.get("-i", "1")), given.get("--count", given.get("-n", "0"))
    try:
        seconds, lines = float(interval), int(count)
    except ValueError:
        raise UsageError(f"not a number: {interval if numbers[-1] in ('-i', '--interval') else count}") from None
    if not 0.01 <= seconds <= 86_400 or lines < 0:
        raise UsageError("an interval is 0.01 to 86400 seconds, a count 0 or more")
    mountpoint = table.resolve(positional[0]) if positional else Registry().only_one()
    return _Wanted(mountpoint, watch, seconds, lines, "--json" in given)


def _began_ns(mountpoint: str) -> int:
    """When the mount began, in ns since the epoch: its record was written then."""
    import os

    located = Registry().locate(mountpoint)
    return time.time_ns() if located is None else os.stat(located[0]).st_mtime_ns


def _watch(wanted: _Wanted) -> int:
    from alluxio_jnifuse.mounts import rates, stats

    before = stats.request(wanted.mountpoint)
    due = time.monotonic()
    printed = 0
    while not wanted.lines or printed < wanted.lines:
        due = max(due + wanted.interval, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            after = stats.request(wanted.mountpoint)
        except MountError as error:
            if Registry().locate(wanted.mountpoint) is not None:
                raise
            print(f"{PROGRAM}: {error}", file=sys.stderr)  # it was unmounted: the end of what was watched
            return 0
        found = rates.between(before, after)
        if wanted.as_json:
            print(_as_json(found), flush=True)
        else:
            if printed % _HEADER_EACH == 0 and (printed == 0 or sys.stdout.isatty()):
                print("  ".join(_COLUMNS))
            print("  ".join(cell.rjust(len(name)) for cell, name in zip(_cells(found), _COLUMNS)), flush=True)
        before = after
        printed += 1
    return 0


def _cells(found: Rates) -> Iterator[str]:
    read, opened = found.waits.get("op_read"), found.waits.get("op_open")
    yield f"{found.read_bytes / 1e6:.1f}"
    yield f"{found.fetched_bytes / 1e6:.1f}"
    yield _percent(found.ahead)
    yield _percent(found.hits)
    yield f"{found.requests:.0f}"
    yield f"{found.opens:.0f}"
    yield _percent(found.passthrough)
    for wait in (read, opened):
        yield f"{wait.p50_s * 1e3:.3g}" if wait else "-"
        yield f"{wait.p99_s * 1e3:.3g}" if wait else "-"
    yield str(found.waiting)
    yield str(found.fetching)
    yield f"{found.errors:.1f}"


def _page(found: Rates) -> Iterator[str]:
    """The figures since the start: totals first, then a line for each kind of request and fetch."""
    total = found.seconds
    yield f"since {_duration(total)}: {found.read_bytes * total / 1e6:.1f} MB asked of the daemon, "\
        f"{_percent(found.hits)} of them were here"  # fmt: skip
    yield f"{found.fetched_bytes * total / 1e6:.1f} MB fetched, {_percent(found.ahead)} of them ahead"
    yield f"{found.opens * total:.0f} opens, {_percent(found.passthrough)} of them in passthrough"
    yield f"now: {found.waiting} requests wait, {found.fetching} fetches, {found.cached_bytes / 1e6:.1f} MB in memory"
    if found.waits:
        yield ""
        yield f"{'':18}{'number':>12}{'mean ms':>10}{'p50 ms':>10}{'p99 ms':>10}  errors"
    for name, wait in found.waits.items():
        errors = ", ".join(f"{number} {errno}" for errno, number in wait.errors.items())
        times = "".join(f"{seconds * 1e3:>10.3g}" for seconds in (wait.mean_s, wait.p50_s, wait.p99_s))
        yield f"{name:18}{wait.number:>12}{times}  {errors}".rstrip()


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _as_json(found: Rates) -> str:
    waits = {name: wait._asdict() for name, wait in found.waits.items()}
    return json.dumps({**found._asdict(), "waits": waits})
