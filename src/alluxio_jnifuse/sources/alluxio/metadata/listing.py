"""A directory of the cluster as it is kept: what the core is given, and what opening its files needs beyond that.

Threads: a Directory is immutable; a Builder is one thread's.
"""

from __future__ import annotations

import errno
import os
import struct
from array import array
from collections.abc import Sequence
from operator import ge
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

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.alluxio.proto.common_pb2 import BlockLocation
    from alluxio_jnifuse.sources.alluxio.proto.file_pb2 import FileInfo

_ENTRY = struct.Struct("=QQQQqqqIIIIII")  # base.ENTRY_DTYPE
_NAME = struct.Struct("=II")  # the end of it
_FILE_ID = struct.Struct("=Q")  # the start
_NAME_AT = _ENTRY.size - _NAME.size
_NUMBER = struct.Struct("=H")  # of a row of the packer
_IN_FULL = _NUMBER.pack(IN_FULL)
_SHARED_MAX = 1024  # of one listing; more than that, and files share nothing


class Directory:
    """A listing. Immutable but for `outdated`: a newer answer about a name in it, or not in it, says otherwise."""

    __slots__ = ("ends", "entries", "names", "outdated", "rests", "written")

    def __init__(self, entries: bytes, names: bytes, rests: bytes, ends: array[int], written: float) -> None:
        self.entries = entries
        self.names = names
        self.rests = rests  # of the entries in order,
        self.ends = ends  # each ending here
        self.written = written
        self.outdated = False

    def __len__(self) -> int:
        return len(self.ends)

    def find(self, name: bytes) -> int:
        """The index of a name, or -1."""
        low, high = 0, len(self.ends)
        while low < high:
            middle = (low + high) // 2
            at, length = _NAME.unpack_from(self.entries, middle * _ENTRY.size + _NAME_AT)
            found = self.names[at : at + length]
            if found < name:
                low = middle + 1
            elif found == name:
                return middle
            else:
                high = middle
        return -1

    def file_id(self, index: int) -> int:
        return int(_FILE_ID.unpack_from(self.entries, index * _ENTRY.size)[0])

    def status(self, index: int, path: str, packer: Packer) -> FileStatus:
        entry = _ENTRY.unpack_from(self.entries, index * _ENTRY.size)
        file_id, size, mtime_ns, atime_ns, mode = entry[0], entry[1], entry[4], entry[6], entry[7]
        rest = self.rests[self.ends[index - 1] if index else 0 : self.ends[index]]
        length = 0 if S_ISDIR(mode) else size
        return packer.unpack(rest, path, file_id, length, mtime_ns // 1_000_000, atime_ns // 1_000_000, mode)


class _Shared(NamedTuple):
    """What files of a directory have in common."""

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


class Builder:
    """Makes a Directory of what ListStatus sends.

    `_add_plain` is `_add` for the files that nearly all files are, in half the time: a listing of 10,000 has to be
    made while somebody waits for it.
    """

    def __init__(self, path: bytes, listed: str, packer: Packer, addresses: Addresses, owners: Owners) -> None:
        self._path = path
        self._listed = listed
        self._base = path.decode().rstrip("/") + "/"
        self._packer = packer
        self._addresses = addresses
        self._owners = owners
        self._entries = bytearray()
        self._names: list[bytes] = []
        self._names_bytes = 0
        self._rests = bytearray()
        self._ends = array("I")
        self._shared: dict[tuple[object, ...], _Shared] = {}  # by the fields of a FileInfo that make it
        self._numbers: dict[int, bytes] = {}  # of addresses, by worker id, which means one address in one answer

    def __len__(self) -> int:
        return len(self._names)

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
        self._entries += _ENTRY.pack(*shown, self._names_bytes, name_bytes)
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
        self._entries += _ENTRY.pack(
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
        names = self._names
        if any(map(ge, names, names[1:])):
            self._sort()
        return Directory(bytes(self._entries), b"".join(names), bytes(self._rests), self._ends, asked)

    def _sort(self) -> None:
        """Brings the entries into the order of their names; of two with the same name, the first stays."""
        names, ends = self._names, self._ends
        entries, rests, new_ends = bytearray(), bytearray(), array("I")
        before = b""
        for i in sorted(range(len(names)), key=names.__getitem__):
            if names[i] == before and new_ends:
                continue
            before = names[i]
            entries += self._entries[i * _ENTRY.size : (i + 1) * _ENTRY.size]
            rests += self._rests[ends[i - 1] if i else 0 : ends[i]]
            new_ends.append(len(rests))
        self._entries, self._rests, self._ends = entries, rests, new_ends
