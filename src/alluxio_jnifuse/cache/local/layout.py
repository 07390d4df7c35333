"""Where a file of the LOCAL store lies beneath its directory, and what its pages take there."""

from __future__ import annotations

from alluxio_jnifuse._core import SUM_BYTES
from alluxio_jnifuse.cache.store import granules

SUMS = ".sums"

# What a page takes beside its bytes: its sums, and what a file system needs for one more run of blocks.
OVERHEAD_BYTES = 4096


def name_of(digest: bytes) -> str:
    """Where the bytes of a file lie, beneath the directory of the store."""
    name = digest.hex()
    return f"{name[:2]}/{name}"


def allocated(stored: int) -> int:
    """What a page with so many bytes takes of the budget."""
    return granules(stored) * SUM_BYTES + OVERHEAD_BYTES if stored else 0
