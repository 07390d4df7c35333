"""Programs that use a mount, as /proc shows them: they run, wait for the mount, or wait for something else.

A thread that waits says in /proc/PID/task/TID/wchan in which function of the kernel. Waits for an answer of the daemon
are in functions of the FUSE driver, and waits for a page that is being read are in those of the page cache; the page
may be of another file system, too.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from alluxio_jnifuse.system.locales import escaped

_OF_FUSE = ("request_wait_answer", "fuse_", "__fuse_")
_OF_PAGES = ("folio_wait", "wait_on_page", "filemap_", "__folio_lock", "folio_lock", "__lock_page")
RUNS, MOUNT, PAGES, OTHER = "runs", "mount", "pages", "other"


class Reader(NamedTuple):
    """One process, over all looks. Shares are of what its threads did that did anything; their sum is 1, or 0."""

    pid: int
    name: str
    runs: float
    mount: float  # waits for the daemon
    pages: float  # waits for pages that the kernel reads
    other: float


class Looks:
    """Looks at some processes again and again. One thread's."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._seen: dict[int, dict[int, Counter[str]]] = {pid: {} for pid in pids}  # by process and thread

    def look(self) -> None:
        """Notes what each thread does now."""
        for pid, threads in self._seen.items():
            try:
                tids = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
            except OSError:
                continue  # it has ended
            for tid in tids:
                state = _state(pid, tid)
                if state:
                    threads.setdefault(tid, Counter())[state] += 1

    def readers(self) -> list[Reader]:
        """Adds up what was seen."""
        found = []
        for pid, threads in self._seen.items():
            total: Counter[str] = Counter()
            for seen in threads.values():
                if seen[RUNS] or seen[MOUNT] or seen[PAGES]:  # others of a pool sleep all the time
                    total.update(seen)
            number = sum(total.values())
            shares: Mapping[str, float] = {each: total[each] / max(number, 1) for each in (RUNS, MOUNT, PAGES, OTHER)}
            found.append(Reader(pid, name_of(pid), shares[RUNS], shares[MOUNT], shares[PAGES], shares[OTHER]))
        return found


def name_of(pid: int) -> str:
    """The name of a process, which a terminal takes for nothing else; "" when it has ended."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return escaped(os.fsdecode(file.read().rstrip(b"\n")))
    except OSError:
        return ""


def process_of(tid: int) -> int:
    """The process of a thread; 0 when it has ended, or cannot be seen."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Tgid:"):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


def _state(pid: int, tid: int) -> str:
    """Returns what a thread does now; "" when that cannot be seen."""
    where = f"/proc/{pid}/task/{tid}"
    try:
        with open(f"{where}/stat", "rb") as file:
            state = file.read().rpartition(b")")[2].split()[0]
        if state == b"R":
            return RUNS
        with open(f"{where}/wchan", encoding="ascii") as text:
            function = text.read()
    except (OSError, IndexError, ValueError):
        return ""
    if function.startswith(_OF_FUSE):
        return MOUNT
    if function.startswith(_OF_PAGES):
        return PAGES
    return OTHER
