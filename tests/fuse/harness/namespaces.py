"""Mount namespaces of their own for children, who are ordinary users there or root."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.children import as_user
from harness.readers import LIBC

_CLONE_NEWNS = 0x20000  # linux/sched.h


def interpreter(sources: Path) -> str:
    """A Python that this process may run, and that can use our package there; "" when there is none."""
    for path in (sys.executable, os.path.realpath(sys.executable), "/usr/bin/python3"):
        try:
            done = subprocess.run(
                [path, "-c", "import alluxio_jnifuse._core"], env={"PYTHONPATH": str(sources)}, capture_output=True
            )
        except OSError:
            continue
        if done.returncode == 0:
            return path
    return ""


def unshare() -> None:
    """Gives this (child) process a mount namespace, from which nothing gets out."""
    assert LIBC.unshare(_CLONE_NEWNS) == 0
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def in_namespace(function: Callable[[], object], uid: int, hidden: Sequence[str] = (), device: bool = True) -> object:
    """Calls a function as a user, in a mount namespace; `hidden` files cannot be used there.

    Everybody may use /dev/fuse there, or there is none.
    """
    unshare()
    for path in hidden:
        subprocess.run(["mount", "--bind", "/dev/null", path], check=True)
    keep = os.open("/dev/null", os.O_RDWR)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/dev"], check=True)
    names = [("null", 1, 3), ("zero", 1, 5), ("urandom", 1, 9), *([("fuse", 10, 229)] if device else [])]
    for name, major, minor in names:
        os.mknod(f"/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
        os.chmod(f"/dev/{name}", 0o666)
    os.close(keep)
    with as_user(uid):
        return function()
