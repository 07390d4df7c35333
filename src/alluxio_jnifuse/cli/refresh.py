"""`refresh`: what a mount shows of paths is what their storage says now."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from alluxio_jnifuse.cli.words import PROGRAM, UsageError, options_of
from alluxio_jnifuse.errors import AlluxioFuseError
from alluxio_jnifuse.mounts.refresh import refresh

USAGE = f"""\
Usage: {PROGRAM} refresh PATH...

  PATH                      a file or directory of a running mount; the mount and the kernel forget what they know
                            of it and of everything beneath it, whatever attr_timeout, entry_timeout and the
                            metadata cache say, and the next look asks the storage

Open files, working directories and mounts beneath PATH stay as they are. A user who may read the directory may
refresh it.
"""


def run(arguments: Sequence[str]) -> int:
    """Returns the exit code. Raises UsageError."""
    paths = options_of(arguments, "", [])[1]
    if not paths:
        raise UsageError("no PATH is named")
    failed = False
    for path in paths:
        try:
            refresh(path)
        except (AlluxioFuseError, OSError) as error:
            print(f"{PROGRAM}: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0
