"""How much of the machine's processors a container may use."""

from __future__ import annotations

import os

from alluxio_jnifuse.config import cgroups


def find(root: str = cgroups.ROOT, membership: str = cgroups.MEMBERSHIP) -> float | None:
    """The smallest quota that this process is under, in processors; None where there is none."""
    paths = cgroups.files(root, membership, "cpu", "cpu.max", "cpu.cfs_quota_us")
    quotas = [quota for path in paths for quota in [_read(path)] if quota is not None]
    return min(quotas, default=None)


def _read(path: str) -> float | None:
    try:
        with open(path, encoding="ascii") as file:
            words = file.read().split()
        if len(words) == 1:  # version 1 has a file for each
            with open(os.path.join(os.path.dirname(path), "cpu.cfs_period_us"), encoding="ascii") as file:
                words += file.read().split()
        quota, period = map(int, words)
    except (OSError, ValueError):  # none, or the word max
        return None
    return quota / period if quota > 0 and period > 0 else None
