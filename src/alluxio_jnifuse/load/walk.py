"""The regular files at and beneath targets, each once, in the order in which directories list them.

Symbolic links: one to a file of the same mount stands for that file, because data sets are made of them (as the
snapshots of a model in its cache of blobs). One to a directory is not followed, so there are no loops; nor is one that
leads out of the mount, and what it leads to is not even looked at. One that leads nowhere is passed over.

Each once: a link to a file that comes by its own name is passed over, whichever comes first; of several links to a file
that does not, and of hard links, the first counts; and what lies beneath two targets belongs to the first.

Memory: the directories that are still to be read, and what tells the files that links lead to; not the files.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from alluxio_jnifuse.load.links import follow
from alluxio_jnifuse.load.targets import Target, find, is_beneath
from alluxio_jnifuse.mounts.registry import Record

Fail = Callable[[str, Target, OSError], None]

_LEADS_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class File(NamedTuple):
    """A file as it was when it was looked at."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    target: Target


Look = Callable[[], "File | None"]  # looks at something, and returns the file that is to be loaded, if it is one


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


class Trees:
    """All that lies at and beneath some paths: what there is to load (reading.py)."""

    countable = True

    def __init__(self, paths: Iterable[str], globs: Globs) -> None:
        self._paths = list(paths)
        self._globs = globs
        self._targets: list[Target] = []

    def find(self) -> list[Target]:
        """Returns the paths with their mounts. Raises MountError."""
        self._targets = find(self._paths)
        return self._targets

    def job(self, record: Record) -> list[str]:
        """Names the part of the job that concerns one mount, for its journal."""
        return [target.path for target in self._targets if target.record == record]

    def looks(self, fail: Fail) -> Iterator[Look]:
        """Yields the files, which were looked at on the way; `fail` is told of what cannot be."""
        for file in walk(self._targets, self._globs, fail):
            yield partial(_itself, file)


def _itself(file: File) -> File:
    return file


def walk(targets: Sequence[Target], globs: Globs, fail: Fail) -> Iterator[File]:
    """Yields what there is to load; `fail` is told of what cannot be looked at."""
    seen: set[object] = set()  # of files that may have several names, what they have one of
    for number, target in enumerate(targets):
        earlier = [other for other in targets[:number] if _overlap(target, other)]
        for file, found in _walk(target, globs, fail):
            linked = found.path != file.path
            if any(_comes_to(other, found.path, target.device, globs) for other in (targets if linked else earlier)):
                continue
            if linked or found.status.st_nlink > 1:
                key = found.status.st_ino if found.status.st_nlink > 1 else found.path
                if (target.device, key) in seen:
                    continue
                seen.add((target.device, key))
            yield file


class _Found(NamedTuple):
    """A file, by a path that leads through no link."""

    path: str
    status: os.stat_result


def _walk(target: Target, globs: Globs, fail: Fail) -> Iterator[tuple[File, _Found]]:
    """The files of one target, by each of their names."""
    try:
        top = os.lstat(target.path)
        if stat.S_ISLNK(top.st_mode):  # of all links, only one that leads to itself is left of a resolved path
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    except OSError as error:
        fail(target.path, target, error)
        return
    if stat.S_ISREG(top.st_mode) and globs.file(target.relative(target.path)):
        yield file_of(target.path, top, target), _Found(target.path, top)
    directories = [target.path] if stat.S_ISDIR(top.st_mode) else []
    while directories:
        directory = directories.pop()
        below: list[str] = []
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    found = _look_at(entry, target, fail)
                    if found is None or found.status.st_dev != target.device:
                        continue
                    relative = target.relative(entry.path)
                    if stat.S_ISREG(found.status.st_mode) and globs.file(relative):
                        yield file_of(entry.path, found.status, target), found
                    elif stat.S_ISDIR(found.status.st_mode) and globs.directory(relative):
                        below.append(entry.path)
        except OSError as error:
            fail(directory, target, error)
        directories += reversed(below)


def _look_at(entry: os.DirEntry[str], target: Target, fail: Fail) -> _Found | None:
    """An entry, or the file that a link leads to; None when there is nothing to load in it."""
    is_link = False
    try:
        is_link = entry.is_symlink()
        if not is_link:
            return _Found(entry.path, entry.stat(follow_symlinks=False))
        leads_to = follow(os.path.dirname(entry.path), entry.name, target.mountpoint)
        status = os.lstat(leads_to) if leads_to else None
    except OSError as error:
        if not (is_link and error.errno in _LEADS_NOWHERE):
            fail(entry.path, target, error)
        return None
    return _Found(leads_to, status) if status and stat.S_ISREG(status.st_mode) else None


def _overlap(one: Target, other: Target) -> bool:
    return is_beneath(one.path, other.path) or is_beneath(other.path, one.path)


def _comes_to(target: Target, path: str, device: int, globs: Globs) -> bool:
    """Whether a walk of `target` comes to the file `path`, which leads through no link, by that name."""
    if device != target.device or not is_beneath(path, target.path):
        return False
    relative = target.relative(path)
    parts = relative.split("/")
    above = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return globs.file(relative) and all(map(globs.directory, above))


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
