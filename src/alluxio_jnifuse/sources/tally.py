"""Numbers of what a source did, for `stat --stats`."""

from __future__ import annotations

import threading
from collections.abc import Iterable


class Tally:
    """Counts by name. Any thread."""

    def __init__(self, names: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(names, 0)  # lock

    def add(self, name: str, number: int = 1) -> None:
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + number

    def counts(self) -> dict[str, int]:
        """All of them, those that are 0 too."""
        with self._lock:
            return dict(self._counts)
