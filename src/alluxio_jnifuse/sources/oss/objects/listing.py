"""A directory: the keys that begin with a prefix, up to the next slash, as files and directories.

    prefix/name      a file                     prefix/name/...   a directory `name`
    prefix/          the directory itself: its marker, which need not exist while there are keys below it

Where both a file and a directory have a name, it is the directory's. What no file system can show is left out: names
that are empty (`a//b`), `.`, `..`, longer than 255 bytes, or that hold a NUL.

Threads: a Directory is immutable; a Builder is one thread's.
"""

from __future__ import annotations

import hashlib
import stat
import struct
from array import array
from operator import ge
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.sources.base import BLOCKS_FROM_SIZE, Attr

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.oss.objects.pages import Page

_ENTRY = struct.Struct("=QQQQqqqIIIIII")  # base.ENTRY_DTYPE
_NAME = struct.Struct("=II")  # the end of it
_NAME_AT = _ENTRY.size - _NAME.size
_SIZE, _VERSION, _MTIME, _MODE, _NLINK = 1, 3, 4, 7, 8  # fields of an entry
_NAME_MAX = 255  # bytes, of any file system here
_DOTS = (b".", b"..")
_FILE = stat.S_IFREG | 0o644
_DIRECTORY = stat.S_IFDIR | 0o755


class Record(NamedTuple):
    """What is known of one path. `etag` is "" for a directory."""

    directory: bool
    size: int  # bytes
    mtime_s: int  # since the epoch
    version: int
    etag: str
    number: int = 0  # inode number; 0: the core makes one up


class Owner(NamedTuple):
    """Whom everything belongs to, and since when directories are there, which OSS does not know (s, the epoch)."""

    uid: int
    gid: int
    since_s: int


def version_of(etag: str, size: int, mtime_s: int) -> int:
    """The 64-bit identity of an object's contents."""
    return int.from_bytes(hashlib.blake2b(f"{etag} {size} {mtime_s}".encode(), digest_size=8).digest(), "little")


def link_number(key: bytes) -> int:
    """The inode number of a symbolic link: what a listing says of it is not the version that is read."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 2 | 1 << 62


def file_record(etag: str, size: int, mtime_s: int) -> Record:
    return Record(False, size, mtime_s, version_of(etag, size, mtime_s), etag)


def directory_record(owner: Owner) -> Record:
    return Record(True, 0, owner.since_s, 0, "")


def attr_of(record: Record, owner: Owner) -> Attr:
    """What the core is told."""
    mode, nlink = (_DIRECTORY, 2) if record.directory else (_FILE, 1)
    when = record.mtime_s * 10**9
    return Attr(
        record.number,
        record.size,
        BLOCKS_FROM_SIZE,
        record.version,
        when,
        when,
        when,
        mode,
        nlink,
        owner.uid,
        owner.gid,
    )


class Directory:
    """A listing as the core is given it, sorted by name, and the ETags of its files. Immutable."""

    __slots__ = ("asked", "ends", "entries", "etags", "names")

    def __init__(self, entries: bytes, names: bytes, etags: bytes, ends: array[int], asked: float) -> None:
        self.entries = entries
        self.names = names
        self.etags = etags  # of the entries in order,
        self.ends = ends  # each ending here
        self.asked = asked  # the time of the question, s, monotonic

    def __len__(self) -> int:
        return len(self.ends)

    def find(self, name: bytes) -> Record | None:
        """What the listing says of a name; None also when that is no more than that it exists."""
        low, high = 0, len(self.ends)
        while low < high:
            middle = (low + high) // 2
            at, length = _NAME.unpack_from(self.entries, middle * _ENTRY.size + _NAME_AT)
            found = self.names[at : at + length]
            if found == name:
                return self._record(middle)
            if found < name:
                low = middle + 1
            else:
                high = middle
        return None

    def _record(self, index: int) -> Record | None:
        entry = _ENTRY.unpack_from(self.entries, index * _ENTRY.size)
        if not entry[_NLINK]:
            return None
        etag = self.etags[self.ends[index - 1] if index else 0 : self.ends[index]].decode()
        mtime_s = entry[_MTIME] // 10**9
        return Record(stat.S_ISDIR(entry[_MODE]), entry[_SIZE], mtime_s, entry[_VERSION], etag)


class Builder:
    """Makes a Directory of the pages of the keys that begin with `prefix`."""

    def __init__(self, prefix: bytes, owner: Owner) -> None:
        self.exists = False  # whether there is any such key, be it one that cannot be shown
        self.hidden = 0  # keys that cannot be shown, and prefixes of such
        self.example = b""  # one of them
        self._prefix = prefix
        self._owner = owner
        self._entries = bytearray()
        self._names: list[bytes] = []
        self._names_bytes = 0
        self._etags = bytearray()
        self._ends = array("I")

    def __len__(self) -> int:
        return len(self._names)

    @property
    def size(self) -> int:
        """Bytes of the listing so far."""
        return len(self._entries) + self._names_bytes

    def add(self, page: Page) -> None:
        skip = len(self._prefix)
        for found in page.objects:
            self.exists = True
            name = found.key[skip:]
            if is_shown(name):
                version = version_of(found.etag, found.size, found.mtime_s)
                number, nlink = (link_number(found.key), 0) if found.linked else (0, 1)
                self._append(number, name, _FILE, found.size, found.mtime_s, version, nlink, found.etag)
            elif name:  # else it is the marker
                self._hide(found.key)
        for prefix in page.prefixes:
            self.exists = True
            name = prefix[skip:-1]
            if is_shown(name):
                self._append(0, name, _DIRECTORY, 0, self._owner.since_s, 0, 2, "")
            else:
                self._hide(prefix)

    def finish(self, asked: float) -> Directory:
        if any(map(ge, self._names, self._names[1:])):
            self._sort()
        return Directory(bytes(self._entries), b"".join(self._names), bytes(self._etags), self._ends, asked)

    def _hide(self, key: bytes) -> None:
        self.hidden += 1
        self.example = self.example or key

    def _append(
        self, number: int, name: bytes, mode: int, size: int, mtime_s: int, version: int, nlink: int, etag: str
    ) -> None:
        when = mtime_s * 10**9
        uid, gid, _ = self._owner
        length = len(name)
        self._entries += _ENTRY.pack(
            number, size, BLOCKS_FROM_SIZE, version, when, when, when, mode, nlink, uid, gid, self._names_bytes, length
        )
        self._names.append(name)
        self._names_bytes += length
        self._etags += etag.encode()
        self._ends.append(len(self._etags))

    def _sort(self) -> None:
        """Brings the entries into the order of their names; of a file and a directory, the directory stays."""
        names, size = self._names, _ENTRY.size
        entries, etags, ends = bytearray(), bytearray(), array("I")

        def rank(index: int) -> tuple[bytes, bool]:
            return names[index], not stat.S_ISDIR(_ENTRY.unpack_from(self._entries, index * size)[_MODE])

        before: bytes | None = None
        for i in sorted(range(len(names)), key=rank):
            if names[i] == before:
                self._hide(self._prefix + names[i])
                continue
            before = names[i]
            entries += self._entries[i * size : (i + 1) * size]
            etags += self._etags[self._ends[i - 1] if i else 0 : self._ends[i]]
            ends.append(len(etags))
        self._entries, self._etags, self._ends = entries, etags, ends


def is_shown(name: bytes) -> bool:
    """Whether a file system can have such a name."""
    return bool(name) and len(name) <= _NAME_MAX and name not in _DOTS and b"\0" not in name and b"/" not in name
