"""Ends a mount, whoever serves it: through its daemon when there is one, else directly."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable

from alluxio_jnifuse import mounttable
from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.registry import Record, Registry, is_alive, start_time

WAIT_S = 120.0  # AlluxioFuse's


def unmount(
    mountpoint: str, *, force: bool = False, wait: float = WAIT_S, tell: Callable[[str], None] = lambda _: None
) -> bool:
    """Unmounts the resolved path `mountpoint`; returns False when no AlluxioFuse is mounted there.

    The daemon gets SIGTERM and up to `wait` s to finish. `force` kills it and detaches what is left. `tell` receives
    what is being done. Raises MountError when the mount is still there afterwards.
    """
    record = Registry().find(mountpoint)
    if record is not None:
        tell(f"Unmount fuse at {mountpoint} (PID: {record.pid})")
        _end_daemon(record, force, wait)
        Registry().running()  # removes the record of one that was killed
    entry = mounttable.top_at(mountpoint)
    if entry is None or entry.fstype != mounttable.FSTYPE:
        return record is not None
    if record is None:
        tell(f"Unmount fuse at {mountpoint}")
    _detach(mountpoint, lazy=force or record is not None or _is_dead(mountpoint))
    return True


def _end_daemon(record: Record, force: bool, wait: float) -> None:
    try:
        os.kill(record.pid, signal.SIGKILL if force else signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError:
        raise MountError(
            f"is served by process {record.pid} of another user", where=record.mountpoint, remedy="unmount it as root"
        ) from None
    if not _wait_for_exit(record, wait):
        raise MountError(
            f"process {record.pid} did not end within {wait:g} s",
            where=record.mountpoint,
            remedy="wait longer (-w SECONDS) or use force (-f)",
        )


def _wait_for_exit(record: Record, wait: float) -> bool:
    """Whether the process of `record` ended within `wait` s."""
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return True
    except OSError:  # Linux < 5.3, or no descriptor left
        deadline = time.monotonic() + wait
        while is_alive(record) and time.monotonic() < deadline:
            time.sleep(0.02)
        return not is_alive(record)
    try:
        # A zombie's other threads may still run: the descriptor tells when the last one has ended.
        is_another = start_time(record.pid) not in (None, record.start_time)
        return is_another or bool(select.select([pidfd], [], [], wait)[0])
    finally:
        os.close(pidfd)


def _is_dead(mountpoint: str) -> bool:
    """Whether nobody serves the mount any more."""
    from alluxio_jnifuse.mountpoint import is_stale

    return is_stale(mountpoint)


def _detach(mountpoint: str, lazy: bool) -> None:
    from alluxio_jnifuse import _core

    try:
        _core.unmount(os.fsencode(mountpoint), lazy)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise MountError(
                "cannot be unmounted: fusermount3 needs /etc/mtab",
                where=mountpoint,
                remedy="as root: ln -s /proc/self/mounts /etc/mtab",
            ) from error
        busy = error.errno == errno.EBUSY
        raise MountError(
            "is busy" if busy else f"cannot be unmounted: {error.strerror}",
            where=mountpoint,
            remedy="close its files, or detach it (-f)" if busy else "unmount it as its owner or as root",
        ) from error
