"""`stat`: the running mounts, tab-separated; or the counters of one as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.mounts.alive import DIED, dead
from alluxio_jnifuse.mounts.registry import Registry
from alluxio_jnifuse.system.locales import escaped

USAGE = f"""\
Usage: {PROGRAM} stat [--stats MOUNT_POINT]

  --stats MOUNT_POINT       print counters and times of one mount as JSON

In the list, control characters and backslashes of a path are written as \\ooo, as in /proc/mounts.
"""

_NONE = "No mount point found. AlluxioFuse process is not running."


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError and AlluxioFuseError."""
    options, positional = options_of(arguments, "", ["stats="])
    if positional:
        raise UsageError(f"too many arguments: {' '.join(positional)}")
    if options:
        return _counters(options[-1][1])
    mounts = Registry().running()
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


def _counters(mountpoint: str) -> int:
    import json

    from alluxio_jnifuse.mounts import stats, table

    snapshot = stats.request(table.resolve(mountpoint))
    print(json.dumps(snapshot._asdict(), indent=2))
    return 0
