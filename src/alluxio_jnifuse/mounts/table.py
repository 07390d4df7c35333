"""The table of mounts, from /proc/self/mountinfo; never by touching a mount point.

The kernel writes names as bytes: they become text as Python makes it of every path (os.fsdecode).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.system import trusted
from alluxio_jnifuse.system.threads import start_thread

MOUNTINFO = "/proc/self/mountinfo"
FSTYPE = "fuse.alluxio-fuse"
_MOST_LINKS = 40  # one after the other, as for the kernel

_DEVICE = re.compile(rb"(\d{1,10}):(\d{1,10})")
_OCTAL = re.compile(rb"\\([0-7]{3})")


class MountEntry(NamedTuple):
    """One line of mountinfo: place, source, the device number that st_dev shows, and whether others see mounts within.

    `shared`: it is of a group of mounts, in which one gets what is mounted beneath another (mount_namespaces(7)).
    """

    mountpoint: str
    fstype: str
    source: str
    major: int
    minor: int
    shared: bool = False


def parse(text: bytes) -> list[MountEntry]:
    """The entries of mountinfo (proc_pid_mountinfo(5)) in the order of mounting."""
    entries = []
    for line in text.split(b"\n"):  # not splitlines(): a name may hold a carriage return
        left, _, right = line.partition(b" - ")
        fields, kind = left.split(b" "), right.split(b" ")
        device = _DEVICE.fullmatch(fields[2]) if len(fields) >= 6 and len(kind) >= 2 else None
        if device is None:
            continue
        shared = any(field.startswith(b"shared:") for field in fields[6:])
        entries.append(
            MountEntry(
                _unescape(fields[4]), os.fsdecode(kind[0]), _unescape(kind[1]), int(device[1]), int(device[2]), shared
            )
        )
    return entries


def read() -> list[MountEntry]:
    """Everything that is mounted in this mount namespace."""
    with open(MOUNTINFO, "rb") as file:
        return parse(file.read())


def top_at(mountpoint: str) -> MountEntry | None:
    """The mount that is on top at the resolved path `mountpoint`, if any."""
    found = [entry for entry in read() if entry.mountpoint == mountpoint]
    return found[-1] if found else None


def ground(mountpoint: str) -> MountEntry | None:
    """The mount that the directory at the resolved path `mountpoint` is on, whatever of ours lies over it."""
    entries = [entry for entry in read() if entry.mountpoint != mountpoint or entry.fstype != FSTYPE]
    directory = mountpoint
    while True:
        found = [entry for entry in entries if entry.mountpoint == directory]
        if found or directory == "/":
            return found[-1] if found else None
        directory = os.path.dirname(directory)


def resolve(path: str) -> str:
    """`path` as mountinfo writes it: absolute, without symbolic links; asks nothing of what is mounted there.

    Root follows no link of somebody else, who could lead him to another mount, or have him mount over a directory of
    the system. Raises MountError for such a link, for an empty path, as of a variable that is not set, and for links
    that lead in a circle.
    """
    if not path:
        raise MountError("the path is empty", remedy="name a directory")
    given = path
    for _ in range(_MOST_LINKS):
        path = os.path.abspath(path)
        parent, name = os.path.split(path)
        resolved = os.path.join(_real(parent, given), name) if name else path
        if top_at(resolved) is not None or not os.path.islink(resolved):
            return resolved
        _check_link(resolved, given)
        path = os.path.join(os.path.dirname(resolved), os.readlink(resolved))
    raise MountError("its symbolic links lead in a circle", where=given, remedy="name a directory")


def _real(directory: str, given: str) -> str:
    """`directory` without links, as far as it is there."""
    if os.geteuid() == 0:
        try:
            return trusted.real_directory(directory)
        except trusted.UntrustedPath as error:
            raise _led_astray(error, given) from None
        except OSError:
            pass  # a file among its parts, or links in a circle: that is said later
    return os.path.realpath(directory)


def _check_link(path: str, given: str) -> None:
    try:
        if os.geteuid() == 0:
            trusted.check_link(path)
    except trusted.UntrustedPath as error:
        raise _led_astray(error, given) from None


def _led_astray(error: trusted.UntrustedPath, given: str) -> MountError:
    return MountError(
        f"it leads through a symbolic link that another user can change ({str(error.strerror).partition(':')[0]})",
        where=given,
        remedy="name the directory that is meant, without links",
    )


def probe(path: str, timeout: float, call: Callable[[str], object] = os.stat) -> int | None:
    """The errno of `call(path)`, 0 when it answered, None when it did not within `timeout` s.

    The thread that waits for a mount that hangs is left behind; it does not keep the process from ending.
    """
    answer: list[int] = []

    def ask() -> None:
        try:
            call(path)
            answer.append(0)
        except OSError as error:
            answer.append(error.errno or 0)

    thread = start_thread("probe", ask)
    thread.join(timeout)
    return answer[0] if answer else None


def _unescape(text: bytes) -> str:
    """Undoes the kernel's \\040 for white space, backslashes and #."""
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), text))
