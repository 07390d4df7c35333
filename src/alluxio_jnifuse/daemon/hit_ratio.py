"""The line of the log that AlluxioFuse's users tune their cache by.

`read: cached {bytes} bytes, missed {bytes} bytes, ratio {r}` after the 500th READ of the kernel, after each 10,000
more, and every two minutes while anything is read. The figures are those of AlluxioFuse: "missed" bytes were fetched
from the storage, and the ratio is cached / (cached + missed + 1), since the mount. Reads of the kernel itself, in
passthrough, are in neither number; a second line has the files and bytes that were opened that way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from alluxio_jnifuse.daemon.logs import LOGGER

_FIRST, _EACH = 500, 10_000  # READs, as in AlluxioFuse
_EVERY_S = 120.0


class HitRatio:
    """`stats` gives the counters of a mount and its source. One thread's."""

    def __init__(self, stats: Callable[[], Mapping[str, int]]) -> None:
        self._stats = stats
        self._due = _FIRST
        self._told = (0, 0, 0)
        self._told_at = time.monotonic()

    def look(self, now: float) -> None:
        """Writes the line if it is time to; `now`: monotonic, s."""
        stats = self._stats()
        reads = stats["op_read"]
        seen = (reads, stats["open_passthrough"], stats["open_passthrough_bytes"])
        if reads < self._due and (seen == self._told or now < self._told_at + _EVERY_S):
            return
        if reads >= self._due:
            self._due += (reads - self._due) // _EACH * _EACH + _EACH
        self._told, self._told_at = seen, now
        cached, missed = cached_and_missed(stats)
        ratio = cached / (cached + missed + 1)
        LOGGER.info("read: cached %d bytes, missed %d bytes, ratio %.6f", cached, missed, ratio)
        if seen[1]:
            LOGGER.info("read by the kernel itself: %d files, %d bytes opened", seen[1], seen[2])


def cached_and_missed(stats: Mapping[str, int]) -> tuple[int, int]:
    """Bytes found in the client cache, and bytes fetched from the storage; of the disk's cache where there is one."""
    if "cache_hit_bytes" in stats:
        return stats["cache_hit_bytes"] + stats["read_borrowed_bytes"], stats["cache_miss_bytes"]
    return stats["read_hit_bytes"], stats["fetch_bytes"]
