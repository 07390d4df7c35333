"""Which blocks of a file lie in block files of this machine, and the way to them (shortcircuit.py).

Threads: any; no state but that of LocalBlocks.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import forget_frames
from alluxio_jnifuse.sources.alluxio.data.attempts import is_silent
from alluxio_jnifuse.sources.alluxio.data.blockfiles import BlockFiles
from alluxio_jnifuse.sources.alluxio.data.shortcircuit import LocalBlock, LocalBlocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alluxio_jnifuse.sources.alluxio.metadata.status import Address, FileStatus
    from alluxio_jnifuse.sources.alluxio.settings import Settings
    from alluxio_jnifuse.sources.alluxio.workers.known import Workers

log = logging.getLogger(__name__)

MOST_LENT_BLOCKS = 64  # each is a descriptor and a lock


def close_all(blocks: dict[int, LocalBlock]) -> None:
    """Those of a file that is not read."""
    for block in blocks.values():
        block.close()


class LocalFiles:
    """See the module's docstring. `asks_nobody`: block files are looked for before a worker is asked."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        self._settings = settings
        self._workers = workers
        direct = settings.tier_directories if settings.direct_local_io and settings.short_circuit else ()
        configured = settings.tier_directories if settings.tiers_configured else ()
        files = BlockFiles(configured, settings.data_folder)
        self._blocks = LocalBlocks(files, settings.read_type == "CACHE_PROMOTE", direct)
        self.asks_nobody = bool(direct)

    def open(self, status: FileStatus) -> dict[int, LocalBlock]:
        """The block files of a file on this machine, by index."""
        found: dict[int, LocalBlock] = {}
        if not self._settings.short_circuit or len(status.block_ids) > MOST_LENT_BLOCKS:
            return found
        try:
            for index, holders in enumerate(status.locations):
                block = self._blocks.open_directly(status.block_ids[index], status.block_lengths[index])
                if block is None:
                    block = self._open_through(status, index, holders)
                if block is not None:
                    found[index] = block
        except BaseException:
            close_all(found)
            raise
        return found

    def read(self, status: FileStatus, offset: int, buffer: memoryview) -> int | None:
        """Fills `buffer` from byte `offset` of a file of one block; how many bytes that were.

        None: the block file cannot be found without asking, or not here, or it is not the file alone.
        """
        size = min(len(buffer), status.length - offset)
        if not self._settings.short_circuit or len(status.block_ids) != 1 or size <= 0:
            return None
        block_id, length = status.block_ids[0], status.length
        wanted = buffer[:size]
        if self.asks_nobody and self._blocks.read_directly(block_id, length, offset, wanted):
            return size
        for address in self._lenders(status.locations[0]):
            try:
                link = self._workers.link_to(address)
            except OSError as error:
                forget_frames(error)
                return None  # the mount ends
            if self._blocks.read(link, block_id, length, offset, wanted):
                return size
        return None

    def close(self) -> None:
        """Tells workers nothing any more. Idempotent."""
        self._blocks.close()

    def _lenders(self, holders: tuple[Address, ...]) -> Iterator[Address]:
        """The workers that lend block files, of those that hold a block."""
        for address in holders:
            if not self._workers.locality.is_local(address):
                continue
            if address.domain_socket and not self._settings.short_circuit_preferred:
                continue
            yield address

    def _open_through(self, status: FileStatus, index: int, holders: tuple[Address, ...]) -> LocalBlock | None:
        for address in self._lenders(holders):
            silent = self._workers.is_silent(address)  # its block files are there all the same
            try:
                link = self._workers.link_to(address)
                block = self._blocks.open(link, status.block_ids[index], status.block_lengths[index], ask=not silent)
                if block is not None or not silent:
                    return block
            except OSError as error:
                forget_frames(error)
                log.debug("block %d of %s: %s", index, status.name, error)  # it is read some other way
                if is_silent(error):
                    self._workers.note_silence(address)
        return None
