"""Runs checks side by side, each in a thread of its own, and waits for none longer than it may take.

A thread that hangs is left behind; it does not keep the process from ending. The findings that it has made count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from alluxio_jnifuse.doctor.finding import WARNING, Examined, Finding, of_error, of_os_error
from alluxio_jnifuse.doctor.subject import Subject
from alluxio_jnifuse.errors import AlluxioFuseError
from alluxio_jnifuse.system.threads import start_thread

_DEADLINE_S = 30.0


class Check(NamedTuple):
    """One row of the table of checks.

    `run`: yields findings as it makes them; any thread. `late`: what it means that it does not end in time.
    `applies`: whether there is something to examine.
    """

    name: str
    run: Callable[[Subject], Iterable[Finding]]
    late: str
    applies: Callable[[Subject], bool]
    deadline_s: float = _DEADLINE_S


def examine(subjects: Sequence[Subject], checks: Sequence[Check]) -> list[Examined]:
    """Runs every check that applies to a subject; the results come in the order of subjects and checks."""
    began = time.monotonic()
    running = [_Running(subject, check) for subject in subjects for check in checks if check.applies(subject)]
    return [each.result(began) for each in running]


class _Running:
    """One check of one subject, under way. The thread appends, and this one reads what is there."""

    def __init__(self, subject: Subject, check: Check) -> None:
        self._subject = subject
        self._check = check
        self._found: list[Finding] = []
        self._thread = start_thread(f"check-{check.name}", self._run)

    def result(self, began: float) -> Examined:
        deadline_s = self._check.deadline_s
        self._thread.join(max(0.0, began + deadline_s - time.monotonic()))
        found = [*self._found]
        if self._thread.is_alive():
            found.append(Finding(WARNING, f"{self._check.late} (the check was given up after {deadline_s:g} s)"))
        return Examined(self._check.name, self._subject.mountpoint, tuple(found))

    def _run(self) -> None:
        try:
            for finding in self._check.run(self._subject):
                self._found.append(finding)
        except AlluxioFuseError as error:
            self._found.append(of_error(error))
        except OSError as error:
            self._found.append(of_os_error(error))
        except Exception as error:
            what = f"the check {self._check.name} failed: {type(error).__name__}: {error}"
            self._found.append(Finding(WARNING, what, remedy="please report it"))
