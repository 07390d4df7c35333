"""Ends a mount: unmounts it as umount(8) does, or has its daemon end it, or ends what is left of a dead one."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.alive import is_stale
from alluxio_jnifuse.mounts.holders import describe
from alluxio_jnifuse.mounts.registry import Record, Registry, is_alive, send_signal, start_time
from alluxio_jnifuse.system import trusted

WAIT_S = 120.0  # AlluxioFuse's
BUSY = 32  # the exit code of umount(8) then

# Somebody who cannot be found may be a call that is just ending, as that of a health check.
_TRANSIENT_S, _RETRY_S = 1.0, 0.02

_REMEDY = "end what uses it, or detach it (-l)"


class Busy(MountError):
    """The mount is in use, and stays."""


def unmount(
    mountpoint: str,
    *,
    force: bool = False,
    lazy: bool = False,
    wait: float = WAIT_S,
    tell: Callable[[str], None] = lambda _: None,
) -> bool:
    """Unmounts the resolved path `mountpoint`; returns False when no AlluxioFuse is mounted there.

    A mount in use is left as it is, and Busy is raised. With `lazy` the daemon gets SIGTERM: it waits as long as it was
    told to (alluxio.fuse.umount.timeout), then detaches the mount and ends. `force` kills it and detaches what is left.
    The daemon has up to `wait` s to finish. `tell` receives what is being done. Raises MountError when the mount or the
    daemon is still there afterwards.
    """
    record = Registry().find(mountpoint)
    if record is not None:
        tell(f"Unmount fuse at {mountpoint} (PID: {record.pid})")
        _check_owner(record)
        if force or lazy or not _unmount_at_once(record):
            _signal(record, signal.SIGKILL if force else signal.SIGTERM)
        if not _wait_for_exit(record, wait):
            raise MountError(
                f"process {record.pid} did not end within {wait:g} s",
                where=mountpoint,
                remedy="wait longer (-w SECONDS) or use force (-f)",
            )
        Registry().running()  # removes the record of one that was killed
    entry = table.top_at(mountpoint)
    if entry is None or entry.fstype != table.FSTYPE:
        return record is not None
    if record is None:
        tell(f"Unmount fuse at {mountpoint}")
    if force or lazy or record is not None or is_stale(mountpoint):
        _detach(mountpoint, lazy=True)
    else:
        _unless_busy(mountpoint)
    return True


def unmount_at(mountpoint: str, *, lazy: bool) -> None:
    """Unmounts what is on top at a resolved path, whatever the path means to somebody else by now. Raises OSError.

    An ordinary user's mounts are unmounted by fusermount3, which looks after that itself.
    """
    from alluxio_jnifuse import _core

    if os.geteuid() != 0:
        _core.unmount(os.fsencode(mountpoint), lazy)
        return
    directory = trusted.open_lent_directory(os.path.dirname(mountpoint))
    try:
        _core.unmount(b"/proc/self/fd/%d/%s" % (directory, os.fsencode(os.path.basename(mountpoint))), lazy)
    finally:
        os.close(directory)


def _check_owner(record: Record) -> None:
    try:
        os.kill(record.pid, 0)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise MountError(
            f"is served by process {record.pid} of another user", where=record.mountpoint, remedy="unmount it as root"
        ) from None


def _signal(record: Record, number: signal.Signals) -> None:
    try:
        send_signal(record, number)
    except ProcessLookupError:
        pass


def _unmount_at_once(record: Record) -> bool:
    """Unmounts, whereupon the daemon ends by itself; False when only the daemon can. Raises MountError."""
    entry = table.top_at(record.mountpoint)
    if entry is None:
        return False  # it is in another mount namespace
    if entry.fstype != table.FSTYPE:
        raise MountError(
            f"{entry.source} ({entry.fstype}) is mounted over it",
            where=record.mountpoint,
            remedy=f"unmount that first (umount {record.mountpoint})",
        )
    _unless_busy(record.mountpoint)
    return not _is_mounted_for(record, entry)


def _is_mounted_for(record: Record, entry: table.MountEntry) -> bool:
    """Whether the daemon still has the mount, in a namespace that an unmount here does not reach."""
    try:
        with open(f"/proc/{record.pid}/mountinfo", "rb") as file:
            seen = table.parse(file.read())
    except OSError:
        return False
    return any((other.major, other.minor) == (entry.major, entry.minor) for other in seen)


def _unless_busy(mountpoint: str) -> None:
    """Unmounts. Raises Busy and other MountErrors."""
    deadline = time.monotonic() + _TRANSIENT_S
    while True:
        try:
            _detach(mountpoint, lazy=False)
            return
        except Busy:
            users = describe(mountpoint)
            if users or time.monotonic() > deadline:
                raise Busy(
                    f"target is busy{users and f': {users}'}",
                    where=mountpoint,
                    remedy=_REMEDY,
                ) from None
        time.sleep(_RETRY_S)


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


def _detach(mountpoint: str, lazy: bool) -> None:
    try:
        unmount_at(mountpoint, lazy=lazy)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise MountError(
                "cannot be unmounted: fusermount3 needs /etc/mtab",
                where=mountpoint,
                remedy="as root: ln -s /proc/self/mounts /etc/mtab",
            ) from error
        if error.errno == errno.EBUSY:
            raise Busy("target is busy", where=mountpoint, remedy=_REMEDY) from error
        raise MountError(
            f"cannot be unmounted: {error.strerror}", where=mountpoint, remedy="unmount it as its owner or as root"
        ) from error
