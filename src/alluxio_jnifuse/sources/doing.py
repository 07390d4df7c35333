"""The step that each thread is at with its fetch, for a person who asks why a reader waits (`alluxio-jnifuse why`).

A source tells it when it turns to a server, when an attempt has failed, and when it waits before the next one. Threads
that nobody asks about (listings in the background) tell it in vain. It costs a look-up in a dictionary each time.

Threads: each writes its own Doing; another one that reads it may see one field older than the next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

_present: dict[int, Doing] = {}  # by the number of the thread


class Doing:
    """One thread's. `server`: "host:port", or in words; "" where the source has not said anything.

    `failed_at`: the server of the last attempt that failed, with `error`; by now the thread may ask another one.
    """

    __slots__ = ("attempt", "error", "failed_at", "fetch", "pausing", "server", "since", "throttled")

    def __init__(self) -> None:
        self.begin(None)

    def begin(self, fetch: Any) -> None:
        """The thread has taken a fetch, or has none any more (None)."""
        self.since = time.monotonic()
        self.server = ""
        self.attempt = 1
        self.error = ""
        self.failed_at = ""
        self.throttled = False  # the server said that it is asked too much
        self.pausing = False
        self.fetch = fetch


class Step(NamedTuple):
    """The same at one moment; `for_s`: since the thread took its fetch."""

    fetch: Any
    for_s: float
    server: str
    attempt: int
    error: str
    failed_at: str
    throttled: bool
    pausing: bool


def present() -> Doing:
    """The calling thread's, which is made with the first call."""
    ident = threading.get_ident()
    doing = _present.get(ident)
    if doing is None:
        doing = _present[ident] = Doing()
    return doing


def fetch() -> Any:
    """Returns the fetch that the calling thread is at; None: it has none."""
    doing = _present.get(threading.get_ident())
    return None if doing is None else doing.fetch


def leave() -> None:
    """The calling thread ends."""
    _present.pop(threading.get_ident(), None)


def steps(idents: Iterable[int]) -> list[Step]:
    """Tells what the threads `idents` do, without those that have no fetch; the oldest comes first."""
    now = time.monotonic()
    found = []
    for ident in idents:
        doing = _present.get(ident)
        fetch = None if doing is None else doing.fetch
        if doing is not None and fetch is not None:
            for_s = max(0.0, now - doing.since)
            found.append(
                Step(
                    fetch,
                    for_s,
                    doing.server,
                    doing.attempt,
                    doing.error,
                    doing.failed_at,
                    doing.throttled,
                    doing.pausing,
                )
            )
    return sorted(found, key=lambda step: -step.for_s)


def asking(server: str) -> str:
    """The thread turns to a server, or to something else that may be slow; returns what it was at before."""
    doing = _present.get(threading.get_ident())
    if doing is None:
        return ""
    before, doing.server = doing.server, server
    return before


def failed(error: str, *, throttled: bool = False) -> None:
    """An attempt has failed, and another one may follow."""
    doing = _present.get(threading.get_ident())
    if doing is not None:
        doing.attempt += 1
        doing.error = error
        doing.failed_at = doing.server
        doing.throttled = throttled


@contextmanager
def pausing() -> Iterator[None]:
    """The thread waits before the next attempt."""
    doing = _present.get(threading.get_ident())
    if doing is None:
        yield
        return
    doing.pausing = True
    try:
        yield
    finally:
        doing.pausing = False
