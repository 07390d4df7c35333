"""Whose turn it is on this machine: a test that drops the kernel's caches runs beside no other one, of any session.

The others run beside each other: some of them count what the kernel asks for. Locks of files, which end with their
process.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(directory: Path, *, alone: bool) -> Iterator[None]:
    """For the length of a test: alone, or beside others. A test that waits to be alone lets no other one begin."""
    directory.mkdir(parents=True, exist_ok=True)
    running = os.open(directory / "running.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        gate = os.open(directory / "gate.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            os.close(gate)
        yield
    finally:
        fcntl.flock(running, fcntl.LOCK_UN)  # children that still run have the file open, too
        os.close(running)
