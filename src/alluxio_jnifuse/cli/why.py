"""`why`: who waits for what in a mount at this moment, and what stands out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.alive import why_not_ours
from alluxio_jnifuse.mounts.registry import Registry

if TYPE_CHECKING:
    from alluxio_jnifuse.mounts.readers import Reader
    from alluxio_jnifuse.mounts.stats import Snapshot
    from alluxio_jnifuse.mounts.why import Finding, Request, Shares

USAGE = f"""\
Usage: {PROGRAM} why [-p PID] [-s SECONDS] [--json] [MOUNT_POINT]

  MOUNT_POINT               default: the running mount, if there is one only
  -p, --pid PID             only the requests of this process, and what it does
  -s, --seconds SECONDS     how long to look (default 1)
  --json                    one object; sizes in bytes, times in seconds

It shows the requests that wait, and for what: for which server, since when, with which failures; what the programs
that use the mount do meanwhile; how the waiting of the last minutes divides; and what stands out.
"""

_LOOK_EACH_S = 0.05
_MOST_SHOWN = 10  # requests, and processes
_COLUMNS = ("run", "for the daemon", "for pages", "for others")  # but for the first, what is waited for
_WIDTH = 16


class _Wanted(NamedTuple):
    mountpoint: str
    pid: int  # 0: all processes
    seconds: float
    as_json: bool


class _Seen(NamedTuple):
    """`requests`: those that waited in the end, all of them; `looks`: those of each time."""

    requests: Sequence[Request]
    looks: Sequence[Sequence[Request]]
    readers: Sequence[Reader]
    shares: Shares | None
    findings: Sequence[Finding]


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError and AlluxioFuseError."""
    wanted = _parse(arguments)
    seen = _look(wanted)
    print(json.dumps(_as_json(seen)) if wanted.as_json else "\n".join(_page(wanted, seen)))
    return 0


def _parse(arguments: Sequence[str]) -> _Wanted:
    options, positional = options_of(arguments, "p:s:", ["pid=", "seconds=", "json"])
    if len(positional) > 1:
        raise UsageError(f"too many arguments: {' '.join(positional)}")
    given = dict(options)
    pid, seconds = given.get("--pid", given.get("-p", "0")), given.get("--seconds", given.get("-s", "1"))
    try:
        numbers = int(pid), float(seconds)
    except ValueError:
        raise UsageError(f"not numbers: PID {pid}, SECONDS {seconds}") from None
    if numbers[0] < 0 or not 0 <= numbers[1] <= 3600:
        raise UsageError("a PID is positive, and it is looked for 0 to 3600 seconds")
    mountpoint = table.resolve(positional[0]) if positional else Registry().only_one()
    if Registry().find(mountpoint) is None:
        raise MountError(why_not_ours(mountpoint), where=mountpoint)
    return _Wanted(mountpoint, *numbers, "--json" in given)


def _look(wanted: _Wanted) -> _Seen:
    from alluxio_jnifuse.mounts import stats, why
    from alluxio_jnifuse.mounts.holders import users_of
    from alluxio_jnifuse.mounts.readers import Looks

    daemon = Registry().find(wanted.mountpoint)
    pids = [wanted.pid] if wanted.pid else [pid for pid, _ in users_of(wanted.mountpoint)]
    processes = Looks(pid for pid in pids if daemon is None or pid != daemon.pid)
    until = time.monotonic() + wanted.seconds
    snapshots: list[Snapshot] = []
    looks: list[list[Request]] = []
    while True:
        snapshots.append(stats.request(wanted.mountpoint))
        looks.append([each for each in why.requests_of(snapshots[-1]) if wanted.pid in (0, each.pid)])
        processes.look()
        left = until - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(_LOOK_EACH_S, left))
    readers = sorted(processes.readers(), key=lambda reader: -(reader.runs + reader.mount + reader.pages))
    shares = why.shares_of(snapshots[-1])
    return _Seen(looks[-1], looks, readers, shares, why.findings(looks, snapshots, shares, readers))


# ------------------------------------------------------------------------------------------------------------ the page


def _page(wanted: _Wanted, seen: _Seen) -> Iterator[str]:
    from alluxio_jnifuse.mounts import why

    yield f"{wanted.mountpoint}: {len(seen.requests)} requests wait"
    for request in seen.requests[:_MOST_SHOWN]:
        yield f"  {_who(request)}: {_what(request)}, for {why.duration(request.for_s)}"
        yield f"      waits for {why.in_words(request.cause)}"
    if len(seen.requests) > _MOST_SHOWN:
        yield f"  and {len(seen.requests) - _MOST_SHOWN} others"
    if seen.readers:
        yield ""
        yield f"{'programs that use it':28}" + "".join(name.rjust(_WIDTH) for name in _COLUMNS)
    for reader in seen.readers[:_MOST_SHOWN]:
        who = f"  {reader.name} ({reader.pid})"
        shares = (reader.runs, reader.mount, reader.pages, reader.other)
        yield f"{who:28}" + "".join(f"{share:>{_WIDTH}.0%}" for share in shares)
    if seen.shares is not None:
        s = seen.shares
        yield ""
        yield f"in the last {why.duration(s.seconds)} requests waited {why.duration(s.waited_s)} in all: " \
            f"{s.daemon:.0%} in the daemon, {s.queue:.0%} in its queue, {s.storage:.0%} for the storage, " \
            f"{s.pauses:.0%} between attempts"  # fmt: skip
    for finding in seen.findings:
        yield ""
        yield f"* {finding.what}"
        if finding.remedy:
            yield f"  -> {finding.remedy}"


def _who(request: Request) -> str:
    return f"{request.process} ({request.pid})" if request.pid else "the kernel, or a process that cannot be seen here"


def _what(request: Request) -> str:
    if request.operation == "Read":
        return f"Read of {request.path} at {request.offset}+{request.size}"
    inside = " in" if request.operation == "Lookup" else ""
    return f"{request.operation}{inside} {request.path}"


def _as_json(seen: _Seen) -> dict[str, Any]:
    return {
        "requests": [{**each._asdict(), "cause": each.cause._asdict()} for each in seen.requests],
        "looks": [len(look) for look in seen.looks],
        "readers": [each._asdict() for each in seen.readers],
        "recent": None if seen.shares is None else seen.shares._asdict(),
        "findings": [each._asdict() for each in seen.findings],
    }
