"""The rights of this process to mount, found out before it tries, and the reason in words if it failed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from alluxio_jnifuse.errors import MountError

_CAP_SYS_ADMIN = 21  # linux/capability.h


class Situation(NamedTuple):
    """The facts that decide whether a mount can succeed."""

    device: str  # path of /dev/fuse
    device_there: bool
    device_usable: bool  # this user may open it
    privileged: bool  # mount(2) is permitted: the effective capabilities hold CAP_SYS_ADMIN
    root: bool
    helper: str  # path of fusermount3, which mounts for ordinary users; "" without
    conf: str  # path of /etc/fuse.conf
    others_permitted: bool  # it grants allow_other and allow_root to ordinary users


def look(device: str = "/dev/fuse", conf: str = "/etc/fuse.conf") -> Situation:
    """The situation of this process."""
    return Situation(
        device=device,
        device_there=os.path.exists(device),
        device_usable=os.access(device, os.R_OK | os.W_OK),
        privileged=_has_sys_admin(),
        root=os.geteuid() == 0,
        helper=_fusermount3(),
        conf=conf,
        others_permitted=_has_line(conf, "user_allow_other"),
    )


def check(now: Situation, *, others: bool) -> None:
    """Raises MountError with what to do when a mount cannot succeed. `others`: allow_other or allow_root is given."""
    if not now.device_there:
        raise MountError(
            f"there is no {now.device}",
            remedy="load the kernel module (modprobe fuse), or give the container --device /dev/fuse "
            "--cap-add SYS_ADMIN",
        )
    if now.privileged:
        return
    if not now.helper:
        raise MountError(
            "this user may not mount, and fusermount3, which would, is not installed",
            remedy="install the package fuse3, or mount as root",
        )
    if others and not now.root and not now.others_permitted:
        raise MountError(
            f"allow_other and allow_root are not permitted to ordinary users by {now.conf}",
            remedy=f"add the line user_allow_other to {now.conf}, or mount without it",
        )
    if not now.device_usable:
        raise MountError(
            f"this user may not open {now.device}", remedy=f"make it readable and writable (chmod 666 {now.device})"
        )


def explain(error: OSError, said: str, mountpoint: str, now: Situation) -> MountError:
    """The reason for a failed mount, of its errno and of what libfuse printed (`said`)."""
    what = " ".join(said.split()) or error.strerror or str(error)
    return MountError(what, where=f"cannot mount on {mountpoint}", remedy=_remedy(error.errno, mountpoint, now))


def _remedy(code: int | None, mountpoint: str, now: Situation) -> str:
    """Returns the remedy for a mount that failed though `check` saw no reason."""
    if now.privileged:
        if code in (errno.EPERM, errno.EACCES):
            return "a security module may forbid it (in a container: --security-opt apparmor:unconfined)"
        if code in (errno.ENODEV, errno.ENXIO):
            return "load the kernel module (modprobe fuse)"
        return ""
    if now.root:
        return "this root has no CAP_SYS_ADMIN (in a container: --cap-add SYS_ADMIN)"
    if now.helper and not os.stat(now.helper).st_mode & stat.S_ISUID:
        return f"{now.helper} is not set-user-id root: reinstall the package fuse3, or mount as root"
    if not os.access(mountpoint, os.W_OK):
        return "an ordinary user can mount only on a directory that the user owns and may write to"
    return ""


def _has_sys_admin() -> bool:
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return os.geteuid() == 0


@contextmanager
def system_path() -> Iterator[None]:
    """While libfuse may run fusermount3, which it looks for in PATH, that has directories of the system alone."""
    from alluxio_jnifuse._core import HELPER_PATH

    before = os.environ.get("PATH")
    os.environ["PATH"] = HELPER_PATH
    try:
        yield
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before


def _fusermount3() -> str:
    """Looked for where the core does, and not in PATH, which may hold anybody's."""
    from alluxio_jnifuse._core import HELPER_PATH

    for directory in HELPER_PATH.split(os.pathsep):
        path = os.path.join(directory, "fusermount3")
        if os.access(path, os.X_OK):
            return path
    return ""


def _has_line(path: str, wanted: str) -> bool:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return any(line.strip() == wanted for line in file)
    except OSError:
        return False
