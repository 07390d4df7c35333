"""The counters of requests to a bucket, for `stat --stats`. docs/METRICS.md has the same words."""

from __future__ import annotations

from alluxio_jnifuse.sources.tally import Tally

COUNTERS = {
    "get": "GetObject requests",
    "list": "ListObjects requests: pages of listings, and look-ups of one name",
    "head": "HeadObject requests: what symbolic links of OSS stand for",
    "bytes": "bytes of objects received",
    "connections": "connections opened",
    "retries": "requests sent again after one failed, or what came was not right",
    "paused_ms": "milliseconds that were let pass before these, over all of them",
    "stalls": "of these, because not a byte came for a while",
    "throttled": "of these, because the bucket is asked too much",
    "checked": "whole objects whose CRC-64 was compared with that of OSS",
    "damaged": "of these, those that differed",
    "renewals": "times that expired or refused credentials were replaced during a request",
}


class Counters(Tally):
    """Counts by the names of COUNTERS, all for one host. Any thread."""

    def __init__(self, host: str = "") -> None:
        super().__init__(COUNTERS)
        self._host = host

    def add(self, name: str, number: int = 1, server: str = "") -> None:
        super().add(name, number, server or self._host)
