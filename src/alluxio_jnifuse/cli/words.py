"""The parts that all commands share: parsing the words that were typed, and printing."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

PROGRAM = "alluxio-jnifuse"


class UsageError(Exception):
    """The command line cannot be understood; the message says what, the usage follows it."""


def options_of(arguments: Sequence[str], short: str, long: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Options and positional arguments in any order, as getopt(3) does. Raises UsageError."""
    import getopt

    try:
        return getopt.gnu_getopt(list(arguments), short, list(long))
    except getopt.GetoptError as error:
        raise UsageError(str(error)) from None


def say(text: str) -> None:
    """Prints a line. That it cannot be written is no reason not to do what was asked."""
    try:
        print(text, flush=True)
    except OSError:
        give_up_output()


def give_up_output() -> None:
    """Nothing more can be written there: the interpreter shall not try again at its end, and complain."""
    sys.stdout = open(os.devnull, "w", encoding="ascii", errors="replace")  # noqa: SIM115  (nor to fail at the end)
