"""Finds the running mounts that files and directories lie on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from alluxio_jnifuse.errors import MountError
from alluxio_jnifuse.mounts import table
from alluxio_jnifuse.mounts.alive import is_stale
from alluxio_jnifuse.mounts.registry import Record, Registry, is_alive
from alluxio_jnifuse.mounts.table import MountEntry


class Target(NamedTuple):
    """A file or directory to load: its resolved path, where and by whom its mount is served, the mount's st_dev.

    `mountpoint` is that of `record`, unless `path` leads through a bind mount.
    """

    path: str
    mountpoint: str
    device: int
    record: Record

    def relative(self, path: str) -> str:
        """`path`, which lies at or beneath the target's, as seen from there; of the target itself, its name."""
        return path[len(self.path) :].lstrip("/") or os.path.basename(path)


def find(paths: Iterable[str], registry: Registry | None = None) -> list[Target]:
    """The targets of `paths`; may wait for their mounts. Raises MountError for one that is on no running mount of ours.

    A path that does not exist is a target too, of the mount that it would be on.
    """
    entries = table.read()
    records = (registry or Registry()).running()
    by_device = {_device(entry): record for record in records for entry in _at(record.mountpoint, entries)}
    return [_target(path, entries, by_device) for path in paths]


def why_gone(target: Target, disconnected: bool) -> str:
    """Why the mount of `target` is no more; "" when it is there.

    `disconnected`: a call has failed as calls do when a mount has no process, which may still be ending. Raises
    MountError when the mount does not answer then.
    """
    if all(_device(entry) != target.device for entry in _at(target.mountpoint, table.read())):
        return "has been unmounted"
    if not is_alive(target.record) or (disconnected and is_stale(target.mountpoint)):
        return "has no process any more"
    return ""


def _target(path: str, entries: Sequence[MountEntry], by_device: dict[int, Record]) -> Target:
    if not path:
        raise MountError("a PATH is empty", remedy="name files and directories of a mount")
    resolved = os.path.realpath(path)
    above = [entry for entry in entries if is_beneath(resolved, entry.mountpoint)]
    # Of several at one place, the top one. A root made with chroot(2) need not lie on any.
    entry = max(reversed(above), key=lambda entry: len(entry.mountpoint), default=None)
    record = by_device.get(_device(entry)) if entry else None
    if entry and record:
        return Target(resolved, entry.mountpoint, _device(entry), record)
    if not entry or entry.fstype != table.FSTYPE:
        mounts = sorted(record.mountpoint for record in by_device.values())
        there = (
            f"name files and directories beneath {' or '.join(mounts)}"
            if mounts
            else "nothing is mounted: mount it first"
        )
        raise MountError("is not on a mount of ours", where=path, remedy=there)
    if is_stale(entry.mountpoint):
        raise MountError("its mount has no process any more", where=path, remedy=f"mount {entry.mountpoint} again")
    raise MountError(
        f"the process that serves {entry.mountpoint} is not among the running mounts",
        where=path,
        remedy="load as the user, and in the container, that mounted it",
    )


def is_beneath(path: str, directory: str) -> bool:
    """Whether one normalised path is, or lies below, another."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _at(mountpoint: str, entries: Sequence[MountEntry]) -> list[MountEntry]:
    """Returns the topmost mount at `mountpoint`: a list of one entry, or none."""
    return [entry for entry in entries if entry.mountpoint == mountpoint][-1:]


def _device(entry: MountEntry) -> int:
    return os.makedev(entry.major, entry.minor)
