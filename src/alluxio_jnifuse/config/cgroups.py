"""Where the limits of this process are written: its control groups and all above them (cgroups(7))."""

from __future__ import annotations

import os
from collections.abc import Iterator

ROOT = "/sys/fs/cgroup"
MEMBERSHIP = "/proc/self/cgroup"


def files(root: str, membership: str, controller: str, unified: str, legacy: str) -> Iterator[str]:
    """Paths that a limit may have: `unified` is the file's name in version 2, `legacy` in version 1.

    In a container `root` may be the container's own part of the hierarchy while `membership` names the whole path: not
    every one of these files is there.
    """
    try:
        with open(membership, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers == "":
            base, name = root, unified
        elif controller in controllers.split(","):
            base, name = os.path.join(root, controller), legacy
        else:
            continue
        while True:
            yield os.path.join(base, path.strip("/"), name)
            if path.strip("/") == "":
                break
            path = os.path.dirname(path)
