"""Work that several threads need at the same time, and that the first of them does for all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, Status, Unanswered

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class _Flight(Generic[T]):
    __slots__ = ("done", "error", "value")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.value: T | None = None
        self.error: BaseException | None = None


class SingleFlight(Generic[T]):
    """Threads: `run` may be called from any. No lock is held while the work is done."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._flight: _Flight[T] | None = None

    def run(self, known: Callable[[], T | None], work: Callable[[], T], timeout: float) -> T:
        """Returns the value that is `known`, else the outcome of `work`, which must make it known before it returns.

        `known` must not block. A thread that comes during the work waits for its outcome, an error included, for up to
        `timeout` seconds; then UNAVAILABLE. `work` looks after its own time.
        """
        with self._lock:
            value = known()
            if value is not None:
                return value
            flight = self._flight
            if flight is None:
                mine = self._flight = _Flight()
        if flight is None:
            return self._lead(mine, work)
        if not flight.done.wait(max(timeout, 0.0)):
            raise Unanswered(Status.UNAVAILABLE, self._what, f"still under way after {timeout:.3g} s")
        if flight.value is None:
            assert flight.error is not None
            raise flight.error.again() if isinstance(flight.error, CallError) else flight.error
        return flight.value

    def _lead(self, flight: _Flight[T], work: Callable[[], T]) -> T:
        try:
            flight.value = work()
            return flight.value
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                self._flight = None
            flight.done.set()
