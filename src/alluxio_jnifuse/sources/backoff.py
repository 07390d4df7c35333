"""Pauses between attempts: each twice as long as the one before, up to a limit, and by chance somewhat shorter."""

from __future__ import annotations

import random


class Backoff:
    """Gives one pause after the other, seconds. One thread's.

    `least`: the part of a pause that chance leaves; with 1 it takes nothing, with 0 there may be no pause at all.
    """

    __slots__ = ("_first", "_least", "_longest", "_pause")

    def __init__(self, first: float, longest: float, *, least: float = 1.0) -> None:
        self._first = self._pause = first
        self._longest = longest
        self._least = least

    def next(self) -> float:
        """The pause that is due now."""
        pause, self._pause = self._pause, min(2 * self._pause, self._longest)
        return pause * random.uniform(self._least, 1.0)

    def reset(self) -> None:
        """An attempt has been of use: it begins with the first pause again."""
        self._pause = self._first
