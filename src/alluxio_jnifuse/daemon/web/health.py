"""Whether a mount answers, as far as its daemon can tell without asking it: such a question could hang.

It answers when its session with the kernel lives, the mount is where it was made, and a thread is free to take a
request, or has taken one lately. Requests that wait for the storage hold no thread: as with the command `health`, a
storage that is silent is no fault of the mount.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from alluxio_jnifuse.mounts import table

_STUCK_S = 5.0


class Serving(Protocol):
    """The core of a mount."""

    def wait_end(self, timeout: float) -> bool: ...
    def stats(self) -> Mapping[str, int]: ...


class Health:
    """`look` is called about every second, `problem` when somebody asks. One thread's."""

    def __init__(
        self,
        core: Serving,
        mountpoint: str,
        device: tuple[int, int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._core = core
        self._mountpoint = mountpoint
        self._device = device
        self._clock = clock
        self._requests = -1  # when that was looked at last,
        self._since = clock()  # and since when no thread has been free, and no request has come

    def look(self) -> None:
        """Notes whether requests are taken."""
        stats = self._core.stats()
        requests = sum(number for name, number in stats.items() if name.startswith("op_"))
        if stats["threads_idle"] or requests != self._requests:
            self._requests, self._since = requests, self._clock()

    def problem(self) -> str:
        """Why the mount does not answer, or ""."""
        if self._core.wait_end(0.0):
            return "the session with the kernel has ended"
        entry = table.top_at(self._mountpoint)
        if entry is None:
            return "it is mounted no more"
        if (entry.major, entry.minor) != self._device:
            return "another mount lies over it"
        self.look()
        stuck = self._clock() - self._since
        return f"no thread has been free for {stuck:.0f} s" if stuck >= _STUCK_S else ""
