"""`umount`, also `unmount`: ends a mount and waits until it has ended."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of, say
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.alive import why_not_ours
from alluxio_jnifuse.mounts.unmount import BUSY, WAIT_S, Busy, unmount

_LONGEST_S = 1_000_000  # what a select takes, and nobody waits for

USAGE = f"""\
Usage: {PROGRAM} umount [-l] [-f] [-w SECONDS] [MOUNT_POINT]

  -l, --lazy                detach a mount in use: files open in passthrough stay readable, others fail
  -f, --force               kill the process and detach the mount
  -w, --wait SECONDS        how long to wait for the process to end (default {WAIT_S:g})
  MOUNT_POINT               default: alluxio.fuse.mount.point

A mount in use stays as it is; the processes that use it are named, as far as they are known.
Exit codes: 0 it is unmounted, 1 it is not, {BUSY} it is in use (as of umount(8)).
"""


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError and AlluxioFuseError."""
    options, positional = options_of(arguments, "flw:", ["force", "lazy", "wait="])
    if len(positional) > 1:
        raise UsageError(f"too many arguments: {' '.join(positional)}")
    wait = WAIT_S
    for name, value in options:
        if name in ("-w", "--wait"):
            wait = _seconds(value)
    mountpoint = table.resolve(positional[0] if positional else _configured())
    flags = {name for name, _ in options}
    try:
        if unmount(
            mountpoint,
            force=bool(flags & {"-f", "--force"}),
            lazy=bool(flags & {"-l", "--lazy"}),
            wait=wait,
            tell=say,
        ):
            return 0
    except Busy as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return BUSY
    print(f"{mountpoint} {why_not_ours(mountpoint)}", file=sys.stderr)
    return 1


def _seconds(text: str) -> float:
    """Raises UsageError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_S:  # nor "nan"
        raise UsageError(f"-w expects seconds, 0 to {_LONGEST_S}, not {text!r}")
    return seconds


def _configured() -> str:
    from alluxio_jnifuse.config.values import MOUNT_POINT, Config

    return Config.load().text(MOUNT_POINT)
