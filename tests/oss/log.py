"""What was asked of the server, and how many bytes of objects it has sent."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, replace

_MOST = 200_000  # requests that are remembered; all are counted


@dataclass
class Entry:
    """One request, and what became of it."""

    method: str
    operation: str  # see operations.py
    bucket: str
    key: str
    query: dict[str, str]
    range: str  # the header, as it came
    host: str  # the header
    signature: str  # "V1", "V4", "V1 URL", "V4 URL", "" when there was none
    connection: int  # counted from 1
    status: int = 0  # of the answer; 0: none was begun
    code: str = ""  # of an error
    sent: int = 0  # bytes of the object
    fault: str = ""  # the name of what happened to it; see faults.py


class Log:
    """Any thread. An entry is there before its answer is sent, and no byte is received that was not counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=_MOST)
        self._counts: Counter[str] = Counter()

    def connected(self) -> None:
        """A connection was accepted."""
        with self._lock:
            self._counts["connections"] += 1

    def asked(self, entry: Entry) -> None:
        """A request came."""
        with self._lock:
            self._entries.append(entry)
            self._counts[entry.operation] += 1

    def sending(self, entry: Entry, count: int) -> None:
        """Bytes of an object are about to be sent; fewer than none: they were not."""
        with self._lock:
            entry.sent += count
            self._counts["bytes_sent"] += count

    def counts(self) -> Counter[str]:
        """Requests by operation, `connections`, `bytes_sent`."""
        with self._lock:
            return self._counts.copy()

    def entries(self) -> list[Entry]:
        """The requests, as they are now."""
        with self._lock:
            return [replace(entry) for entry in self._entries]

    def reset(self) -> None:
        """Forgets all of it."""
        with self._lock:
            self._entries.clear()
            self._counts.clear()
