"""`stat`: the running mounts, tab-separated; or the counters of one as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts.alive import DIED, dead
from alluxio_jnifuse.mounts.registry import Record, Registry
from alluxio_jnifuse.system.locales import escaped

USAGE = f"""\
Usage: {PROGRAM} stat [--json] [MOUNT_POINT]
       {PROGRAM} stat --stats MOUNT_POINT

  MOUNT_POINT               list this mount only; the exit code is 1 if it is none of ours
  --json                    objects, one for each line
  --stats MOUNT_POINT       print counters and times of one mount as JSON

In the list, control characters and backslashes of a path are written as \\ooo, as in /proc/mounts.
"""

_NONE = "No mount point found. AlluxioFuse process is not running."


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError and AlluxioFuseError."""
    options, positional = options_of(arguments, "", ["stats=", "json"])
    counted = [value for name, value in options if name == "--stats"]
    if len(positional) > (0 if counted else 1):
        raise UsageError(f"too many arguments: {' '.join(positional)}")
    if counted:
        return _counters(counted[-1])
    mounts = [_one(positional[0])] if positional else Registry().running()
    if ("--json", "") in options:
        for mount in mounts:
            print(_as_json(mount))
        return 0 if mounts else 1
    if not mounts:
        print(_NONE, file=sys.stderr)
        for path in dead():
            print(f"{escaped(path)}: {DIED.format(escaped(path))}", file=sys.stderr)
        return 1
    print("pid", "mount_point", "alluxio_path", "log", sep="\t")
    for mount in mounts:
        paths = (mount.mountpoint, mount.alluxio_path, mount.log or "-")
        print(mount.pid, *map(escaped, paths), sep="\t")
    return 0


def _one(path: str) -> Record:
    """Returns the running mount on a path. Raises MountError."""
    from alluxio_jnifuse.mounts import table
    from alluxio_jnifuse.mounts.alive import why_not_ours

    mountpoint = table.resolve(path)
    record = Registry().find(mountpoint)
    if record is None:
        raise MountError(why_not_ours(mountpoint), where=mountpoint)
    return record


def _as_json(mount: Record) -> str:
    import json

    names = ("pid", "alluxio_path", "log", "cache_bytes")
    return json.dumps({"mount_point": mount.mountpoint, **{name: getattr(mount, name) for name in names}})


def _counters(mountpoint: str) -> int:
    import json

    from alluxio_jnifuse.mounts import stats, table

    snapshot = stats.request(table.resolve(mountpoint))
    print(json.dumps(snapshot._asdict(), indent=2))
    return 0
