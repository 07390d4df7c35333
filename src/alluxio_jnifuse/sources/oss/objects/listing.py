"""A directory: the keys that begin with a prefix, up to the next slash, as files and directories.

    prefix/name      a file                     prefix/name/...   a directory `name`
    prefix/          the directory itself: its marker, which need not exist while there are keys below it

If both a file and a directory have a name, it is the directory's. Names that no file system can show are left out:
those that are empty (`a//b`), `.`, `..`, longer than 255 bytes, or that hold a NUL.

Threads: a Directory is immutable; a Builder is one thread's.
"""

from __future__ import annotations

import hashlib
import stat
from array import array
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.sources.base import BLOCKS_FROM_SIZE, Attr
from alluxio_jnifuse.sources.listing import ENTRY, MODE, MTIME, NLINK, SIZE, VERSION, Packed, Packing

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.oss.objects.pages import Page

_NAME_MAX = 255  # bytes, of any file system here
_DOTS = (b".", b"..")
_FILE = stat.S_IFREG | 0o644
_DIRECTORY = stat.S_IFDIR | 0o755


class Record(NamedTuple):
    """The entry of one path. `etag` is "" for a directory."""

    directory: bool
    size: int  # bytes
    mtime_s: int  # since the epoch
    version: int
    etag: str
    number: int = 0  # inode number; 0: the core makes one up


class Owner(NamedTuple):
    """The owner of everything, and the time of directories, which OSS does not know (s, the epoch)."""

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
    """Returns the attributes of a record, for the core."""
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


class Directory(Packed):
    """A listing, and the ETags of its files."""

    __slots__ = ("asked",)

    def __init__(self, entries: bytes, names: bytes, etags: bytes, ends: array[int], asked: float) -> None:
        super().__init__(entries, names, etags, ends)
        self.asked = asked  # the time of the question, s, monotonic

    def record(self, name: bytes) -> Record | None:
        """Returns the entry of a name; None also if the listing says no more than that it exists."""
        index = self.find(name)
        if index < 0:
            return None
        entry = self.entry(index)
        if not entry[NLINK]:
            return None
        etag = self.rest(index).decode()
        return Record(stat.S_ISDIR(entry[MODE]), entry[SIZE], entry[MTIME] // 10**9, entry[VERSION], etag)


class Builder(Packing):
    """Makes a Directory of the pages of the keys that begin with `prefix`."""

    def __init__(self, prefix: bytes, owner: Owner) -> None:
        super().__init__()
        self.exists = False  # whether there is any such key, be it one that cannot be shown
        self.hidden = 0  # keys that cannot be shown, and prefixes of such
        self.example = b""  # one of them
        self._prefix = prefix
        self._owner = owner

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
        self._sort()
        return Directory(bytes(self._entries), b"".join(self._names), bytes(self._rests), self._ends, asked)

    def _rank(self, index: int) -> tuple[bytes, bool]:
        """Of a file and a directory, the directory stays."""
        return self._names[index], not stat.S_ISDIR(ENTRY.unpack_from(self._entries, index * ENTRY.size)[MODE])

    def _left_out(self, name: bytes) -> None:
        self._hide(self._prefix + name)

    def _hide(self, key: bytes) -> None:
        self.hidden += 1
        self.example = self.example or key

    def _append(
        self, number: int, name: bytes, mode: int, size: int, mtime_s: int, version: int, nlink: int, etag: str
    ) -> None:
        when = mtime_s * 10**9
        uid, gid, _ = self._owner
        length = len(name)
        self._entries += ENTRY.pack(
            number, size, BLOCKS_FROM_SIZE, version, when, when, when, mode, nlink, uid, gid, self._names_bytes, length
        )
        self._names.append(name)
        self._names_bytes += length
        self._rests += etag.encode()
        self._ends.append(len(self._rests))


def is_shown(name: bytes) -> bool:
    """Whether a file system can have such a name."""
    return bool(name) and len(name) <= _NAME_MAX and name not in _DOTS and b"\0" not in name and b"/" not in name
