"""Paths whose meaning nobody but root and this user decides.

A path is walked from `/`, a descriptor for each part. Each must belong to root or to this user, and nobody else may
write to it: a user who may could put another directory in the place of the next one. A sticky directory, as /tmp is,
may be written by others, because what belongs to root or this user in it cannot be moved by them. A symbolic link is
followed where it belongs to root or this user. The mask of an ACL shows as the permissions of the group.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable

_MOST_LINKS = 40  # as the kernel, path_resolution(7)
_Check = Callable[[os.stat_result, os.stat_result, str], None]
_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class UntrustedPath(PermissionError):
    """Somebody else decides what a path means; `strerror` says who, where, and what to do."""

    def __init__(self, where: str, why: str, remedy: str) -> None:
        super().__init__(errno.EPERM, f"{where} {why}: {remedy}", where)


def open_directory(path: str, *, make: bool = False) -> int:
    """A descriptor (O_PATH) of a directory; `make`: what is missing of the path is made, with mode 0700.

    Raises UntrustedPath, or another OSError.
    """
    fd, where = _walk(path, 0o700 if make else 0)
    return _directory(fd, where)


def _directory(fd: int, where: str) -> int:
    """`fd`, if it is a directory."""
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), where)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_lent_directory(path: str, *, make: bool = False) -> int:
    """A descriptor (O_PATH) of a directory that may be others', but is reached through no link of theirs.

    So what is made there lies where this user wanted it, or where they could put it themselves. `make`: what is missing
    of the path is made. Raises UntrustedPath, or another OSError.
    """
    fd, where = _walk(path, 0o755 if make else 0, _check_link)
    return _directory(fd, where)


def real_directory(path: str) -> str:
    """An absolute path without links, to follow which no link of somebody else is followed; some of it may be missing.

    Raises UntrustedPath, or another OSError.
    """
    missing: list[str] = []
    while True:
        try:
            fd, where = _walk(path, check=_check_link)
        except FileNotFoundError:
            path, name = os.path.split(path)
            missing.insert(0, name)
        else:
            os.close(fd)
            return os.path.join(where, *missing)


def check_link(path: str) -> None:
    """Raises UntrustedPath for a symbolic link that somebody else made, or could replace. Raises OSError."""
    _check_link(os.lstat(os.path.dirname(path)), os.lstat(path), path)


def check_file(path: str) -> None:
    """Raises UntrustedPath when somebody else can change a file or what its path means; another OSError without it."""
    fd, where = _walk(path)
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a file", where)


def check_place(path: str) -> None:
    """Raises UntrustedPath when just anybody could have put what is at a path there; another OSError without it.

    It may belong to others than root and this user: to whom directories on the way were given.
    """
    os.close(_walk(path, check=_check_placed)[0])


def _walk(path: str, make: int = 0, check: _Check | None = None) -> tuple[int, str]:
    """A descriptor (O_PATH) of what a path leads to, and its path without links.

    `make`: the mode of the directories that are made of what is missing; 0: none are.
    `check(directory, found, where)` is called for each part, what it lies in, and links among them.
    """
    check = check or _check_ours
    parts = deque(os.path.abspath(path).split("/"))
    at, where, links = os.open("/", _STEP), "/", 0
    try:
        around = os.fstat(at)
        check(around, around, where)
        while parts:
            name = parts.popleft()
            if name in ("", "."):
                continue
            inner = _enter(name, at, make)
            status = os.fstat(inner)
            if stat.S_ISLNK(status.st_mode):
                os.close(inner)
                links += 1
                check(around, status, os.path.join(where, name))
                target = os.readlink(name, dir_fd=at)
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                parts.extendleft(reversed(target.split("/")))
                if not target.startswith("/"):
                    continue
                inner, name, where = os.open("/", _STEP), "", "/"
                status = around = os.fstat(inner)
            os.close(at)
            at = inner
            where = os.path.dirname(where) if name == ".." else os.path.join(where, name)
            check(around, status, where)
            around = status
    except BaseException:
        os.close(at)
        raise
    return at, where


def _enter(name: str, parent: int, make: int) -> int:
    try:
        return os.open(name, _STEP, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    try:
        os.mkdir(name, make, dir_fd=parent)
    except FileExistsError:
        pass
    return os.open(name, _STEP, dir_fd=parent)


def _check_ours(_: os.stat_result, status: os.stat_result, where: str) -> None:
    """Nobody but root and this user may write to it."""
    _check_owner(status, where)
    if stat.S_ISLNK(status.st_mode):
        return
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_mode & 0o022 and not sticky:
        remedy = (
            "chmod go-w, or chmod +t, or choose another directory" if stat.S_ISDIR(status.st_mode) else "chmod go-w"
        )
        raise UntrustedPath(where, "can be written by others", remedy)


def _check_link(directory: os.stat_result, status: os.stat_result, where: str) -> None:
    """A link is of root or this user, and nobody else could put another in its place."""
    if stat.S_ISLNK(status.st_mode):
        _check_ours(status, directory, os.path.dirname(where))
        _check_owner(status, where)


def _check_placed(directory: os.stat_result, status: os.stat_result, where: str) -> None:
    """In a directory where everybody may make files, it must be of root or this user."""
    if not directory.st_mode & stat.S_IWOTH or directory is status:
        return
    if not directory.st_mode & stat.S_ISVTX:
        raise UntrustedPath(os.path.dirname(where), "can be written by everybody", "chmod o-w")
    _check_owner(status, where)


def _check_owner(status: os.stat_result, where: str) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise UntrustedPath(where, f"belongs to user {status.st_uid}", "chown it, or choose another place")
