"""The Source of a cluster: what the core asks, answered from what is remembered or by asking masters and workers.

The answers of look-ups and listings are remembered for a while (metadata/), so that opening a file that was listed
costs no call to a master. A version is a file of the cluster, which never changes once it is complete; to replace a
file makes another one. So an open may rely on what is remembered: the blocks of a file that was replaced meanwhile are
read as they were, or not at all (attempts.py).

    file of up to `small_bytes`    never opened: each read is one `read_small`, one call to one worker
    all blocks on this machine     lent: one block goes to the kernel as it is (passthrough), several are spliced
    else                           a FileReader; blocks on this machine are read as files

A file that was replaced since it was looked up is noticed before its open is answered, when nobody has seen anything of
the old one: the core waits for the first bytes of a small file; a lent one stays as it was; for others the master is
asked, unless the metadata cache says that what it knows counts.

While no master answers, what is remembered answers however old it is, up to the store's own limit.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from alluxio_jnifuse.errors import MountError, StaleVersion, forget_frames
from alluxio_jnifuse.mounts import stacking
from alluxio_jnifuse.sources.alluxio.data.attempts import FileBlocks
from alluxio_jnifuse.sources.alluxio.data.localfiles import LocalFiles, close_all
from alluxio_jnifuse.sources.alluxio.data.reader import FileReader
from alluxio_jnifuse.sources.alluxio.metadata.cache import MISSING, MetadataCache
from alluxio_jnifuse.sources.alluxio.metadata.owners import Owners
from alluxio_jnifuse.sources.alluxio.metadata.status import FileStatus, alluxio_path, attr, from_info, version_of
from alluxio_jnifuse.sources.alluxio.rpc.errors import CallError, NotFound, TimedOut, is_retryable
from alluxio_jnifuse.sources.alluxio.workers.known import Workers
from alluxio_jnifuse.sources.alluxio.workers.locality import Locality
from alluxio_jnifuse.sources.alluxio.workers.placement import policy
from alluxio_jnifuse.sources.backoff import Backoff
from alluxio_jnifuse.sources.base import Attr, Extent, Listing, OpenFile, Source, StatFs
from alluxio_jnifuse.sources.limits import Listings
from alluxio_jnifuse.sources.siblings import Siblings
from alluxio_jnifuse.system.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.sources.alluxio.data.shortcircuit import LocalBlock
    from alluxio_jnifuse.sources.alluxio.metadata.listing import Builder
    from alluxio_jnifuse.sources.alluxio.metadata.master import MasterClient
    from alluxio_jnifuse.sources.alluxio.settings import Settings

log = logging.getLogger(__name__)

_SMALL_BYTES = 1 << 20  # what the core takes at most
_DIRECT_AHEAD = 2  # a block file that is opened without asking takes the interpreter's time, and no other
_OUTAGE_S = 600.0  # how old an answer may be while no master answers, where the metadata cache is off
_JUST_NOW_S = 0.1  # how old what an open relies on may be that is to be read elsewhere: told to its own system call
_LOOK_UP_AGE_S = 10.0  # how old an answer to a look-up may be; the kernel's timeout comes on top
_MOST_SIBLINGS = 200_000  # entries of a directory that is listed though nobody asked for that
_REMEMBERED = 500_000  # paths, where the metadata cache is off: 50 to 130 MB if they are ever needed
_COMPLETE_S = 5.0  # how long an open waits for the writer of a file, as Alluxio's does
_COMPLETE_POLL_S = 0.25
_CAPACITY_S = 300.0  # alluxio.fuse.stat.cache.refresh.interval
_STATFS_BLOCK_BYTES = 16 << 10
_MASTER_S = 1.0  # how long a primary master is looked for where what it said before will do


def _is_silence(error: CallError) -> bool:
    """No primary answers, or it does not answer in time: what it said before will do."""
    return is_retryable(error) or isinstance(error, TimedOut)


class _TooLarge(Exception):
    """A directory has more names than are wanted."""


class _Capacity(NamedTuple):
    total: int
    used: int
    until: float


class _Lent:
    """The handle of a lent file: the locks of its blocks."""

    __slots__ = ("blocks",)

    def __init__(self, blocks: list[LocalBlock]) -> None:
        self.blocks = blocks

    def close(self) -> None:
        for block in self.blocks:
            block.close()


class _Opened(NamedTuple):
    """The handle of a file that is read through the daemon; `path` within the mount."""

    path: bytes
    reader: FileReader

    def close(self) -> None:
        self.reader.close()


class AlluxioSource(Source):
    """See the module's docstring. `root`: the cluster's directory to show, as bytes of an absolute path."""

    small_bytes = _SMALL_BYTES

    def __init__(self, settings: Settings, client: MasterClient, root: bytes) -> None:
        self._settings = settings
        self._client = client
        self._root = alluxio_path(root)
        expire_s = settings.metadata_expiration_s if settings.metadata_cache else max(_OUTAGE_S, settings.remembered_s)
        most = settings.metadata_max_entries
        self._metadata = MetadataCache(
            most if settings.metadata_cache else max(most, _REMEMBERED), expire_s, self._root
        )
        self._open_age_s = None if settings.metadata_cache else settings.remembered_s
        self._look_up_age_s = min(_LOOK_UP_AGE_S, settings.remembered_s)
        self._owners = Owners(settings.uid, settings.gid)
        self._listings = Listings(settings.listing_bytes, lambda: self.check_wanted())
        self._siblings = Siblings(self._remember_listing)
        locality = Locality(settings)
        chosen, note = policy(
            settings.ufs_read_policy,
            rank=locality.rank,
            host=settings.ufs_read_policy_host,
            shards=settings.ufs_read_policy_shards,
            reserved=settings.reserved_bytes,
        )
        if note:
            log.warning("%s", note)
        self._workers = Workers(settings, client, locality, chosen, self._metadata.addresses)
        self._local = LocalFiles(settings, self._workers)
        if self._local.asks_nobody:
            self.small_ahead = _DIRECT_AHEAD
        self.stack_depth = _stack_depth(settings)
        self._capacity = _Capacity(0, 0, 0.0)
        self._closed = threading.Event()

    def __str__(self) -> str:
        return f"alluxio://{','.join(self._settings.masters)}{self._root}"

    def connect(self) -> None:
        """Finds masters and workers, and says what was found. Raises SourceError."""
        self._client.connect()
        release = self._client.version()
        try:
            workers = self._workers.list()
            here = self._workers.local()
        except OSError as error:
            log.warning("Alluxio %s: the workers are not known yet: %s", release, error.strerror or error)
            return
        if not workers:
            log.warning("Alluxio %s: no worker has registered; reads wait for one", release)
        elif here is None:
            names = ", ".join(sorted({worker.address.host for worker in workers})[:5])
            log.info(
                "Alluxio %s: %d workers, none on this machine (%s): every read is remote", release, len(workers), names
            )
        else:
            how = "their block files are opened here" if self._settings.short_circuit else "short-circuit is off"
            log.info("Alluxio %s: %d workers, %s is on this machine: %s", release, len(workers), here.address.host, how)

    def mounted(self, device: int) -> None:
        if self._local.asks_nobody:
            return
        try:
            start_thread("worker", self._workers.prepare)
        except MountError as error:
            log.debug("the first read connects to its worker: %s", error)

    # -------------------------------------------------------------------------------------------------- metadata

    def stat(self, path: bytes) -> Attr:
        if self._settings.metadata_cache:
            known = self._metadata.get(path, time.monotonic())
            if known is MISSING:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            if known is not None:
                return attr(known, self._owners)
        else:
            now = time.monotonic()
            known = self._metadata.get(path, now, self._look_up_age_s)
            if isinstance(known, FileStatus):
                return attr(known, self._owners)
        status = self._ask(path)
        if status.completed and not status.folder:  # others are asked for until they are complete
            self._siblings.looked_up(path, time.monotonic())
        return attr(status, self._owners)

    def list(self, path: bytes) -> Listing:
        asked = time.monotonic()
        away = self._client.is_away()
        known = self._metadata.get_listing(path, asked, outdated=away)
        if known is not None and (self._settings.metadata_cache or away):
            return known
        try:
            patience = None if known is None else _MASTER_S
            return self._list(path, asked, patience)
        except CallError as error:
            if known is not None and _is_silence(error):
                return known
            raise

    def _list(self, path: bytes, asked: float, patience: float | None = None, most: int = 0) -> Listing:
        """Asks the master, again if one goes away while it tells. Raises OSError, Cancelled; _TooLarge beyond `most`
        names, if that is not 0.
        """
        settings = self._settings
        usual = settings.rpc_retry_max_duration_s
        deadline = asked + (usual if patience is None else min(patience, usual))
        pauses = Backoff(settings.rpc_retry_base_s, settings.rpc_retry_max_sleep_s, least=0.5)
        while True:
            try:
                return self._list_once(path, asked, patience, most)
            except CallError as error:
                pause = pauses.next()
                if not is_retryable(error) or time.monotonic() + pause >= deadline or self._closed.wait(pause):
                    raise
                forget_frames(error)

    def _list_once(self, path: bytes, asked: float, patience: float | None, most: int) -> Listing:
        with self._listings.one(path) as grow, closing(
            self._client.list_status(alluxio_path(path, self._root), patience)
        ) as batches:  # fmt: skip

            def grown(builder: Builder) -> None:
                grow(builder.size)
                if most and (len(builder) > most or self._closed.is_set()):
                    raise _TooLarge

            return self._metadata.put_listing(path, batches, self._owners, asked, grown)

    def _remember_listing(self, path: bytes) -> bool:
        """Lists a directory for the look-ups to come, unless it is very large."""
        asked = time.monotonic()
        if self._metadata.get_listing(path, asked, self._look_up_age_s) is not None:
            return True
        try:
            self._list(path, asked, most=_MOST_SIBLINGS)
        except _TooLarge:
            return False
        stored = self._metadata.get_listing(path, asked)
        if stored is not None:  # nothing was dropped meanwhile
            self.offer_list(path, stored.entries, stored.names, time.monotonic() - asked)
        return True

    def readlink(self, path: bytes) -> bytes:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)

    def statfs(self) -> StatFs:
        now = time.monotonic()
        if now >= self._capacity.until:
            try:
                self._capacity = _Capacity(*self._client.get_capacity(), now + _CAPACITY_S)
            except OSError:
                if not self._capacity.until:
                    raise
        total = self._capacity.total // _STATFS_BLOCK_BYTES
        free = max(0, self._capacity.total - self._capacity.used) // _STATFS_BLOCK_BYTES
        return StatFs(_STATFS_BLOCK_BYTES, total, free, free, 0, 0, 255)

    def _ask(self, path: bytes) -> FileStatus:
        """Returns what the master says of `path`; what it said last, while it is away. Raises OSError."""
        known = self._metadata.get(path, time.monotonic())
        if not isinstance(known, FileStatus):
            return self._ask_now(path)
        if self._client.is_away():
            return known
        try:
            return self._ask_now(path, _MASTER_S)
        except CallError as error:
            if _is_silence(error):
                forget_frames(error)
                return known
            raise

    def _ask_now(self, path: bytes, patience: float | None = None) -> FileStatus:
        """Returns what the master says of `path`. Raises OSError."""
        asked = time.monotonic()
        try:
            info = self._client.get_status(alluxio_path(path, self._root), patience)
        except NotFound:
            self._metadata.put_missing(path, asked)
            raise
        status = from_info(info, self._metadata.addresses)
        self._metadata.put(path, status, asked)
        return status

    def forget(self, path: bytes) -> None:
        self._metadata.drop(path, time.monotonic())

    def remembered(self) -> int:
        return self._metadata.size()

    def counters(self) -> dict[str, int]:
        return self._client.calls.counts()

    def servers(self) -> dict[str, dict[str, int]]:
        return self._client.calls.by_server()

    # ------------------------------------------------------------------------------------------------------ data

    def open(self, path: bytes, version: int) -> OpenFile:
        status = self._wanted(path, version)
        local = self._local.open(status)
        if status.length and len(local) == len(status.block_ids):
            extents = [Extent(local[index].detach(), 0, local[index].length) for index in range(len(local))]
            return OpenFile(_Lent(list(local.values())), version, status.length, extents)
        if not self._settings.metadata_cache:
            try:
                status = self._wanted(path, version, min(_JUST_NOW_S, self._settings.remembered_s))
            except BaseException:
                close_all(local)
                raise
        return OpenFile(_Opened(path, self._reader(path, status, local)), version, status.length)

    def read_into(self, handle: _Opened, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        try:
            return handle.reader.read_into(offset, buffer, progress)
        except StaleVersion:
            self._metadata.drop(handle.path, time.monotonic())
            raise

    def read_small(
        self,
        path: bytes,
        version: int,
        size: int,
        offset: int,
        buffer: memoryview,
        progress: Callable[[int], None],
    ) -> int:
        now = time.monotonic()
        try:
            status = self._wanted(path, version)
            filled = self._local.read(status, offset, buffer)
            if filled is not None:
                return filled
            local = self._local.open(status)  # one small message less for the worker than sending the bytes
            reader = self._reader(path, status, local)
            try:
                return reader.read_into(offset, buffer, progress)
            finally:
                reader.close()
        except StaleVersion:
            self._metadata.drop(path, now)
            raise

    def _reader(self, path: bytes, status: FileStatus, local: dict[int, LocalBlock]) -> FileReader:
        where = alluxio_path(path, self._root)
        return FileReader(FileBlocks(self._workers, where, status, lambda: self._ask_now(path)), local)

    def close_file(self, handle: _Opened | _Lent) -> None:
        handle.close()

    def close(self) -> None:
        self._closed.set()
        self._local.close()
        self._workers.close()
        self._client.close()

    def _wanted(self, path: bytes, wanted: int, age_s: float | None = None) -> FileStatus:
        """The complete file of version `wanted`, as it was told at most `age_s` ago; by default, as an open may.

        Raises StaleVersion, OSError.
        """
        known = self._metadata.get(path, time.monotonic(), self._open_age_s if age_s is None else age_s)
        if isinstance(known, FileStatus) and not known.folder and version_of(known) == wanted:
            return known
        status = self._ask(path)
        if not status.completed:
            self._await_complete(path)
        if status.folder or version_of(status) != wanted:
            raise StaleVersion(repr(os.fsdecode(path)))
        return status

    def _await_complete(self, path: bytes) -> None:
        """Waits for the writer; raises StaleVersion when he is done, which makes it another file, or OSError."""
        deadline = time.monotonic() + _COMPLETE_S
        while time.monotonic() < deadline and not self._closed.wait(_COMPLETE_POLL_S):
            if self._ask(path).completed:
                raise StaleVersion(repr(os.fsdecode(path)))
        log.warning("%s is still being written; it cannot be read before", os.fsdecode(path))
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)


def _stack_depth(settings: Settings) -> int:
    """That of a worker's directories, where they are seen here and are called as the settings say."""
    if not settings.short_circuit:
        return stacking.NOTHING
    return max([stacking.PLAIN, *map(stacking.depth_over, filter(os.path.isdir, settings.tier_directories))])
