"""This machine: its parts, its load, and the cost of one process."""

from __future__ import annotations

import os
import platform
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CPUS = len(os.sched_getaffinity(0))


class Busy(NamedTuple):
    """CPU seconds so far: of all processors, and of this process with the children it has waited for."""

    machine: float
    own: float


def busy() -> Busy:
    """Read twice, its differences tell what others did; time that the hypervisor took counts as theirs."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return Busy((user + nice + system + irq + softirq + steal) / TICKS_PER_S, own)


def cpu_seconds(pid: int) -> float:
    """User and system time of process `pid`, its threads that have ended included (proc_pid_stat(5))."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def precise_cpu_seconds(pid: int) -> float:
    """The same to the nanosecond, without threads that have ended."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def memory(pid: int) -> dict[str, int]:
    """Bytes of process `pid` by the names of smaps_rollup: "Pss", "Pss_Anon", "Pss_Shmem", "Rss" ..."""
    found = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            name, kib = line.split()[:2]
            found[name.rstrip(":")] = int(kib) * 1024
    return found


def descriptors(pid: int) -> int:
    """How many files process `pid` has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def facts() -> dict[str, object]:
    """Returns the facts that a result depends on; nothing that tells whose machine it is."""
    from alluxio_jnifuse import __version__, _core

    return {
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cpus": CPUS,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)),
        "libfuse": _core.libfuse_version(),
        "version": __version__,
        "python": platform.python_version(),
        "user": "root" if os.geteuid() == 0 else "ordinary",
        "huge_pages": _choice("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
    }


def _cpu_model() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _choice(path: str) -> str:
    """The word in brackets of a sysfs file."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().partition("[")[2].partition("]")[0]
    except OSError:
        return "unknown"


def is_root() -> bool:
    return os.geteuid() == 0
