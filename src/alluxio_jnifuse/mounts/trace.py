"""Has a running mount tell what is done with its files: which are opened, in their order, or how each was read.

That is an ioctl(2) on a directory of it (csrc/base/types.h). The mount keeps what was not taken yet, up to a limit, and
counts what found no room. It never waits.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import NamedTuple

from alluxio_jnifuse import _core
from alluxio_jnifuse.errors import MountError

OPENS, USES = _core.IOC_TRACE, _core.IOC_TRACE_USES

_HEADER = struct.Struct("QI")  # `lost` and `bytes` of struct ajf_traced
_LENGTH = struct.Struct("I")  # of an item, before it
_REFUSED = {
    errno.EPERM: ("its files are another user's to know of", "record as the user who mounted it, or as root"),
    errno.EBUSY: ("another process records already", "end that one first"),
    errno.ENOSYS: ("recording needs Linux 5.3", ""),
    errno.ENOTTY: ("is of a release that cannot record, or on the second binding (llfuse)", "mount it again"),
}


class Taken(NamedTuple):
    """Paths from the top of the mount, or uses as uses.py reads them, the oldest first; how many were lost so far."""

    items: list[bytes]
    lost: int


class Trace:
    """A recording of one mount, which ends with the process at the latest. Made by the main thread, used by any one."""

    def __init__(self, mountpoint: str, what: int = OPENS) -> None:
        """`what`: OPENS or USES. Raises MountError, OSError."""
        self._fd = os.open(mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._buffer = bytearray(_core.IOC_TRACED_BYTES)
        self._what = what
        try:
            fcntl.ioctl(self._fd, what)
        except OSError as error:
            os.close(self._fd)
            if error.errno not in _REFUSED:
                raise
            what_failed, remedy = _REFUSED[error.errno]
            raise MountError(what_failed, where=mountpoint, remedy=remedy) from None

    def take(self) -> Taken:
        """Takes what was told since the last time, or a part of it; no items when that is all. Raises OSError."""
        fcntl.ioctl(self._fd, _core.IOC_TRACED, self._buffer)
        lost, count = _HEADER.unpack_from(self._buffer)
        told = bytes(self._buffer[_HEADER.size : _HEADER.size + count])
        items, at = [], 0
        while at < count:
            begin = at + _LENGTH.size
            at = begin + _LENGTH.unpack_from(told, at)[0]
            items.append(told[begin:at])
        return Taken([item[1:] for item in items] if self._what == OPENS else items, lost)

    def tell_open(self) -> bool:
        """Has the uses told that have not ended. False: some are to be asked for again, when those are taken. Raises
        OSError.
        """
        if self._what == USES:
            try:
                fcntl.ioctl(self._fd, _core.IOC_TRACE_REST)
            except BlockingIOError:
                return False
        return True

    def close(self) -> None:
        """Ends the recording. Idempotent."""
        if self._fd < 0:
            return
        try:
            fcntl.ioctl(self._fd, _core.IOC_TRACE_END)
        except OSError:
            pass  # the mount has ended
        os.close(self._fd)
        self._fd = -1
