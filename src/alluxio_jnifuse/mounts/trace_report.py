"""The summary of a trace: how files were read, by pattern and by process, and which of them stand out.

A trace is what `trace` writes: a line for each use of a file (uses.py), between a line at its beginning and one at its
end. A trace that was cut off has no last one. Totals of the mount, which the last line tells, count also what was
fetched ahead of opens that never came.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts.uses import PATTERNS, Use, amount, amplification, use_of

FORMAT = 1
STANDING_OUT = 10
SLOW_S = 0.001  # a wait that is worth to be told of


class Begin(NamedTuple):
    """The first line."""

    trace: int  # FORMAT
    mount: str
    version: str
    began: float  # seconds since 1970


class End(NamedTuple):
    """The last line. Bytes are those of the whole mount in between, -1: it did not tell them."""

    ended: float  # seconds since 1970
    lost: int  # uses that found no room
    read_bytes: int = -1
    fetched_bytes: int = -1


class Row(NamedTuple):
    """Uses of one kind, added up."""

    uses: int = 0
    opens: int = 0
    reads: int = 0
    read_bytes: int = 0
    fetched_bytes: int = 0
    waited: float = 0.0
    failed: int = 0

    def plus(self, use: Use) -> Row:
        return Row(
            self.uses + 1,
            self.opens + use.opens,
            self.reads + use.reads,
            self.read_bytes + use.read_bytes,
            self.fetched_bytes + use.fetched_bytes,
            self.waited + use.waited,
            self.failed + use.failed,
        )

    def as_told(self) -> dict[str, Any]:
        return {**self._asdict(), "amplification": amplification(self.fetched_bytes, self.read_bytes)}


class Report(NamedTuple):
    begin: Begin
    end: End | None  # None: the trace was cut off
    total: Row
    by_pattern: dict[str, Row]
    by_process: dict[tuple[str, int], Row]  # name, pid
    wasteful: list[Use]  # most was fetched of them beyond what was read, first to last
    slow: list[Use]  # their requests waited longest

    def as_told(self) -> dict[str, Any]:
        """The same as an object: sizes in bytes, times in seconds."""
        return {
            "mount": self.begin.mount,
            "began": self.begin.began,
            "end": None if self.end is None else self.end._asdict(),
            "total": self.total.as_told(),
            "by_pattern": {name: row.as_told() for name, row in self.by_pattern.items()},
            "by_process": [
                {"process": name, "pid": pid, **row.as_told()} for (name, pid), row in self.by_process.items()
            ],
            "wasteful": [use._asdict() for use in self.wasteful],
            "slow": [use._asdict() for use in self.slow],
        }


class _Most:
    """The uses that have most of something."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Use]] = []
        self._number = 0

    def offer(self, amount: float, use: Use) -> None:
        self._number += 1
        entry = (amount, -self._number, use)  # of equal ones the first
        if len(self._heap) < STANDING_OUT:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def found(self) -> list[Use]:
        return [use for _, _, use in sorted(self._heap, reverse=True)]


def report_of(lines: Iterable[bytes], where: str) -> Report:
    """Adds a trace up; memory is taken by the processes in it, not by the lines. Raises MountError."""
    begin: Begin | None = None
    end: End | None = None
    total = Row()
    patterns = dict.fromkeys(PATTERNS, Row())
    processes: dict[tuple[str, int], Row] = {}
    wasteful, slow = _Most(), _Most()
    for number, line in enumerate(lines, 1):
        try:
            told = json.loads(line)
            if not isinstance(told, dict):
                raise ValueError("not an object")
            if begin is None:
                begin = _begin(told)
            elif "ended" in told:
                end = _end(told)
            else:
                use = use_of(told)
                total = total.plus(use)
                patterns[use.pattern] = patterns[use.pattern].plus(use)
                key = (use.process, use.pid)
                processes[key] = processes.get(key, Row()).plus(use)
                if use.fetched_bytes > use.read_bytes:
                    wasteful.offer(use.fetched_bytes - use.read_bytes, use)
                if use.waited >= SLOW_S:
                    slow.offer(use.waited, use)
        except (ValueError, KeyError, RecursionError) as error:
            if not line.endswith(b"\n") and begin is not None:
                break  # it is being written, or was cut off
            raise MountError(f"line {number} is none of a trace: {error}", where=where) from error
    if begin is None:
        raise MountError("is empty: no trace", where=where)
    seen = {name: row for name, row in patterns.items() if row.uses}
    ordered = dict(sorted(processes.items(), key=lambda item: -item[1].read_bytes))
    return Report(begin, end, total, seen, ordered, wasteful.found(), slow.found())


def _begin(told: dict[str, Any]) -> Begin:
    if told.get("trace") != FORMAT or not isinstance(told.get("mount"), str):
        raise ValueError("it does not begin as one, or is of another release")
    return Begin(FORMAT, told["mount"], str(told.get("version", "")), float(amount(told.get("began", 0))))


def _end(told: dict[str, Any]) -> End:
    read, fetched = (told[name] if told[name] == -1 else amount(told[name]) for name in ("read_bytes", "fetched_bytes"))
    return End(amount(told["ended"]), int(amount(told["lost"])), int(read), int(fetched))
