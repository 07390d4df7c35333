"""Checks of the blocks of a cluster: whether those of this machine can be opened, and whether their size is good.

Some files of the mount are looked at: of its root, and of the first directories in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from shlex import quote
from typing import TYPE_CHECKING

from alluxio_jnifuse.config.units import format_size
from alluxio_jnifuse.doctor.finding import NOTE, OK, WARNING, Finding

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient
    from alluxio_jnifuse.sources.alluxio.metadata.status import Address, FileStatus
    from alluxio_jnifuse.sources.alluxio.proto.file_pb2 import FileInfo
    from alluxio_jnifuse.sources.alluxio.settings import Settings
    from alluxio_jnifuse.sources.alluxio.workers.locality import Locality
    from alluxio_jnifuse.sources.alluxio.workers.placement import Worker

_PATIENCE_S = 5.0
_MOST_FILES = 1000
_MOST_DIRECTORIES = 3
_BLOCK_SIZE = "alluxio.user.block.size.bytes.default"
_NOT_SET = "DEFAULT"
_TIERS = tuple(f"alluxio.worker.tieredstore.level{level}.dirs.path" for level in range(3))


def blocks(
    client: MasterClient,
    settings: Settings,
    root: bytes,
    workers: Sequence[Worker],
    locality: Locality,
    here: Sequence[Worker],
) -> Iterator[Finding]:
    """`root`: the directory that is shown. `here`: the workers on this machine."""
    files = _sample(client, os.fsdecode(root))
    yield from _sizes(files, workers, lends=bool(here) and settings.short_circuit)
    if here and settings.short_circuit:
        yield from _visible(client, settings, files, locality)


def _sample(client: MasterClient, root: str) -> list[FileStatus]:
    """Complete files, the first that are told of."""
    from alluxio_jnifuse.sources.alluxio.metadata.status import Addresses, from_info

    addresses, left = Addresses(), [root]
    found: list[FileStatus] = []
    for number, path in enumerate(left):
        if number > _MOST_DIRECTORIES or len(found) >= _MOST_FILES:
            break
        infos: list[FileInfo] = []
        with closing(client.list_status(path, _PATIENCE_S)) as batches:
            for batch in batches:
                infos += batch
                if len(infos) >= _MOST_FILES:
                    break
        statuses = [from_info(info, addresses) for info in infos]
        found += [status for status in statuses if status.completed and not status.folder]
        left += [f"{path.rstrip('/')}/{status.name}" for status in statuses if status.folder]
    return found[:_MOST_FILES]


def _sizes(files: Sequence[FileStatus], workers: Sequence[Worker], *, lends: bool) -> Iterator[Finding]:
    """Whether blocks are too large for the workers, or so small that large files have very many."""
    from alluxio_jnifuse.sources.alluxio.data.localfiles import MOST_LENT_BLOCKS

    room = max(worker.capacity for worker in workers)
    largest = max(files, key=lambda file: max(file.block_lengths, default=0), default=None)
    if largest is None:
        return
    block = max(largest.block_lengths, default=0)
    if block > room > 0:
        yield Finding(
            WARNING,
            f"its block of {format_size(block)} fits into no worker ({format_size(room)} at most): it is read from the "
            "under store each time",
            largest.name,
            "give workers more room, or load the file anew with smaller blocks, by this property of the cluster",
            f"{_BLOCK_SIZE}=64MB",
        )
    longest = max(files, key=lambda file: len(file.block_ids))
    if lends and len(longest.block_ids) > MOST_LENT_BLOCKS:
        size = 1 << (longest.length // MOST_LENT_BLOCKS).bit_length()
        yield Finding(
            NOTE,
            f"has {len(longest.block_ids)} blocks of {format_size(longest.block_size)}; with more than "
            f"{MOST_LENT_BLOCKS} it is read through the daemon, although the blocks are on this machine",
            longest.name,
            "load the file anew with larger blocks, by this property of the cluster",
            f"{_BLOCK_SIZE}={size >> 20}MB",
        )
    yield Finding(OK, f"the blocks of {len(files)} files were looked at")


def _visible(
    client: MasterClient, settings: Settings, files: Sequence[FileStatus], locality: Locality
) -> Iterator[Finding]:
    """Whether a block file of this machine's worker can be opened.

    Without a block at hand: whether the directories are there that the cluster is configured with. A worker may have
    others.
    """
    held = next(_held(files, locality), None)
    if held is not None:
        yield from _opened(client, settings, locality, *held)
        return
    directories = _directories(client)
    if directories and not any(os.path.isdir(path) for path in directories):
        yield _unseen(NOTE, directories[0], "the cluster has block files in a directory that is not here")


def _held(files: Sequence[FileStatus], locality: Locality) -> Iterator[tuple[Address, int, int]]:
    """Blocks that a worker of this machine holds: where, which, and how long."""
    for file in files:
        for block, length, holders in zip(file.block_ids, file.block_lengths, file.locations):
            yield from ((holder, block, length) for holder in holders if locality.is_local(holder))


def _opened(
    client: MasterClient, settings: Settings, locality: Locality, address: Address, block: int, length: int
) -> Iterator[Finding]:
    """Whether the file of a block can be opened; nothing, if the worker does not have the block any more."""
    from alluxio_jnifuse.sources.alluxio.data.blockfiles import BlockFiles
    from alluxio_jnifuse.sources.alluxio.data.locks import BlockLock
    from alluxio_jnifuse.sources.alluxio.metadata.status import Addresses
    from alluxio_jnifuse.sources.alluxio.rpc.errors import NotFound
    from alluxio_jnifuse.sources.alluxio.workers.known import Workers
    from alluxio_jnifuse.sources.alluxio.workers.placement import policy

    configured = settings.tier_directories if settings.tiers_configured else ()
    files = BlockFiles(configured, settings.data_folder)
    workers = Workers(settings, client, locality, policy("LocalFirstPolicy", rank=locality.rank)[0], Addresses())
    try:
        lock = BlockLock(workers.link_to(address), block)
        try:
            path = lock.path
            place = files.place_of(path, block)
            fd = None if place is None else place.open(block, length)
        finally:
            lock.release()
    except NotFound:
        return
    finally:
        workers.close()
    if fd is not None:
        os.close(fd)
        yield Finding(OK, "the worker's block files can be opened here")
        return
    if not path.startswith("/"):
        return  # a worker with a paged store has no block files
    directory = os.path.dirname(path)
    if os.path.basename(directory) == settings.data_folder:
        directory = os.path.dirname(directory)
    if os.path.exists(path) and directory not in configured:
        found = _unseen(WARNING, directory, "block files of this machine's worker are not opened: they lie elsewhere")
        yield found._replace(line=f"-D {_TIERS[0]}={quote(directory)}")
    else:
        yield _unseen(WARNING, directory, "the worker on this machine has block files that cannot be opened here")


def _unseen(severity: str, directory: str, what: str) -> Finding:
    return Finding(
        severity,
        f"{what}: its blocks are read through it, slower",
        directory,
        f"give this process the directory at the same path, or name it in {_TIERS[0]}",
        f"docker run -v {quote(f'{directory}:{directory}')} ...",
    )


def _directories(client: MasterClient) -> list[str]:
    """Returns where workers have their tiers, if the configuration of the cluster says so."""
    told = {name: value for name, value, source in client.get_configuration() if source != _NOT_SET}
    listed = ",".join(told.get(name, "") for name in _TIERS).split(",")
    return [path.strip() for path in listed if path.strip().startswith("/")]
