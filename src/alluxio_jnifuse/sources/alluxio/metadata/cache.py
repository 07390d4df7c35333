"""The answers of the cluster about paths: statuses, listings, and names that do not exist.

The store has two uses. With alluxio.user.metadata.cache.enabled it answers look-ups and listings until they expire.
Without, it remembers for some seconds what those told, so that an open need not ask again.

A listed directory is one record: the buffer that the core is given, in order of the names so that one of them is
found by bisection, and a blob with what a FileStatus has beyond an Attr. A path that was looked up alone is one byte
string. Both take 100 to 300 bytes a path (`Packer` for how), and leave in the order in which they were written.

The newer answer counts: a status that was asked for before its directory was listed is used only where the listing
agrees that the name exists. A listing that a newer status contradicts is given to nobody any more who lists the
directory, but while no master answers; what it says of other names is as good as before. A name that is not listed may
exist all the same, because a master that has loaded a directory once finds new files of the under store only by name.
Of an incomplete file nothing is known.

Times are of one monotonic clock, seconds. Answers are as old as their question: `asked` is the time before the master
was asked, and an answer to a question from before the last `drop` is not stored.

Threads: any method from any thread. One lock guards the store; it is held for microseconds, and for 20 ms when a
directory with something remembered below it is dropped from among a million paths. Conversions run outside it.
`Packer` has a lock of its own for one append; neither lock is taken under the other.
"""

from __future__ import annotations

import enum
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from alluxio_jnifuse.sources.alluxio.metadata.listing import Builder, Directory
from alluxio_jnifuse.sources.alluxio.metadata.owners import Owners
from alluxio_jnifuse.sources.alluxio.metadata.status import Addresses, FileStatus, Packer, alluxio_path
from alluxio_jnifuse.sources.base import Listing

if TYPE_CHECKING:
    from alluxio_jnifuse.sources.alluxio.proto.file_pb2 import FileInfo

_WRITTEN = struct.Struct("=d")  # all there is of a name that does not exist
_HEAD = struct.Struct("=dqqqqH")  # written, file id, length, mtime, atime, mode
_PURGED_AT_ONCE = 64  # removals under one hold of the lock, a few microseconds each


class Missing(enum.Enum):
    """The type of MISSING."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING  # known not to exist


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
        self._listings: OrderedDict[bytes, Directory] = OrderedDict()
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

    def get_listing(
        self, path: bytes, now: float, max_age: float | None = None, *, outdated: bool = False
    ) -> Listing | None:
        """The listing of a directory as it was given; None when it is not known, or since more than `max_age` s.

        `outdated`: also one that is known to be out of date.
        """
        with self._lock:
            directory = self._listings.get(path)
        if directory is None or directory.written <= self._oldest(now, max_age):
            return None
        if directory.outdated and not outdated:
            return None
        return Listing(directory.entries, directory.names)

    def put(self, path: bytes, status: FileStatus, asked: float) -> None:
        """Remembers what the master said of `path`."""
        self._compare(path, status, asked)
        if not status.completed:
            self._put(path, None, asked)
            return
        head = _HEAD.pack(asked, status.file_id, status.length, status.mtime_ms, status.atime_ms, status.mode)
        self._put(path, head + self._packer.pack(status, path.decode()), asked)

    def put_missing(self, path: bytes, asked: float) -> None:
        """Remembers that there is no `path`."""
        self._compare(path, None, asked)
        self._put(path, _WRITTEN.pack(asked), asked)

    def put_listing(
        self,
        path: bytes,
        batches: Iterable[Sequence[FileInfo]],
        owners: Owners,
        asked: float,
        grown: Callable[[Builder], None] = lambda builder: None,
    ) -> Listing:
        """Makes the listing of a directory of what ListStatus sends, and remembers it unless it is too large.

        `grown` is called after each batch, and may raise. Raises what iterating `batches` raises, and
        NotADirectoryError when what was listed is a file.
        """
        builder = Builder(path, alluxio_path(path, self._root), self._packer, self.addresses, owners)
        for infos in batches:
            builder.add(infos)
            grown(builder)
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
        """Returns the time from which on answers are young enough. Needs no lock."""
        return now - (self._expire_s if max_age is None else min(max_age, self._expire_s))

    def _compare(self, path: bytes, status: FileStatus | None, asked: float) -> None:
        """Notes which listing says otherwise than a newer answer (None: there is none). Takes the lock."""
        parent, name = _split(path)
        with self._lock:
            directory = self._listings.get(parent) if name else None
        if directory is None or directory.outdated or directory.written > asked:
            return
        index = directory.find(name)
        same = status is not None and index >= 0 and directory.file_id(index) == status.file_id
        if not same and (status is not None or index >= 0):
            directory.outdated = True

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
