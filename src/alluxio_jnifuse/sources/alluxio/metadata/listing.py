"""A directory of the cluster as it is kept: what the core is given, and what opening its files needs beyond that.

Threads: a Directory is immutable; a Builder is one thread's.
"""

from __future__ import annotations

import errno
import os
import struct
from array import array
from collections.abc import Sequence
from stat import S_ISDIR
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.sources.alluxio.metadata.owners import Owners
from alluxio_jnifuse.sources.alluxio.metadata.status import (
    IN_FULL,
    MS_MAX,
    Addresses,
    FileStatus,
    Packer,
    attr,
    first_block,
    from_info,
    version,
)
from alluxio_jnifuse.sources.base import BLOCKS_FROM_SIZE
from alluxio_jnifuse.sources.listing import ATIME, ENTRY, FILE_ID, MODE, MTIME, SIZE, Packed, Packing

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.alluxio.proto.common_pb2 import BlockLocation
    from alluxio_jnifuse.sources.alluxio.proto.file_pb2 import FileInfo

_NUMBER = struct.Struct("=H")  # of a row of the packer
_IN_FULL = _NUMBER.pack(IN_FULL)
_SHARED_MAX = 1024  # of one listing; more than that, and files share nothing


class Directory(Packed):
    """A listing. Immutable but for `outdated`: a newer answer about a name in it, or not in it, says otherwise."""

    __slots__ = ("outdated", "written")

    def __init__(self, entries: bytes, names: bytes, rests: bytes, ends: array[int], written: float) -> None:
        super().__init__(entries, names, rests, ends)
        self.written = written
        self.outdated = False

    def file_id(self, index: int) -> int:
        return self.entry(index)[FILE_ID]

    def status(self, index: int, path: str, packer: Packer) -> FileStatus:
        entry = self.entry(index)
        mode = entry[MODE]
        length = 0 if S_ISDIR(mode) else entry[SIZE]
        mtime_ms, atime_ms = entry[MTIME] // 1_000_000, entry[ATIME] // 1_000_000
        return packer.unpack(self.rest(index), path, entry[FILE_ID], length, mtime_ms, atime_ms, mode)


class _Shared(NamedTuple):
    """The values that files of a directory have in common."""

    number: bytes  # of the row, packed
    ufs_base: str  # URI of the directory in the under store, with a slash
    mode: int
    uid: int
    gid: int


def _shared_key(info: FileInfo) -> tuple[object, ...]:
    """The fields that make a _Shared, and the kind of file."""
    return (
        info.owner,
        info.group,
        info.mode,
        info.blockSizeBytes,
        info.persistenceState,
        info.mountId,
        info.replicationMax,
        info.folder,
        info.completed,
    )


class Builder(Packing):
    """Makes a Directory of what ListStatus sends.

    `_add_plain` is `_add` for the files that nearly all files are, in half the time: a listing of 10,000 has to be
    made while somebody waits for it.
    """

    def __init__(self, path: bytes, listed: str, packer: Packer, addresses: Addresses, owners: Owners) -> None:
        super().__init__()
        self._path = path
        self._listed = listed
        self._base = path.decode().rstrip("/") + "/"
        self._packer = packer
        self._addresses = addresses
        self._owners = owners
        self._shared: dict[tuple[object, ...], _Shared] = {}  # by the fields of a FileInfo that make it
        self._numbers: dict[int, bytes] = {}  # of addresses, by worker id, which means one address in one answer

    @property
    def size(self) -> int:
        """Bytes of the listing so far, and of what files have beyond it where that is much."""
        beyond = max(0, len(self._rests) - len(self._entries))
        return len(self._entries) + self._names_bytes + beyond

    def add(self, infos: Sequence[FileInfo]) -> None:
        """Raises NotADirectoryError when what was listed is a file."""
        if not self._names and infos and infos[0].path == self._listed:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._path)
        for info in infos[:]:
            name = info.name
            encoded = name.encode()
            if not self._add_plain(info, name, len(encoded)):
                self._add(info, len(encoded))
            self._names.append(encoded)
            self._names_bytes += len(encoded)
            self._ends.append(len(self._rests))

    def _add(self, info: FileInfo, name_bytes: int) -> None:
        status = from_info(info, self._addresses)
        shown = attr(status, self._owners)
        rest = self._packer.pack(status, self._base + status.name)
        self._entries += ENTRY.pack(*shown, self._names_bytes, name_bytes)
        self._rests += rest
        plain = info.completed and not info.folder and not rest.startswith(_IN_FULL)
        if plain and len(self._shared) < _SHARED_MAX:
            ufs_base = status.ufs_path[: -len(status.name)]
            self._shared[_shared_key(info)] = _Shared(rest[:2], ufs_base, status.mode, shown.uid, shown.gid)

    def _add_plain(self, info: FileInfo, name: str, name_bytes: int) -> bool:
        """Adds a file of at most one block that is like one added before; returns whether it is such a file."""
        shared = self._shared.get(_shared_key(info))
        length = info.length
        file_id = info.fileId
        if shared is None or file_id <= 0 or not 0 <= length <= info.blockSizeBytes:
            return False
        mtime_ms = info.lastModificationTimeMs
        atime_ms = info.lastAccessTimeMs or mtime_ms
        if not (0 <= mtime_ms <= MS_MAX and 0 <= atime_ms <= MS_MAX and info.ufsPath == shared.ufs_base + name):
            return False
        rest = shared.number
        ids, parts = info.blockIds[:], info.fileBlockInfos[:]
        if length:
            if len(ids) != 1 or len(parts) != 1 or ids[0] != first_block(file_id):
                return False
            block = parts[0].blockInfo
            if block.blockId != ids[0] or block.length != length:
                return False
            holders = block.locations[:]
            if len(holders) >= IN_FULL:
                return False
            if holders:
                numbers = [self._number(holder) for holder in holders]
                if b"" in numbers:
                    return False
                rest += _NUMBER.pack(len(holders)) + b"".join(numbers)
        elif ids:
            return False
        mtime_ns = mtime_ms * 1_000_000
        self._entries += ENTRY.pack(
            file_id,
            length,
            BLOCKS_FROM_SIZE,
            version(file_id, length, mtime_ms, True),
            mtime_ns,
            mtime_ns,
            atime_ms * 1_000_000,
            shared.mode,
            1,
            shared.uid,
            shared.gid,
            self._names_bytes,
            name_bytes,
        )
        self._rests += rest
        return True

    def _number(self, holder: BlockLocation) -> bytes:
        """The packed number of an address; nothing when it has none."""
        number = self._numbers.get(holder.workerId)
        if number is None:
            row = self._packer.address_number(self._addresses.of(holder.workerAddress))
            number = b"" if row == IN_FULL else _NUMBER.pack(row)
            if holder.workerId:
                self._numbers[holder.workerId] = number
        return number

    def finish(self, asked: float) -> Directory:
        self._sort()
        return Directory(bytes(self._entries), b"".join(self._names), bytes(self._rests), self._ends, asked)
