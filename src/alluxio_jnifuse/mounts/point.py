"""Makes a mount point ready before anything is mounted on it, or says in a sentence why that cannot be."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import registry, table
from alluxio_jnifuse.mounts.alive import is_stale
from alluxio_jnifuse.mounts.unmount import unmount_at
from alluxio_jnifuse.system import trusted


@contextmanager
def prepared(path: str, *, nonempty: bool = False) -> Iterator[str]:
    """Does as `prepare` does; if the block raises, new directories are removed again, as far as they are empty."""
    made: list[str] = []
    try:
        yield prepare(path, nonempty=nonempty, made=made)
    except BaseException:
        _remove(made)
        raise


def prepare(path: str, *, nonempty: bool = False, made: list[str] | None = None) -> str:
    """Returns `path`, resolved, as a directory that can be mounted on; creates it when missing.

    `made` receives the directories that had to be created, parents first. A mount whose daemon died ("Transport
    endpoint is not connected") is taken away. Raises MountError for a live mount, something that is not a directory,
    and a directory with entries unless `nonempty`.
    """
    path = table.resolve(path)
    _clear_stale(path)
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        _create(path, [] if made is None else made)
        return path
    except OSError as error:
        raise _unusable(path, error) from error
    if not stat.S_ISDIR(mode):
        raise MountError("is a file, not a directory", where=path, remedy="name a directory to mount on")
    if not nonempty:
        _check_empty(path)
    return path


def confirm(path: str) -> str:
    """Looks at a prepared path once more, just before the mount: the storage may have taken its time to answer.

    Returns which directory above it another user can change, and so have root mount elsewhere, or "". (An ordinary
    user's fusermount3 mounts only on directories of that user.) Raises MountError when the path leads elsewhere by now.
    """
    if table.resolve(path) != path:
        raise MountError(
            "leads elsewhere by now, through a link", where=path, remedy="name the directory that is meant"
        )
    if os.geteuid() == 0:
        try:
            os.close(trusted.open_directory(os.path.dirname(path)))
        except trusted.UntrustedPath as error:
            return str(error.strerror)
        except OSError:
            pass  # then mounting fails, and says why
    return ""


def _clear_stale(path: str) -> None:
    while True:
        entry = table.top_at(path)
        if entry is None:
            return
        owner = registry.Registry().find(path)
        if owner is not None:
            raise MountError(
                f"is already mounted by process {owner.pid}",
                where=path,
                remedy=f"unmount it first (alluxio-jnifuse umount {path})",
            )
        if not entry.fstype.startswith("fuse") or not is_stale(path):
            raise MountError(
                f"{entry.source} ({entry.fstype}) is mounted there already",
                where=path,
                remedy=f"unmount it first (umount {path}) or choose another mount point",
            )
        _take_away(path)


def _take_away(path: str) -> None:
    try:
        unmount_at(path, lazy=True)
    except OSError as error:
        raise MountError(
            f"a mount without a daemon cannot be taken away: {error.strerror}",
            where=path,
            remedy=f"detach it as its owner or as root (umount -l {path})",
        ) from error


def _create(path: str, made: list[str]) -> None:
    missing = [path]
    while not os.path.lexists(os.path.dirname(missing[-1])):
        missing.append(os.path.dirname(missing[-1]))
    try:
        for directory in reversed(missing):
            try:
                os.mkdir(directory)
            except FileExistsError:
                continue  # somebody else's
            made.append(directory)
    except OSError as error:
        _remove(made)
        raise MountError(
            f"cannot be created: {error.strerror}", where=path, remedy="create it, or choose another mount point"
        ) from error


def _remove(made: list[str]) -> None:
    while made:
        try:
            os.rmdir(made.pop())
        except OSError:
            return  # in use by now; then so are its parents


def _check_empty(path: str) -> None:
    try:
        with os.scandir(path) as entries:
            entry = next(entries, None)
    except OSError as error:
        raise _unusable(path, error) from error
    if entry is not None:
        raise MountError(
            f"is not empty (it holds {entry.name!r})",
            where=path,
            remedy="its files would be hidden: choose an empty directory, or mount with -o nonempty",
        )


def _unusable(path: str, error: OSError) -> MountError:
    return MountError(
        f"cannot be mounted on: {error.strerror}",
        where=path,
        remedy="choose a directory that this user can reach and read",
    )
