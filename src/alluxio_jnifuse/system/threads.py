"""Threads that do not keep the process from ending: one of them may hang in a storage or a mount."""

from __future__ import annotations

import threading
from collections.abc import Callable

from alluxio_jnifuse.errors import MountError


def start_thread(name: str, target: Callable[..., None], *args: object) -> threading.Thread:
    """Starts a thread that does not keep the process from ending. Raises MountError when there may be no more."""
    thread = threading.Thread(target=target, args=args, name=name, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise MountError(
            f"no thread can be started: {error}", remedy="raise the limit of processes (ulimit -u)"
        ) from None
    return thread
