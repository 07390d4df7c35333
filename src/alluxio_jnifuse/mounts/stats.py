"""Counters of a running mount, on request: SIGUSR1 makes the daemon write them beside its record.

Nothing is written while nobody asks. The file is JSON: `time_ns` since the epoch, `features` that the kernel granted,
`stats` by the names of csrc/base/stats.def and those of the source, `servers`: those of the source by server,
`times`: the histograms of times.py, and for why.py `now` and `recent`, which daemon/present.py makes.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import times
from alluxio_jnifuse.mounts.alive import why_not_ours
from alluxio_jnifuse.mounts.registry import Registry, is_alive, send_signal, stats_path, write_atomically

REQUEST = signal.SIGUSR1

_POLL_S = 0.001  # a dump takes less than a millisecond


class Answering(times.Timing, Protocol):
    """A binding: `_core.Core`, or that of llfuse."""

    def stats(self) -> dict[str, int]: ...
    def features(self) -> frozenset[str]: ...


class Counting(Protocol):
    """An object with counters of its own, by their names; the source of a mount is one."""

    def counters(self) -> Mapping[str, int]: ...
    def servers(self) -> Mapping[str, Mapping[str, int]]: ...


class Snapshot(NamedTuple):
    """Counters at one moment. `features`: what the kernel granted, names as in `alluxio-jnifuse version`.

    A mount of an older release does not tell all of it.
    """

    time_ns: int
    features: list[str]
    stats: dict[str, int]
    servers: Mapping[str, Mapping[str, int]] = {}
    times: Mapping[str, Mapping[str, Any]] = {}
    now: Mapping[str, Any] = {}
    recent: Mapping[str, Any] = {}


def counters(core: Answering, source: Counting) -> dict[str, int]:
    """Those of the core, then those of its source."""
    return {**core.stats(), **source.counters()}


def dump(
    core: Answering, source: Counting, record_path: str, now: Mapping[str, Any], recent: Mapping[str, Any]
) -> None:
    """Writes the counters of a mount beside its record. Raises OSError."""
    servers = {server: dict(counts) for server, counts in source.servers().items()}
    counted = counters(core, source)
    snapshot = Snapshot(time.time_ns(), sorted(core.features()), counted, servers, times.report(core), now, recent)
    write_atomically(stats_path(record_path), json.dumps(snapshot._asdict()))


def request(mountpoint: str, timeout: float = 5.0, registry: Registry | None = None) -> Snapshot:
    """The counters of the mount on the resolved path `mountpoint`, not older than this call.

    Raises MountError when there is no such mount, or it does not answer within `timeout` s.
    """
    located = (registry or Registry()).locate(mountpoint)
    if located is None:
        raise MountError(why_not_ours(mountpoint), where=mountpoint)
    record_path, record = located
    path = stats_path(record_path)
    before = _identity(path)
    try:
        send_signal(record, REQUEST)
    except ProcessLookupError:
        raise MountError(why_not_ours(mountpoint), where=mountpoint) from None
    except PermissionError:
        raise MountError(
            f"process {record.pid} belongs to another user", where=mountpoint, remedy="ask as that user, or as root"
        ) from None
    deadline = time.monotonic() + timeout
    while _identity(path) in (before, None):
        if not is_alive(record):
            raise MountError(f"process {record.pid} has ended", where=mountpoint)
        if time.monotonic() > deadline:
            raise MountError(
                f"process {record.pid} did not answer within {timeout:g} s",
                where=mountpoint,
                remedy=f"look into its log{f' {record.log}' if record.log else ''}",
            )
        time.sleep(_POLL_S)
    with open(path, encoding="ascii") as file:
        return Snapshot(**json.load(file))


def summary(stats: Mapping[str, int]) -> str:
    """The counters that are not 0, for one line of the log."""
    return " ".join(f"{name}={value}" for name, value in stats.items() if value)


def left_behind(stats: Mapping[str, int]) -> dict[str, int]:
    """Returns the counts of things not given back, by kind (`X_born` less `X_died`); empty after an orderly end."""
    kinds = [name[: -len("_born")] for name in stats if name.endswith("_born")]
    alive = {kind: stats[f"{kind}_born"] - stats[f"{kind}_died"] for kind in kinds}
    return {kind: number for kind, number in alive.items() if number}


def _identity(path: str) -> tuple[int, int] | None:
    """Differs before and after a replacement: the new file is made while the old one is still there."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns
