"""What the cluster told of paths: statuses, listings, and names that do not exist.

The store has two uses. With alluxio.user.metadata.cache.enabled it answers look-ups and listings until they expire.
Without, it remembers for some seconds what those told, so that an open need not ask again.

A listed directory is one record: the buffer that the core is given, in order of the names so that one of them is
found by bisection, and a blob with what a FileStatus has beyond an Attr. What was looked up alone is one byte string.
Both take 100 to 300 bytes a path (`Packer` for how), and leave in the order in which they were written.

What is newer counts: a status that was asked for before its directory was listed is used only where the listing
agrees that the name exists. A name that is not listed may exist all the same, because a master that has loaded a
directory once finds new files of the under store only by name. Of an incomplete file nothing is known.

Times are of one monotonic clock, seconds. Answers are as old as their question: `asked` is the time before the master
was asked, and an answer to a question from before the last `drop` is not stored.

Threads: any method from any thread. One lock guards the store; it is held for microseconds, and for 20 ms when a
directory with something remembered below it is dropped from among a million paths. Conversions run outside it.
`Packer` has a lock of its own for one append; neither lock is taken under the other.
"""

from __future__ import annotations

import enum
import errno
import os
import struct
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from operator import ge
from stat import S_ISDIR
from typing import TYPE_CHECKING, Final, NamedTuple

from alluxio_jnifuse.sources.alluxio.status import (
    IN_FULL,
    MS_MAX,
    Addresses,
    FileStatus,
    Owners,
    Packer,
    alluxio_path,
    attr,
    first_block,
    from_info,
    version,
)
from alluxio_jnifuse.sources.base import BLOCKS_FROM_SIZE, Listing

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.alluxio.proto.common_pb2 import BlockLocation
    from alluxio_jnifuse.sources.alluxio.proto.file_pb2 import FileInfo

_ENTRY = struct.Struct("=QQQQqqqIIIIII")  # base.ENTRY_DTYPE
_NAME = struct.Struct("=II")  # the end of it
_NAME_AT = _ENTRY.size - _NAME.size
_WRITTEN = struct.Struct("=d")  # all there is of a name that does not exist
_HEAD = struct.Struct("=dqqqqH")  # written, file id, length, mtime, atime, mode
_NUMBER = struct.Struct("=H")  # of a row of the packer
_IN_FULL = _NUMBER.pack(IN_FULL)
_SHARED_MAX = 1024  # of one listing; more than that, and files share nothing
_PURGED_AT_ONCE = 64  # removals under one hold of the lock, a few microseconds each


class Missing(enum.Enum):
    """The type of MISSING."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING  # known not to exist


class _Directory:
    """A listing. Immutable."""

    __slots__ = ("ends", "entries", "names", "rests", "written")

    def __init__(self, entries: bytes, names: bytes, rests: bytes, ends: array[int], written: float) -> None:
        self.entries = entries
        self.names = names
        self.rests = rests  # of the entries in order,
        self.ends = ends  # each ending here
        self.written = written

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

    def name(self, index: int) -> bytes:
        at, length = _NAME.unpack_from(self.entries, index * _ENTRY.size + _NAME_AT)
        return self.names[at : at + length]

    def status(self, index: int, path: str, packer: Packer) -> FileStatus:
        entry = _ENTRY.unpack_from(self.entries, index * _ENTRY.size)
        file_id, size, mtime_ns, atime_ns, mode = entry[0], entry[1], entry[4], entry[6], entry[7]
        rest = self.rests[self.ends[index - 1] if index else 0 : self.ends[index]]
        if file_id >= 2**63:
            file_id -= 2**64
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


class _Builder:
    """Makes a _Directory of what ListStatus sends.

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

    def finish(self, asked: float) -> _Directory:
        names = self._names
        if any(map(ge, names, names[1:])):
            self._sort()
        return _Directory(bytes(self._entries), b"".join(names), bytes(self._rests), self._ends, asked)

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


class MetadataCache:
    """See the module's docstring.

    `max_entries`: paths remembered, an entry of a listing being one and the listing itself another. `expire_s`: how
    long. `root`: the cluster's directory that the mount shows.
    """

    def __init__(self, max_entries: int, expire_s: float, root: str = "/") -> None:
        self.addresses = Addresses()
        self._max_entries = max_entries
        self._expire_s = expire_s
        self._root = root
        self._packer = Packer()

        self._lock = threading.Lock()  # guards what follows
        self._singles: OrderedDict[bytes, bytes] = OrderedDict()  # by path, oldest first
        self._listings: OrderedDict[bytes, _Directory] = OrderedDict()
        self._below: dict[bytes, int] = {}  # how many records a directory has directly in it, directories with such too
        self._entries = 0
        self._dropped_at = float("-inf")

    def get(self, path: bytes, now: float, max_age: float | None = None) -> FileStatus | Missing | None:
        """The status of `path`, or MISSING; None when nothing is known, or since more than `max_age` s."""
        oldest = self._oldest(now, max_age)
        parent, name = _split(path)
        with self._lock:
            single = self._singles.get(path)
            directory = self._listings.get(parent) if name else None
        written = _WRITTEN.unpack_from(single)[0] if single is not None else float("-inf")
        if directory is not None and directory.written > max(oldest, written):
            index = directory.find(name)
            found = directory.status(index, path.decode(), self._packer) if index >= 0 else None
        elif single is None or written <= oldest:
            return None
        elif len(single) == _WRITTEN.size:
            return MISSING
        else:
            _, file_id, length, mtime_ms, atime_ms, mode = _HEAD.unpack_from(single)
            rest = single[_HEAD.size :]
            found = self._packer.unpack(rest, path.decode(), file_id, length, mtime_ms, atime_ms, mode)
        return found if found is not None and found.completed else None

    def place(self, path: bytes, now: float) -> int | None:
        """Which of its directory's entries `path` is, in the order of the listing; None when that is not known."""
        directory, index = self._listed(path, now)
        return index if directory is not None and index >= 0 else None

    def following(self, path: bytes, now: float, count: int) -> list[tuple[bytes, FileStatus]]:
        """Of up to `count` entries behind `path` in its directory, those that are complete files."""
        directory, index = self._listed(path, now)
        if directory is None or index < 0:
            return []
        base = path[: path.rindex(b"/") + 1]
        found = []
        for at in range(index + 1, min(index + 1 + count, len(directory))):
            other = base + directory.name(at)
            status = directory.status(at, other.decode(), self._packer)
            if status.completed and not status.folder:
                found.append((other, status))
        return found

    def _listed(self, path: bytes, now: float) -> tuple[_Directory | None, int]:
        parent, name = _split(path)
        with self._lock:
            directory = self._listings.get(parent)
        if directory is None or directory.written <= self._oldest(now, None):
            return None, -1
        return directory, directory.find(name)

    def get_listing(self, path: bytes, now: float, max_age: float | None = None) -> Listing | None:
        """The listing of a directory as it was given; None when it is not known, or since more than `max_age` s."""
        with self._lock:
            directory = self._listings.get(path)
        if directory is None or directory.written <= self._oldest(now, max_age):
            return None
        return Listing(directory.entries, directory.names)

    def put(self, path: bytes, status: FileStatus, asked: float) -> None:
        """Remembers what the master said of `path`."""
        if not status.completed:
            self._put(path, None, asked)
            return
        head = _HEAD.pack(asked, status.file_id, status.length, status.mtime_ms, status.atime_ms, status.mode)
        self._put(path, head + self._packer.pack(status, path.decode()), asked)

    def put_missing(self, path: bytes, asked: float) -> None:
        """Remembers that there is no `path`."""
        self._put(path, _WRITTEN.pack(asked), asked)

    def put_listing(self, path: bytes, batches: Iterable[Sequence[FileInfo]], owners: Owners, asked: float) -> Listing:
        """Makes the listing of a directory of what ListStatus sends, and remembers it unless it is too large.

        Raises what iterating `batches` raises, and NotADirectoryError when what was listed is a file.
        """
        builder = _Builder(path, alluxio_path(path, self._root), self._packer, self.addresses, owners)
        for infos in batches:
            builder.add(infos)
        directory = builder.finish(asked)
        with self._lock:
            known = self._listings.get(path)
            newest = known is None or known.written <= asked
            if newest:
                self._remove_listing(path)
            if newest and asked > self._dropped_at and len(directory) < self._max_entries:
                self._listings[path] = directory
                self._entries += len(directory) + 1
                self._link(path)
        self._make_room(asked)
        return Listing(directory.entries, directory.names)

    def drop(self, path: bytes, now: float) -> None:
        """Forgets `path`, everything below it, and the listing that it is in."""
        parent, name = _split(path)
        if not name:
            self.drop_all(now)
            return
        with self._lock:
            self._dropped_at = max(self._dropped_at, now)
            self._remove_single(path)
            self._remove_listing(parent)
            paths: list[bytes] = []
            if path in self._below:  # dict.keys: an OrderedDict would follow its links, which takes ten times as long
                paths = [*dict.keys(self._listings), *dict.keys(self._singles)]
        below = path + b"/"
        doomed = [found for found in paths if found.startswith(below) or found == path]
        for start in range(0, len(doomed), _PURGED_AT_ONCE):
            with self._lock:
                for found in doomed[start : start + _PURGED_AT_ONCE]:
                    self._remove_single(found)
                    self._remove_listing(found)

    def drop_all(self, now: float) -> None:
        """Forgets everything."""
        with self._lock:
            self._dropped_at = max(self._dropped_at, now)
            forgotten = self._singles, self._listings, self._below
            self._singles, self._listings, self._below = OrderedDict(), OrderedDict(), {}
            self._entries = 0
        del forgotten  # a million of them take a while

    def size(self) -> int:
        """How many paths are remembered."""
        return self._entries

    # --------------------------------------------------------------------------------- with the lock held, unless said

    def _oldest(self, now: float, max_age: float | None) -> float:
        """What was written then, or earlier, is too old. Needs no lock."""
        return now - (self._expire_s if max_age is None else min(max_age, self._expire_s))

    def _put(self, path: bytes, record: bytes | None, asked: float) -> None:
        """Takes the lock."""
        with self._lock:
            known = self._singles.get(path)
            if known is not None and _WRITTEN.unpack_from(known)[0] > asked:
                return
            self._remove_single(path)
            if record is None or asked <= self._dropped_at:
                return
            self._singles[path] = record
            self._entries += 1
            parent, name = _split(path)
            if name:
                self._link(parent)
        self._make_room(asked)

    def _remove_single(self, path: bytes) -> None:
        if self._singles.pop(path, None) is not None:
            self._entries -= 1
            parent, name = _split(path)
            if name:
                self._unlink(parent)

    def _remove_listing(self, path: bytes) -> None:
        directory = self._listings.pop(path, None)
        if directory is not None:
            self._entries -= len(directory) + 1
            self._unlink(path)

    def _link(self, directory: bytes) -> None:
        """One more record in `directory`."""
        while True:
            before = self._below.get(directory, 0)
            self._below[directory] = before + 1
            directory, name = _split(directory)
            if before or not name:
                return

    def _unlink(self, directory: bytes) -> None:
        """One record less in `directory`."""
        while True:
            left = self._below[directory] - 1
            if left:
                self._below[directory] = left
            else:
                del self._below[directory]
            directory, name = _split(directory)
            if left or not name:
                return

    def _make_room(self, now: float) -> None:
        """Removes the oldest of what is too much, and some of what has expired. Takes the lock, again and again."""
        full = True
        while full:
            with self._lock:
                for _ in range(_PURGED_AT_ONCE):
                    full = self._entries > self._max_entries
                    if not self._remove_oldest(float("inf") if full else self._oldest(now, None)):
                        return

    def _remove_oldest(self, until: float) -> bool:
        """Removes the record that was written first, if that was at `until` or before."""
        path = listed = b""
        written = listed_at = float("inf")
        if self._singles:
            path, record = next(iter(self._singles.items()))
            (written,) = _WRITTEN.unpack_from(record)
        if self._listings:
            listed, directory = next(iter(self._listings.items()))
            listed_at = directory.written
        if min(written, listed_at) > until or not (path or listed):
            return False
        if written <= listed_at:
            self._remove_single(path)
        else:
            self._remove_listing(listed)
        return True


def _split(path: bytes) -> tuple[bytes, bytes]:
    """The directory and the name of a path; the root has no name."""
    parent, _, name = path.rpartition(b"/")
    return parent or b"/", name
