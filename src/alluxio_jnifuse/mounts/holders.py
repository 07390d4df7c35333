"""The processes that keep a mount busy, as far as this user may know; found without asking the mount anything."""

from __future__ import annotations

import os
from collections.abc import Iterator

from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.system.locales import escaped

_MOST = 5  # named; a user who has more needs fuser(1)


def describe(mountpoint: str) -> str:
    """`/m/inner (tmpfs) is mounted in it; in use by cat (123), bash (124)`, or "" when nobody is known."""
    inner = [entry for entry in table.read() if entry.mountpoint.startswith(mountpoint.rstrip("/") + "/")]
    parts = [f"{entry.mountpoint} ({entry.fstype}) is mounted in it" for entry in inner[:_MOST]]
    users = [f"{name} ({pid})" for pid, name in users_of(mountpoint)]
    if users:
        rest = [f"{len(users) - _MOST} others"] if len(users) > _MOST else []
        parts.append(f"in use by {', '.join([*users[:_MOST], *rest])}")
    return "; ".join(parts)


def users_of(mountpoint: str) -> Iterator[tuple[int, str]]:
    """Processes that have files of the mount open or mapped, or are in one of its directories; with their names."""
    top = os.fsencode(mountpoint)
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            if any(_is_within(path, top) for path in _paths(b"/proc/%d" % pid)):
                with open(f"/proc/{pid}/comm", "rb") as file:
                    yield pid, escaped(os.fsdecode(file.read().rstrip(b"\n")))
        except OSError:
            pass  # it has ended, or is somebody else's


def _paths(process: bytes) -> Iterator[bytes]:
    """Returns what a process uses, as the kernel writes it; nothing of it is looked up."""
    links = [b"cwd", b"root", b"exe", *(b"fd/" + name for name in os.listdir(process + b"/fd"))]
    for link in links:
        try:
            yield os.readlink(process + b"/" + link)
        except OSError:
            pass  # closed meanwhile
    with open(process + b"/maps", "rb") as file:
        for line in file:
            fields = line.rstrip(b"\n").split(None, 5)
            if len(fields) == 6:
                yield fields[5].replace(b"\\012", b"\n")


def _is_within(path: bytes, directory: bytes) -> bool:
    return path == directory or path.startswith(directory.rstrip(b"/") + b"/")
