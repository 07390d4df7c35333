"""The life of a mount on llfuse, with the methods of `_core.Core` that daemon/serve.py calls.

llfuse knows one mount in a process. Its loop runs in a thread of its own, which starts the workers.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import re
import threading
from typing import TYPE_CHECKING, Any

import llfuse

from alluxio_jnifuse import _core
from alluxio_jnifuse.llfuse_binding.operations import Durations, Operations
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.unmount import unmount_at
from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alluxio_jnifuse.sources.base import Attr, Source
    from alluxio_jnifuse.sources.doing import Step

log = logging.getLogger(__name__)

_RETRY_S = 0.05


class LlfuseCore:
    """One mount, which is made, mounted, started and stopped, each once."""

    name = f"llfuse {llfuse.__version__}, libfuse 2"

    def __init__(
        self,
        options: Mapping[str, int],
        source: Source,
        root: Attr,
        obey: Callable[[bytes], Attr | None] | None = None,
    ) -> None:
        """`options` as of `_core.Core`; `obey`: what to ask before the source about a path (daemon/commands.py)."""
        self._options = options
        self._operations = Operations(source, root, options, obey)
        self._mountpoint = ""
        self._device = (0, 0)
        self._answering = threading.Event()
        self._ended = threading.Event()
        self._stopped = threading.Event()
        self._mounted = False
        self._to_forget: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def mount(self, mountpoint: bytes, mount_options: str) -> None:
        """Mounts; the kernel's first request waits for `start`. Raises OSError; libfuse has told stderr why."""
        self._mountpoint = os.fsdecode(mountpoint)
        words = set(re.split(r"(?<!\\),", mount_options))
        for name in ("max_readahead", "max_background", "congestion_threshold"):
            words.add(f"{name}={self._options[name]}")
        if not self._options["sync_read"]:
            words.add("async_read")
        try:
            llfuse.init(self._operations, self._mountpoint, words)
        except RuntimeError as error:
            raise OSError(errno.EINVAL, str(error)) from error
        self._mounted = True
        entry = table.top_at(self._mountpoint)
        if entry is not None:
            self._device = (entry.major, entry.minor)

    def start(self, timeout: float) -> None:
        """Returns when kernel and libfuse have agreed. Raises OSError when they have not within `timeout` s."""
        self._operations.started = self._answering.set
        start_thread("llfuse", self._run)
        start_thread("forget", self._forget)
        while not self._answering.wait(_RETRY_S):
            timeout -= _RETRY_S
            if timeout < 0 or self._ended.is_set():
                raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))

    def device(self) -> tuple[int, int]:
        """The number (major, minor) of the mount."""
        return self._device

    @property
    def open_handles(self) -> int:
        """How many files and directories the kernel has open."""
        return len(self._operations.handles)

    def features(self) -> frozenset[str]:
        """libfuse 2 asks for none of those that `alluxio-jnifuse version` names."""
        return frozenset()

    def wait_end(self, timeout: float) -> bool:
        """Returns whether the mount has ended, after `timeout` s at the latest; < 0: waits for ever."""
        return self._ended.wait(None if timeout < 0 else timeout)

    def stop(self, timeout: float = 10.0) -> bool:
        """Ends the mount. False: after `timeout` s a worker was still in the source."""
        ended = True
        if self._mounted:
            self._detach()
            ended = self._ended.wait(timeout)
        self._stopped.set()
        return ended

    def next_log(self, timeout: float) -> tuple[int, int, str] | None:
        """There are no messages but Python's. Raises _core.Stopped at the end."""
        if self._stopped.wait(timeout):
            raise _core.Stopped
        return None

    def stats(self) -> dict[str, int]:
        """By the names of docs/METRICS.md: those of operations, and what is held."""
        found = dict.fromkeys((name for name, _ in _core.counter_rows()), 0)
        operations = self._operations
        with llfuse.lock:
            found.update({name: count for name, count in operations.counts.items() if name in found})
            known = 0 if self._ended.is_set() else len(operations.nodes)
            found.update(inodes_born=operations.nodes.born, inodes_died=operations.nodes.born - known)
        return found

    def times(self) -> dict[str, tuple[int, tuple[int, ...], dict[str, int]]]:
        """Those of operations, as of `_core.Core`; there are no fetches."""
        with llfuse.lock:
            known = self._operations.durations
            every = {name: known[name] if name in known else Durations() for name, _ in _core.time_rows()}
            return {name: (each.sum_ns, tuple(each.ranges), dict(each.errors)) for name, each in every.items()}

    def waiting(self, most: int) -> tuple[list[Any], list[Any]]:
        """See `_core.Core`: here requests wait in workers, which llfuse does not show, and there are no fetches."""
        return [], []

    def invalidate(self, path: bytes) -> None:
        """The kernel forgets soon what it knows of `path` and everything below it."""
        self._to_forget.put(path)

    def serve_directory(self, fd: int, pin_contents: bool, home_dev: int, hide_dev: int, tells_absence: bool) -> None:
        """Every request goes to the source here."""

    def offer_list(self, path: bytes, entries: Any, names: bytes, age: float) -> None:
        """Nothing keeps listings here."""

    def expire(self, age: float) -> None:
        """Nothing keeps pages here but the kernel."""

    def _run(self) -> None:
        try:
            llfuse.main(workers=self._options["max_threads"], handle_signals=False)
        except Exception as error:
            log.error("llfuse has ended: %r", error)
        finally:
            llfuse.close(unmount=False)
            self._operations.end()
            self._ended.set()

    def _forget(self) -> None:
        """Tells the kernel what to forget, to the end of the process.

        llfuse's queue is limited, and the kernel takes no name out of a directory before look-ups in it are answered:
        nobody who answers one may wait here, nor for a lock that is held here.
        """
        while True:
            path = self._to_forget.get()
            with llfuse.lock:
                nodes = self._operations.nodes
                numbers = [node.number for node in nodes.below(path)]
                names = nodes.names_below(path)
            for number in numbers:
                llfuse.invalidate_inode(number)
            for number, name in names:
                llfuse.invalidate_entry(number, name)

    def _detach(self) -> None:
        """Unmounts lazily what is still mounted: that ends llfuse's loop."""
        entry = table.top_at(self._mountpoint)
        if entry is None or (entry.major, entry.minor) != self._device or self._ended.is_set():
            return
        try:
            unmount_at(self._mountpoint, lazy=True)
        except OSError as error:
            log.warning("cannot unmount %s: %s", self._mountpoint, error.strerror)


class LlfuseWorkers:
    """llfuse's own workers, which ask the source; they begin and end with its loop."""

    def __init__(self, core: LlfuseCore) -> None:
        self._core = core

    @property
    def open_handles(self) -> int:
        """How many files and directories are open."""
        return self._core.open_handles

    def tend(self) -> None:
        """llfuse's loop has all of its workers."""

    def steps(self) -> list[Step]:
        """They are not told apart."""
        return []

    def start(self) -> None:
        """They have begun with the mount."""

    def stop(self, timeout: float) -> int:
        """Returns 1 if some still are in the source after `timeout` s, else 0."""
        return int(not self._core.wait_end(timeout))
