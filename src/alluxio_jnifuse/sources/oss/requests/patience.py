"""How often and for how long a request is sent again: exponential back-off with full jitter, within a limit.

The limit begins anew when something has come, which is more than a byte. The pause that a server asks for (Retry-After)
is the least. Nothing is gained by repeating often what no server of OSS would say: that has a number of attempts, too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import SourceError
from alluxio_jnifuse.sources import doing
from alluxio_jnifuse.sources.backoff import Backoff
from alluxio_jnifuse.sources.oss.http.connection import Malformed, Stalled
from alluxio_jnifuse.sources.oss.http.pool import Closed
from alluxio_jnifuse.sources.oss.requests.errors import Refused, describe, is_transient

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from alluxio_jnifuse.sources.oss.counters import Counters

_FIRST_S = 0.1  # the longest first pause, doubled each time
_LONGEST_S = 5.0
_MOST_MALFORMED = 5


class Patience:
    """For one read, look-up or listing of `where`; `closed` is set when the mount ends. One thread's.

    `check` raises when nobody wants the answer any more. `since`: when that began, if it was not now.
    """

    def __init__(
        self,
        limit_s: float,
        where: str,
        closed: threading.Event,
        counters: Counters,
        check: Callable[[], object] | None = None,
        since: float | None = None,
    ) -> None:
        self._check = check
        self._limit_s = limit_s
        self._where = where
        self._closed = closed
        self._counters = counters
        self._pauses = Backoff(_FIRST_S, _LONGEST_S, least=0.0)
        self.came(since)

    def came(self, when: float | None = None) -> None:
        """There was an answer, or some of it; `when`: if that was not now."""
        self._deadline = (time.monotonic() if when is None else when) + self._limit_s
        self._pauses.reset()
        self._malformed = 0

    def failed(self, error: Exception, check: Callable[[], object] | None = None) -> None:
        """Waits until the request may be sent again; raises when it may not: `error` itself, or SourceError.

        `check`: as that of the constructor, which it takes the place of.
        """
        check = check or self._check
        if not is_transient(error):
            raise error
        self._malformed += isinstance(error, Malformed)
        least = error.retry_after_s if isinstance(error, Refused) else 0.0
        pause = max(least, self._pauses.next())
        if self._malformed >= _MOST_MALFORMED:
            raise SourceError(f"{describe(error)}, {self._malformed} times", where=self._where) from error
        left = self._deadline - time.monotonic()
        if left <= 0 or least > left:
            raise SourceError(f"given up after {self._limit_s:g} s: {describe(error)}", where=self._where) from error
        throttled = isinstance(error, Refused) and error.throttled
        self._counters.add("retries")
        if isinstance(error, Stalled):
            self._counters.add("stalls")
        if throttled:
            self._counters.add("throttled")
        doing.failed(describe(error), throttled=throttled)
        if check is not None:
            check()
        with doing.pausing():
            ended = self._closed.wait(min(pause, left))
        self._counters.add("paused_ms", round(min(pause, left) * 1000))
        if ended:
            raise Closed("the mount ends")
        if check is not None:
            check()


class Impatience(Patience):
    """Repeats nothing."""

    def failed(self, error: Exception, check: Callable[[], object] | None = None) -> None:
        raise error
