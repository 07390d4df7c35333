"""What a crash of the daemon leaves: credentials and data lie in its memory."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.children import Children
from harness.mounting import Mounts

pytestmark = pytest.mark.fuse

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's daemon has the limit alone")

_PTRACE_SEIZE = 0x4206  # linux/ptrace.h


def limit_of(pid: int) -> list[str]:
    """Soft and hard limit of a process's cores."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith("Max core")).split()[4:6]


def without_capabilities(function: Callable[[], int]) -> int:
    """Calls a function as a root that uses none of his capabilities."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # capset(2), version 3
    assert libc.capget(header, sets) == 0
    sets[0] = sets[3] = 0  # the effective ones
    assert libc.capset(header, sets) == 0
    return function()


def seize(pid: int) -> int:
    """The errno of looking into a process as a debugger does."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    done = libc.ptrace(_PTRACE_SEIZE, pid, None, None)
    return 0 if done == 0 else ctypes.get_errno()


def test_no_core(private: Path, mounts: Mounts) -> None:
    """A crash leaves no file, unless whoever looks for a fault says that he wants one."""
    (private / "source").mkdir()
    assert limit_of(mounts.mount(private / "source").pid) == ["0", "0"]
    debugged = mounts.mount(private / "source", "", {"alluxio.fuse.debug.enabled": "true"})
    assert limit_of(debugged.pid) == limit_of(os.getpid())


@as_root
def test_nobody_looks_in(private: Path, mounts: Mounts, children: Children) -> None:
    """The memory of root's daemon is closed to other processes without privileges, and to what core_pattern names."""
    (private / "source").mkdir()
    mounted = mounts.mount(private / "source")
    debugged = mounts.mount(private / "source", "", {"alluxio.fuse.debug.enabled": "true"})
    assert children.run(without_capabilities, lambda: seize(debugged.pid)) == 0
    assert children.run(without_capabilities, lambda: seize(mounted.pid)) == 1  # EPERM
    assert mounted.stats()["op_read"] == 0
