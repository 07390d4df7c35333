"""The parts of a FileInfo that are kept: all that later opens and reads need, so that neither asks the master again.

Threads: everything here may be called from any thread.
"""

from __future__ import annotations

import errno
import marshal
import os
import struct
import sys
import threading
from array import array
from stat import S_IFDIR, S_IFREG, S_ISDIR
from typing import TYPE_CHECKING, Any, NamedTuple

from alluxio_jnifuse.sources.base import BLOCKS_FROM_SIZE, Attr

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.alluxio.metadata.owners import Owners
    from alluxio_jnifuse.sources.alluxio.proto.common_pb2 import WorkerNetAddress
    from alluxio_jnifuse.sources.alluxio.proto.file_pb2 import FileInfo

_U64 = 2**64 - 1
_SEQUENCE_BITS = 24  # a block id is a container id and the number of the block; a file id ends in ones
_DIRECTORY_BYTES = 4096  # shown as a directory's size: Alluxio's is the number of its entries
MS_MAX = (2**63 - 1) // 1_000_000  # times beyond this do not fit into nanoseconds
_ADDRESSES_MAX = 4096  # interned; workers that come and go under new names must not fill the memory
_LONGEST = 1024  # characters of what is remembered because others share it
_MOUNTS_MAX = 1024  # whose last prefix is remembered
_NUMBER = struct.Struct("=H")  # of a row of a table
_ROWS_MAX = 0xFFFF
IN_FULL = 0xFFFF  # instead of a number


class Address(NamedTuple):
    """The addresses of a worker, and its place."""

    host: str
    container_host: str  # "" = `host` is the name to connect to
    rpc_port: int
    data_port: int
    domain_socket: str  # path of a socket on the worker's machine, or ""
    tiers: tuple[tuple[str, str], ...]  # ("node", ...), ("rack", ...)

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port that take block reads."""
        return self.container_host or self.host, self.data_port


class FileStatus(NamedTuple):
    """A file or directory of the cluster."""

    file_id: int  # 0 = none, as the root has
    name: str  # last part of the path; "" for the root
    length: int  # bytes; 0 for a directory
    block_size: int  # bytes; all blocks but the last have this length
    mtime_ms: int  # since the epoch
    atime_ms: int
    mode: int  # type and permissions, as st_mode
    owner: str
    group: str
    folder: bool
    completed: bool  # while it is not, length and blocks mean nothing
    persistence: str  # NOT_PERSISTED, TO_BE_PERSISTED, PERSISTED, LOST
    ufs_path: str  # URI in the under store, where it is or would be
    mount_id: int
    block_ids: tuple[int, ...]
    block_lengths: tuple[int, ...]  # of the same blocks
    locations: tuple[tuple[Address, ...], ...]  # for each block, the workers that hold it
    replication_max: int  # 0 and less = no limit

    @property
    def persisted(self) -> bool:
        """Whether the under store has the file."""
        return self.persistence == "PERSISTED"

    @property
    def in_ufs(self) -> bool:
        """Whether a worker without the blocks can get them; see OpenUfsBlockOptions for how they are asked for."""
        return self.persistence in ("PERSISTED", "TO_BE_PERSISTED")


class Addresses:
    """Interns the addresses of workers: thousands of blocks are on the same few."""

    def __init__(self) -> None:
        self._known: dict[bytes, Address] = {}  # by their serialised form

    def of(self, message: WorkerNetAddress) -> Address:
        wire = message.SerializeToString()
        found = self._known.get(wire)
        if found is None:
            found = Address(
                message.host,
                message.containerHost,
                message.rpcPort,
                message.dataPort,
                message.domainSocketPath,
                tuple((tier.tierName, tier.value) for tier in message.tieredIdentity.tiers),
            )
            if len(self._known) >= _ADDRESSES_MAX:
                self._known.clear()
            if len(wire) <= _LONGEST:
                self._known[wire] = found
        return found


def from_info(info: FileInfo, addresses: Addresses) -> FileStatus:
    """Returns the parts of `info` that are kept."""
    folder = info.folder
    mtime_ms = info.lastModificationTimeMs
    atime_ms = info.lastAccessTimeMs or mtime_ms
    if not (-MS_MAX <= mtime_ms <= MS_MAX and -MS_MAX <= atime_ms <= MS_MAX):
        mtime_ms, atime_ms = (max(-MS_MAX, min(time_ms, MS_MAX)) for time_ms in (mtime_ms, atime_ms))
    block_ids = tuple(info.blockIds[:])  # a slice of a repeated field is a list, and faster than iterating
    lengths: tuple[int, ...] = ()
    locations: tuple[tuple[Address, ...], ...] = ()
    length = 0 if folder else max(0, info.length)
    block_size = info.blockSizeBytes
    if block_ids:
        lengths, locations = _blocks(info, block_ids, length, block_size, addresses)
    return FileStatus(
        max(0, info.fileId),  # -1 is none, as 0 is
        info.name,
        length,
        block_size,
        mtime_ms,
        atime_ms,
        (S_IFDIR if folder else S_IFREG) | (info.mode & 0o7777),
        sys.intern(info.owner),
        sys.intern(info.group),
        folder,
        folder or info.completed,
        sys.intern(info.persistenceState),
        info.ufsPath,
        info.mountId,
        block_ids,
        lengths,
        locations,
        info.replicationMax,
    )


def _blocks(
    info: FileInfo, block_ids: tuple[int, ...], length: int, block_size: int, addresses: Addresses
) -> tuple[tuple[int, ...], tuple[tuple[Address, ...], ...]]:
    """Lengths and locations of the blocks. One that the master says nothing of is nowhere, and as long as it can be."""
    told = {}
    for part in info.fileBlockInfos[:]:
        block = part.blockInfo
        where = tuple([addresses.of(holder.workerAddress) for holder in block.locations[:]])
        told[block.blockId] = (block.length, where)
    lengths = []
    locations = []
    start = 0
    for block_id in block_ids:
        block_length, where = told.get(block_id) or (max(0, min(block_size, length - start)), ())
        lengths.append(block_length)
        locations.append(where)
        start += block_size
    return tuple(lengths), tuple(locations)


def first_block(file_id: int) -> int:
    """Id of the first block of a file, to which those of the others follow."""
    return file_id >> _SEQUENCE_BITS << _SEQUENCE_BITS


def _block_count(length: int, block_size: int) -> int:
    return -(-length // block_size) if block_size > 0 else 0


def _regular_blocks(file_id: int, length: int, block_size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids and lengths of the blocks of a file that was written as all files are."""
    count = _block_count(length, block_size)
    if not count:
        return (), ()
    first = first_block(file_id)
    return tuple(range(first, first + count)), (block_size,) * (count - 1) + (length - (count - 1) * block_size,)


def _is_regular(status: FileStatus) -> bool:
    """Whether the blocks are those that the file's id and length say."""
    length, block_size = status.length, status.block_size
    if len(status.block_ids) != _block_count(length, block_size):  # a length may be nonsense
        return False
    return (status.block_ids, status.block_lengths) == _regular_blocks(status.file_id, length, block_size)


def version(file_id: int, length: int, mtime_ms: int, completed: bool) -> int:
    """The 64-bit identity of the contents; never the same for two that differ in one of the four alone."""
    h = (file_id * 0xD6E8FEB86659FD93 + mtime_ms) & _U64
    h = ((h ^ h >> 32) * 0xD6E8FEB86659FD93 + length * 2 + completed) & _U64
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93 & _U64
    return h ^ h >> 32


def version_of(status: FileStatus) -> int:
    """`version` of a status."""
    return version(status.file_id, status.length, status.mtime_ms, status.completed)


def attr(status: FileStatus, owners: Owners) -> Attr:
    """Returns the attributes of `status` that applications see. That of an incomplete file is true for this once."""
    uid, gid = owners.ids(status.owner, status.group)
    mtime_ns = status.mtime_ms * 1_000_000
    return Attr(
        status.file_id,
        _DIRECTORY_BYTES if status.folder else status.length,
        BLOCKS_FROM_SIZE,
        version_of(status),
        mtime_ns,
        mtime_ns,
        status.atime_ms * 1_000_000,
        status.mode,
        1 if status.completed else 0,
        uid,
        gid,
    )


class Packer:
    """Packs what a FileStatus has beyond its numbers: file id, length, times, mode.

    Values that many files share are a row of one table, an address of a worker one of another: two bytes each. Rows are
    never forgotten; a status that needs a row beyond the 65,535th, or one with very long texts, or whose blocks do not
    follow from id and length, is written out in full. The path in the under store is a prefix from the table and the
    tail of the file's own path.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._row_numbers: dict[tuple[Any, ...], int] = {}
        self._addresses: list[Address] = []
        self._address_numbers: dict[Address, int] = {}
        self._by_identity: dict[int, int] = {}  # of the addresses in the list, which therefore keep their identity
        self._prefixes: dict[int, tuple[str, int]] = {}  # by mount: the last prefix, and where paths go on after it
        self._lock = threading.Lock()  # of appends

    def pack(self, status: FileStatus, path: str) -> bytes:
        """The rest of the status of `path`."""
        prefix = self._prefix(status, path)
        if prefix is None or not _is_regular(status):
            return self._in_full(status)
        row = (*_in_common(status), *prefix)
        number = self._row_numbers.get(row)
        if number is None:
            number = self._append(row, self._rows, self._row_numbers)
        words = [number]
        if any(status.locations):
            first = status.locations[0]
            same = all(holders is first or holders == first for holders in status.locations)
            for holders in status.locations[:1] if same else status.locations:
                words.append(len(holders))
                for address in holders:
                    words.append(self.address_number(address))
        if max(words) >= IN_FULL:
            return self._in_full(status)
        return array("H", words).tobytes()

    def address_number(self, address: Address) -> int:
        """The row of an address; IN_FULL when the table is full."""
        number = self._by_identity.get(id(address))
        if number is None:
            number = self._address_numbers.get(address)
        if number is None:
            number = self._append(address, self._addresses, self._address_numbers)
            if number != IN_FULL:
                kept = self._addresses[number]
                self._by_identity[id(kept)] = number
        return number

    def unpack(
        self, rest: bytes, path: str, file_id: int, length: int, mtime_ms: int, atime_ms: int, mode: int
    ) -> FileStatus:
        """The status of `path`, of its numbers and the rest."""
        name = path[path.rindex("/") + 1 :]
        (number,) = _NUMBER.unpack_from(rest)
        locations: tuple[tuple[Address, ...], ...]
        if number == IN_FULL:
            shared, ufs_path, block_ids, lengths, written = marshal.loads(memoryview(rest)[_NUMBER.size :])
            locations = tuple(tuple(Address(*address) for address in holders) for holders in written)
        else:
            *shared, prefix, cut = self._rows[number]
            ufs_path = prefix + path[cut:]
            block_ids, lengths = _regular_blocks(file_id, length, shared[0])
            locations = self._locations(rest, len(block_ids))
        block_size, owner, group, persistence, mount_id, completed, replication_max = shared
        return FileStatus(
            file_id,
            name,
            length,
            block_size,
            mtime_ms,
            atime_ms,
            mode,
            owner,
            group,
            S_ISDIR(mode),
            completed,
            persistence,
            ufs_path,
            mount_id,
            block_ids,
            lengths,
            locations,
            replication_max,
        )

    def _locations(self, rest: bytes, blocks: int) -> tuple[tuple[Address, ...], ...]:
        """Those of each block; a single list is that of them all, none at all means that no worker has any."""
        words = array("H", rest)
        found = []
        at = 1
        while at < len(words):
            count = words[at]
            found.append(tuple([self._addresses[number] for number in words[at + 1 : at + 1 + count]]))
            at += 1 + count
        if not found:
            return ((),) * blocks
        return tuple(found) if len(found) > 1 else (found[0],) * blocks

    def _prefix(self, status: FileStatus, path: str) -> tuple[str, int] | None:
        """(p, n) such that the path in the under store is p + path[n:]; None when they have nothing in common."""
        known = self._prefixes.get(status.mount_id)
        if known is not None:
            tail = path[known[1] :]
            if tail.startswith("/") and status.ufs_path == known[0] + tail:
                return known
        there, here = status.ufs_path, path
        while here:
            part = here[here.rindex("/") :]
            if not there.endswith(part):
                break
            there, here = there[: -len(part)], here[: -len(part)]
        if len(here) == len(path):
            return None
        found = there, len(here)
        if len(self._prefixes) >= _MOUNTS_MAX:
            self._prefixes.clear()
        if len(there) <= _LONGEST:
            self._prefixes[status.mount_id] = found
        return found

    def _append(self, row: Any, rows: list[Any], numbers: dict[Any, int]) -> int:
        with self._lock:
            number = numbers.get(row)
            if number is None:
                if len(rows) >= _ROWS_MAX or _length(row) > _LONGEST:
                    return IN_FULL
                number = numbers[row] = len(rows)
                rows.append(row)
            return number

    def _in_full(self, status: FileStatus) -> bytes:
        locations = tuple(tuple(tuple(address) for address in holders) for holders in status.locations)
        data: Any = (_in_common(status), status.ufs_path, status.block_ids, status.block_lengths, locations)
        return _NUMBER.pack(IN_FULL) + marshal.dumps(data)


def _in_common(status: FileStatus) -> tuple[Any, ...]:
    """The fields of a status that many files share."""
    return (
        status.block_size,
        status.owner,
        status.group,
        status.persistence,
        status.mount_id,
        status.completed,
        status.replication_max,
    )


def _length(row: Any) -> int:
    """Characters of all its texts."""
    if isinstance(row, tuple):
        return sum(map(_length, row))
    return len(row) if isinstance(row, str) else 0


def alluxio_path(path: bytes, root: str = "/") -> str:
    """The cluster's name for `path` of the mount that shows the cluster's directory `root`.

    Raises FileNotFoundError for what is not UTF-8: nothing in a cluster has such a name.
    """
    try:
        text = path.decode()
    except UnicodeDecodeError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
    if root == "/":
        return text
    return root if text == "/" else root + text
