"""auto_unmount: a small process that takes the mount away when the daemon dies without doing so.

fusermount3 offers the same, but releases differ in how it is asked for and in what it dares to unmount. The watcher
is forked before the daemon has threads, holds nothing of its files, and waits for the end of a pipe: the daemon says
"mounted MAJOR MINOR", and "done" when it has unmounted itself. An end without "done" is a death.
"""

from __future__ import annotations

import os
from typing import NoReturn

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import table


class Watcher:
    """The daemon's end of the pipe."""

    def __init__(self, mountpoint: str) -> None:
        """Forks. Raises MountError when there may be no more processes."""
        reading, self._fd = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
        except OSError as error:
            raise MountError(f"no process can be started: {error.strerror}") from error
        if pid == 0:
            _watch(reading, mountpoint)
        os.close(reading)

    def mounted(self, device: tuple[int, int]) -> None:
        """From here on a death unmounts what has this device number (major, minor)."""
        self._send("mounted {} {}\n".format(*device))

    def done(self) -> None:
        """Nothing is left to unmount; the watcher ends."""
        self._send("done\n")
        os.close(self._fd)

    def _send(self, text: str) -> None:
        try:
            os.write(self._fd, text.encode("ascii"))
        except BrokenPipeError:
            pass  # somebody killed the watcher


def _watch(pipe: int, mountpoint: str) -> NoReturn:
    try:
        os.setsid()  # a signal to the daemon's group is not for us
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in (1, 2, pipe):
                try:
                    os.close(int(name))
                except OSError:
                    pass  # the listing's own
        heard = b""
        while True:
            received = os.read(pipe, 4096)
            if not received:
                break
            heard += received
        lines = heard.decode("ascii").splitlines()
        if lines and lines[0].startswith("mounted ") and lines[-1] != "done":
            major, minor = lines[0].split()[1:]
            _take_away(mountpoint, (int(major), int(minor)))
    finally:
        os._exit(0)


def _take_away(mountpoint: str, device: tuple[int, int]) -> None:
    from alluxio_jnifuse import _core

    entry = table.top_at(mountpoint)
    if entry is not None and (entry.major, entry.minor) == device:
        _core.unmount(os.fsencode(mountpoint), True)
