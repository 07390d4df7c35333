"""A source behind the client cache on disk: what is stored is not asked for again."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alluxio_jnifuse._wire import SUM_BYTES
from alluxio_jnifuse.cache.place import Place
from alluxio_jnifuse.cache.store import StoredFile, digest_of
from alluxio_jnifuse.errors import AlluxioFuseError, CorruptContents, StaleVersion
from alluxio_jnifuse.sources.base import Attr, Extent, Listing, OpenFile, Source, StatFs

Progress = Callable[[int], None]

# The counters, in the order of `CachedSource.counters`.
COUNTERS = {
    "cache_hit_bytes": "bytes found in the store",
    "cache_miss_bytes": "bytes fetched from the storage",
    "cache_lent_files": "opens of complete files, which the kernel reads in the store",
    "cache_pages": "pages stored (gauge)",
    "cache_disk_used_bytes": "bytes of the budget in use (gauge)",
    "cache_evicted_pages": "pages evicted for room",
    "cache_restored_pages": "pages found when mounting",
    "cache_discarded_files": "stored files that were of no use",
    "cache_corrupt_granules": "runs of 4 KiB that did not agree with their checksum, and were fetched again",
    "cache_errors": "failures of the disk, those next included",
    "cache_timeouts": "times that the disk did not answer in time",
}


class _Handle:
    """An open file. `lock` guards the opening of the source's own handle."""

    def __init__(
        self, path: bytes, version: int, size: int, digest: bytes, place: Place, held: StoredFile | None
    ) -> None:
        self.path = path
        self.digest = digest
        self.version = version
        self.size = size
        self.place = place
        self.held = held
        self.lent = False
        self.opened: OpenFile | None = None  # at the source
        self.late: Sequence[Extent] = ()  # lent by the source after this was opened: ours
        self.lock = threading.Lock()


class CachedSource(Source):
    """`inner`, whose files are kept in `places`. `name` tells sources apart across restarts.

    `closing` is set when it is closed.
    """

    def __init__(self, inner: Source, name: str, places: Sequence[Place]) -> None:
        self.small_bytes = inner.small_bytes
        self.small_ahead = inner.small_ahead
        self.confirms_opens = inner.confirms_opens
        self.opens_files = inner.opens_files
        self.stack_depth = max([inner.stack_depth, *(place.store.stack_depth for place in places)])
        self._inner = inner
        self._name = name
        self.closing = threading.Event()
        self.passthrough = False
        self._places = places
        self._hit_bytes = 0
        self._miss_bytes = 0
        self._lent_files = 0

    def __str__(self) -> str:
        return str(self._inner)

    # ------------------------------------------------------------------------------------------------- metadata

    @property
    def invalidate(self) -> Callable[[bytes], None]:
        """See Source.invalidate: the source itself calls it."""
        return self._inner.invalidate

    @invalidate.setter
    def invalidate(self, function: Callable[[bytes], None]) -> None:
        self._inner.invalidate = function

    @property
    def offer_list(self) -> Callable[[bytes, Any, bytes, float], None]:
        """See Source.offer_list: the source itself calls it."""
        return self._inner.offer_list

    @offer_list.setter
    def offer_list(self, function: Callable[[bytes, Any, bytes, float], None]) -> None:
        self._inner.offer_list = function

    @property
    def check_wanted(self) -> Callable[[], None]:
        """See Source.check_wanted: the source itself calls it."""
        return self._inner.check_wanted

    @check_wanted.setter
    def check_wanted(self, function: Callable[[], None]) -> None:
        self._inner.check_wanted = function

    def mounted(self, device: int) -> None:
        self._inner.mounted(device)

    def stat(self, path: bytes) -> Attr:
        return self._inner.stat(path)

    def list(self, path: bytes) -> Listing:
        return self._inner.list(path)

    def readlink(self, path: bytes) -> bytes:
        return self._inner.readlink(path)

    def forget(self, path: bytes) -> None:
        self._inner.forget(path)

    def remembered(self) -> int:
        return self._inner.remembered()

    def statfs(self) -> StatFs:
        return self._inner.statfs()

    def counters(self) -> Mapping[str, int]:
        figures = [place.store.figures() for place in self._places]
        counts = [place.store.counts for place in self._places]
        values = (
            self._hit_bytes,
            self._miss_bytes,
            self._lent_files,
            sum(f.pages for f in figures),
            sum(f.used for f in figures),
            sum(f.evicted for f in figures),
            sum(c.restored for c in counts),
            sum(c.discarded for c in counts),
            sum(c.corrupt for c in counts),
            sum(guard.errors for place in self._places for guard in place.guards),
            sum(guard.timeouts for place in self._places for guard in place.guards),
        )
        return {**self._inner.counters(), **dict(zip(COUNTERS, values))}

    def servers(self) -> Mapping[str, Mapping[str, int]]:
        return self._inner.servers()

    # ----------------------------------------------------------------------------------------------------- files

    def open(self, path: bytes, version: int) -> OpenFile:
        digest = digest_of(self._name, path, version)
        place = self._place_of(digest)
        found = place.find(digest, self.passthrough)
        if found is not None:
            return self._open_stored(path, version, place, *found)
        opened = self._inner.open(path, version)
        # Lent files are on this machine already.
        held = None if opened.extents else place.hold(digest, opened.size)
        handle = _Handle(path, version, opened.size, digest, place, held)
        handle.opened = opened
        keeps = opened.handle is not None or not opened.extents
        return opened._replace(handle=handle if keeps else None)

    def _open_stored(self, path: bytes, version: int, place: Place, held: StoredFile, fd: int | None) -> OpenFile:
        """A file that is stored as a whole: its source is not asked, or for its attributes only."""
        handle = _Handle(path, version, held.size, held.digest, place, held)
        attr = self._now(path) if self.confirms_opens else None
        if fd is None:
            return OpenFile(handle, version, held.size, (), attr)
        handle.lent = True
        self._lent_files += 1
        return OpenFile(handle, version, held.size, (Extent(fd, 0, held.size),), attr)

    def _now(self, path: bytes) -> Attr | None:
        """Attributes as the source has them; None where it cannot tell: what is stored can be read all the same."""
        try:
            return self._inner.stat(path)
        except (OSError, AlluxioFuseError):
            return None

    def read_into(self, handle: _Handle, offset: int, buffer: memoryview, progress: Progress) -> int:
        place, held = handle.place, handle.held
        length = max(0, min(len(buffer), handle.size - offset))
        done = 0
        while done < length:
            found = place.read(held, offset + done, buffer[done:length]) if held else None
            if found:
                self._hit_bytes += found
                done += found
                progress(done)
                continue
            end = offset + length
            if held and found is not None:
                end = place.gap_end(held, offset + done, end)
            gap = buffer[done : end - offset]
            got = self._fill(handle, offset + done, gap, _later(progress, done))
            done += got
            if got < len(gap):
                break
        return done

    def _fill(self, handle: _Handle, offset: int, gap: memoryview, progress: Progress) -> int:
        """Reads from the source what is not stored, and stores it."""
        place, held = handle.place, handle.held
        generation = place.store.generation(handle.digest)

        def read(told: Progress) -> int:
            opened = self._opened(handle)
            if handle.late:
                return _read_extents(handle.late, offset, gap)
            return self._inner.read_into(opened.handle, offset, gap, told)

        def keep(final: int) -> None:
            if held is not None and len(handle.late) != 1:  # a single one may be written in place
                place.keep(held, offset, gap[:final], generation)

        return self._fetch(read, keep, place, handle.digest, progress, handle.size - offset)

    def read_small(
        self, path: bytes, version: int, size: int, offset: int, buffer: memoryview, progress: Progress
    ) -> int:
        digest = digest_of(self._name, path, version)
        place = self._place_of(digest)
        generation = place.store.generation(digest)
        found = place.read_small(digest, size, offset, buffer)
        if found >= min(len(buffer), size - offset):
            self._hit_bytes += found
            progress(found)
            return found

        def read(told: Progress) -> int:
            return self._inner.read_small(path, version, size, offset, buffer, told)

        def keep(final: int) -> None:
            place.keep_small(digest, size, offset, buffer[:final], generation)

        return self._fetch(read, keep, place, digest, progress, size - offset)

    def _fetch(
        self,
        read: Callable[[Progress], int],
        keep: Callable[[int], None],
        place: Place,
        digest: bytes,
        progress: Progress,
        rest: int,
    ) -> int:
        """Has bytes read from the source, and kept as far as they became final, also when something fails.

        `rest`: bytes from the first one to the end of the file.
        """
        final = 0

        def told(n: int) -> None:
            nonlocal final
            final = n
            progress(n)

        try:
            read_in_all = read(told)
            if read_in_all > final:
                told(read_in_all)  # nobody is to wait for the disk
            return read_in_all
        except CorruptContents:
            final = 0
            place.disown(digest)
            raise
        finally:
            self._miss_bytes += final
            if final < rest:
                final = final // SUM_BYTES * SUM_BYTES
            if final:
                keep(final)

    def close_file(self, handle: _Handle) -> None:
        if handle.held is not None:
            handle.place.let_go(handle.held, handle.lent)
        for extent in handle.late:
            os.close(extent.fd)
        if handle.opened is not None and handle.opened.handle is not None:
            self._inner.close_file(handle.opened.handle)

    def close(self) -> None:
        self.closing.set()
        self._inner.close()
        for place in self._places:
            place.close()

    # ----------------------------------------------------------------------------------------------------- parts

    def _place_of(self, digest: bytes) -> Place:
        """Files are spread by digest, in proportion to the budgets."""
        if len(self._places) == 1:
            return self._places[0]
        limits = [place.store.figures().limit for place in self._places]
        at = int.from_bytes(digest[8:], "little") * sum(limits) >> 64  # a budget that changes a little moves little
        for place, limit in zip(self._places, limits):
            at -= limit
            if at < 0:
                return place
        raise AssertionError("a part is smaller than the whole")

    def _opened(self, handle: _Handle) -> OpenFile:
        """The file at the source, opened when something is missing."""
        with handle.lock:
            if handle.opened is None:
                opened = self._inner.open(handle.path, handle.version)
                if (opened.version, opened.size) != (handle.version, handle.size):
                    for extent in opened.extents:
                        os.close(extent.fd)
                    if opened.handle is not None:
                        self._inner.close_file(opened.handle)
                    raise StaleVersion(repr(os.fsdecode(handle.path)))  # and the next read finds out anew
                handle.opened, handle.late = opened, opened.extents
            return handle.opened


def _later(progress: Progress, done: int) -> Progress:
    return lambda n: progress(done + n)


def _read_extents(extents: Sequence[Extent], offset: int, buffer: memoryview) -> int:
    """Reads from files that a source lends; it had not when the file was opened first."""
    done = 0
    start = 0
    for extent in extents:
        inside = offset + done - start
        while done < len(buffer) and 0 <= inside < extent.length:
            piece = buffer[done : done + extent.length - inside]
            got = os.preadv(extent.fd, [piece], extent.offset + inside)
            if not got:
                return done
            done += got
            inside += got
        start += extent.length
    return done
