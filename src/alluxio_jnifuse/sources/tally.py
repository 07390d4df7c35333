"""Numbers of what a source did, in all and by server, for `stat --stats`."""

from __future__ import annotations

import threading
from collections.abc import Iterable

_MOST_SERVERS = 256
_OTHERS = "others"


class Tally:
    """Counts by name. Any thread."""

    def __init__(self, names: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(names, 0)  # lock
        self._servers: dict[str, dict[str, int]] = {}  # lock

    def add(self, name: str, number: int = 1, server: str = "") -> None:
        """Counts; `server`: as the user knows it, or "" where that says nothing."""
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + number
            if server:
                counts = self._servers.get(server)
                if counts is None:
                    # A cluster may have more workers than a report can show.
                    known = server if len(self._servers) < _MOST_SERVERS else _OTHERS
                    counts = self._servers.setdefault(known, {})
                counts[name] = counts.get(name, 0) + number

    def counts(self) -> dict[str, int]:
        """All of them, those that are 0 too."""
        with self._lock:
            return dict(self._counts)

    def by_server(self) -> dict[str, dict[str, int]]:
        """Those that are not 0, by server; from the 257th server on together, as "others"."""
        with self._lock:
            return {server: dict(counts) for server, counts in self._servers.items()}
