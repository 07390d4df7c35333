"""The connections to one endpoint: those that are used, and idle ones for the next requests.

Threads: any. One lock, under which nothing is sent, received or waited for.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from alluxio_jnifuse.sources.oss.http.connection import Broken

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.oss.counters import Counters
    from alluxio_jnifuse.sources.oss.http.connection import Connection
    from alluxio_jnifuse.sources.oss.http.route import Route

_IDLE_S = 50.0  # OSS closes a connection that was idle for a minute
_FRESH_S = 1.0  # one that was used a moment ago is not looked at: most likely it is as it was left
_MOST_IDLE = 64  # more than there are fetchers


class Closed(Broken):
    """The mount ends."""


class Pool:
    """See the module's docstring."""

    def __init__(self, route: Route, counters: Counters) -> None:
        self._route = route
        self._counters = counters
        self._lock = threading.Lock()  # guards what follows
        self._idle: list[tuple[float, Connection]] = []  # since when; the one used last at the end
        self._busy: set[Connection] = set()
        self._closed = False

    def take(self, *, fresh: bool = False) -> Connection:
        """A connection that is the caller's until he gives it back; a new one if that is wanted. Raises Broken."""
        while not fresh:
            with self._lock:
                if self._closed or not self._idle:
                    break
                since, connection = self._idle.pop()
                self._busy.add(connection)
            idle_s = time.monotonic() - since
            if idle_s < _FRESH_S or (idle_s < _IDLE_S and connection.is_quiet()):
                return connection
            self.give_back(connection, reusable=False)
        connection = self._route.connect()
        self._counters.add("connections")
        with self._lock:
            if not self._closed:
                self._busy.add(connection)
                return connection
        connection.close()
        raise Closed("the mount ends")

    def give_back(self, connection: Connection, *, reusable: bool) -> None:
        """Takes a connection back. One that cannot be used again is closed, and those that were idle for long are."""
        now = time.monotonic()
        ended: list[Connection] = []
        with self._lock:
            self._busy.discard(connection)
            while self._idle and now - self._idle[0][0] >= _IDLE_S:
                ended.append(self._idle.pop(0)[1])
            if reusable and not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append((now, connection))
            else:
                ended.append(connection)
        for each in ended:
            each.close()

    def close(self) -> None:
        """Ends what is under way: who waits for a connection fails at once. Idempotent."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for connection in self._busy:
                connection.abort()  # does not wait
        for _, connection in idle:
            connection.close()
