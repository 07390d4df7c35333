"""A value of the ROCKS store: a run of a file's granules, behind their sums (csrc/wire/sums.h), 8 bytes each.

A run has up to RUN_BYTES and crosses no multiple of them.
"""

from __future__ import annotations

from alluxio_jnifuse._wire import SUM_BYTES, check_sums

# A random read costs so much of the disk; and each run costs RUN_OVERHEAD_BYTES, and some 30 us.
RUN_BYTES = 64 << 10
RUN_GRANULES = RUN_BYTES // SUM_BYTES
# The bytes that the database needs for one: measured are 104, of which the key is 32.
RUN_OVERHEAD_BYTES = 112
SUM = 8


def granules_in(run: bytes) -> int:
    """How many granules it has; the last one may be short."""
    return (len(run) + SUM_BYTES + SUM - 1) // (SUM_BYTES + SUM)


def right_part(run: bytes, identity: int, granule: int, skip: int, count: int) -> memoryview:
    """Returns the bytes that agree with their sums, of `count` granules after the first `skip` of a run at `granule`.

    Whole granules, but for the last one of the file.
    """
    at = granules_in(run) * SUM
    if len(run) < at:
        return memoryview(b"")
    sums = memoryview(run)[:at].cast("Q")[skip : skip + count]
    data = memoryview(run)[at + skip * SUM_BYTES : at + (skip + count) * SUM_BYTES]
    return data[: check_sums(data, identity, granule + skip, sums)]


def is_right(run: bytes, identity: int, granule: int) -> bool:
    """Whether all of it agrees with its sums."""
    count = granules_in(run)
    return len(right_part(run, identity, granule, 0, count)) == len(run) - count * SUM > 0
