"""What a parser is here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

MIB = 1 << 20


class Parser(NamedTuple):
    """`prepare` returns what takes an input. That raises nothing but `expected`, or AssertionError for a wrong result.

    `words`: what means something in the format. `most`: bytes of an input. `room`: bytes of memory that it may take.
    """

    prepare: Callable[[], Callable[[bytes], object]]
    expected: tuple[type[Exception], ...] = ()
    words: tuple[bytes, ...] = ()
    most: int = 16 << 10
    room: int = 64 * MIB
