"""The regular files at and beneath a target, in the order in which directories list them.

Symbolic links: one to a file of the same mount stands for that file, because data sets are made of them (as the
snapshots of a model in its cache of blobs). One to a directory is not followed, so there are no loops; nor is one that
leads out of the mount, and what it leads to is not even looked at.

Memory: the directories that are still to be read, not the files.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from alluxio_jnifuse.warmup.targets import Target, is_beneath

Fail = Callable[[str, Target, OSError], None]


class File(NamedTuple):
    """A file as it was when it was looked at."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    target: Target


def file_of(path: str, status: os.stat_result, target: Target) -> File:
    """The File that `status` describes."""
    return File(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, target)


class Globs:
    """Which names are wanted: those that `include` matches (all, when it is empty) and `exclude` does not.

    A pattern with a slash is compared with the path as seen from the target, another one with the name; `*` matches
    slashes too. A directory that `exclude` matches is left out with everything in it.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = _matcher(include) if include else _anything
        self._exclude = _matcher(exclude)

    def file(self, relative: str) -> bool:
        """Whether a file is wanted."""
        return self._include(relative) and not self._exclude(relative)

    def directory(self, relative: str) -> bool:
        """Whether files in a directory may be wanted."""
        return not self._exclude(relative)


def walk(target: Target, globs: Globs, fail: Fail) -> Iterator[File]:
    """Yields what there is to load; `fail` is told of what cannot be looked at."""
    try:
        top = os.lstat(target.path)
    except OSError as error:
        fail(target.path, target, error)
        return
    if stat.S_ISREG(top.st_mode) and globs.file(target.relative(target.path)):
        yield file_of(target.path, top, target)
    directories = [target.path] if stat.S_ISDIR(top.st_mode) else []
    while directories:
        directory = directories.pop()
        below: list[str] = []
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    status = _look_at(entry, target, fail)
                    if status is None or status.st_dev != target.device:
                        continue
                    relative = target.relative(entry.path)
                    if stat.S_ISREG(status.st_mode) and globs.file(relative):
                        yield file_of(entry.path, status, target)
                    elif stat.S_ISDIR(status.st_mode) and globs.directory(relative):
                        below.append(entry.path)
        except OSError as error:
            fail(directory, target, error)
        directories += reversed(below)


def _look_at(entry: os.DirEntry[str], target: Target, fail: Fail) -> os.stat_result | None:
    """Attributes of an entry, of the file that a link leads to; None when there is nothing to load in it."""
    try:
        if not entry.is_symlink():
            return entry.stat(follow_symlinks=False)
        leads_to = os.path.normpath(os.path.join(os.path.dirname(entry.path), os.readlink(entry.path)))
        status = entry.stat() if is_beneath(leads_to, target.mountpoint) else None
    except OSError as error:
        if not (entry.is_symlink() and error.errno in (errno.ENOENT, errno.ELOOP)):  # it leads nowhere
            fail(entry.path, target, error)
        return None
    return status if status and stat.S_ISREG(status.st_mode) else None


def _matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    paths = _compiled([pattern for pattern in patterns if "/" in pattern])
    names = _compiled([pattern for pattern in patterns if "/" not in pattern])
    return lambda relative: bool(paths(relative) or names(os.path.basename(relative)))


def _compiled(patterns: Sequence[str]) -> Callable[[str], object]:
    if not patterns:
        return _nothing
    return re.compile("|".join(map(fnmatch.translate, patterns))).match


def _anything(relative: str) -> bool:
    return True


def _nothing(relative: str) -> bool:
    return False
