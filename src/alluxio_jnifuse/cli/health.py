"""`health`: whether running mounts answer, for health checks and probes; says what does not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import stats, table
from alluxio_jnifuse.mounts.alive import DEAD, DIED, dead, why_not_ours
from alluxio_jnifuse.mounts.registry import Registry

USAGE = f"""\
Usage: {PROGRAM} health [--json] [MOUNT_POINT]

  MOUNT_POINT               default: every running mount; there must be at least one
  --json                    objects, one for each mount and line: its problem is null if it has none

Exit code 0: it is mounted and answers. It does not ask the storage.
"""

_ANSWER_S = 3.0  # each: of the mount, and of the daemon if the mount has none


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError."""
    options, positional = options_of(arguments, "", ["json"])
    if len(positional) > 1:
        raise UsageError(f"too many arguments: {' '.join(positional)}")
    mountpoints = [table.resolve(path) for path in positional]
    if not mountpoints:
        mountpoints = [record.mountpoint for record in Registry().running()] or dead()
    found = {mountpoint: _problem(mountpoint) for mountpoint in mountpoints}
    if options:
        for mountpoint, problem in found.items():
            print(json.dumps({"mount_point": mountpoint, "problem": problem or None}))
        return 1 if any(found.values()) or not found else 0
    problems = [problem for problem in found.values() if problem]
    if not mountpoints:
        problems.append("nothing is mounted")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _problem(mountpoint: str) -> str:
    """Returns the fault of a mount, or ""."""
    entry = table.top_at(mountpoint)
    if entry is None or entry.fstype != table.FSTYPE:
        return f"{mountpoint}: {why_not_ours(mountpoint)}"
    code = table.probe(mountpoint, _ANSWER_S, os.statvfs)
    if code in DEAD:
        return f"{mountpoint}: {os.strerror(code)}: {DIED.format(mountpoint)}"
    if code is None:
        # The figures of a file system are the storage's; the counters are the daemon's own.
        try:
            stats.request(mountpoint, _ANSWER_S)
        except MountError as error:
            return str(error)
    return ""
