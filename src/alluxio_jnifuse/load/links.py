"""Following symbolic links of a mount, without anything outside of its mount being looked at."""

from __future__ import annotations

import errno
import os

from alluxio_jnifuse.load.targets import is_beneath

_MOST_LINKS = 40  # one after the other, as the kernel's


def follow(directory: str, path: str, top: str) -> str:
    """Returns where `path`, as seen from `directory`, leads to, without links; "" when that is not on the mount `top`.

    `directory` is on the mount, and leads through no link. Raises OSError.
    """
    at, names = directory, path.split("/")[::-1]
    followed = 0
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        leads_to = "" if name == ".." else _readlink(os.path.join(at, name))
        if leads_to is None:
            at = os.path.join(at, name)
            continue
        followed += 1 if leads_to else 0
        if followed > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if name == ".." and at != top:
            at = os.path.dirname(at)
        elif name == ".." or leads_to.startswith("/"):  # by way of what is above the mount, as far as the text says
            outside = os.path.normpath(os.path.join(at, leads_to or "..", *reversed(names)))
            if not is_beneath(outside, top):
                return ""
            at, names = top, outside[len(top) :].split("/")[::-1]
        else:
            names += reversed(leads_to.split("/"))
    return at


def _readlink(path: str) -> str | None:
    """Returns what the link says, or None: it is no link. Raises OSError."""
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None
