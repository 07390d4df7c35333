"""Signals as bytes in a pipe, which the main thread reads when it has time for them.

Python's handlers alone would not do: the main thread waits in C, and whatever thread a signal hits, the byte arrives.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType

WAKE = 0  # what `wake` writes where a signal's number would be


class SignalPipe:
    """Receives the signals `numbers` within a `with` block; before and after it they do what they did."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = tuple(numbers)
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writing, False)

    def __enter__(self) -> SignalPipe:
        """Called by the main thread."""
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)  # first, or a signal in between would be lost
        self._before = {number: signal.signal(number, _nothing) for number in self._numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        # A thread may still call `wake`, so the pipe stays open until the process ends.

    def wake(self) -> None:
        """Makes `wait` return WAKE; called by any thread."""
        os.write(self._writing, bytes([WAKE]))

    def wait(self, timeout: float | None = None) -> int | None:
        """The next signal's number, or WAKE, or None after `timeout` s."""
        if not select.select([self._reading], [], [], timeout)[0]:
            return None
        return os.read(self._reading, 1)[0]


class Ended(BaseException):
    """A signal that ends this process, for those who have something to put away before; `die` does as it says."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self._number = number

    def die(self) -> None:
        """Ends this process as the signal does by itself."""
        signal.signal(self._number, signal.SIG_DFL)
        os.kill(os.getpid(), self._number)


@contextmanager
def raised(numbers: Iterable[int]) -> Iterator[None]:
    """Within the block those of the signals `numbers` that would kill this process raise Ended. In the main thread."""
    before = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in before:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in before:
            signal.signal(number, signal.SIG_DFL)


def _raise(number: int, frame: object) -> None:
    raise Ended(number)


def _nothing(*_: object) -> None:
    """The byte in the pipe is all that is needed."""
