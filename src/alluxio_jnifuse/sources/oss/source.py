"""The Source of a bucket: what the core asks, from what is remembered or by asking OSS.

An object never changes in place: who writes it again makes another version, with another ETag, size or time. So what a
listing told is enough to read it: each GetObject is pinned to the version, and one that finds another is StaleVersion.

    file of up to `small_bytes`    never opened: each read is one `read_small`, one GetObject without a look-up
    else                           a handle, for a HeadObject; each range of a read is a GetObject

Either way an object that was replaced since it was looked up is noticed before the open is answered: the core waits for
the first bytes of a small one. So nobody has seen anything of the old version, and the kernel looks the name up again.

When a version turns out not to be there any more, core and kernel are told to forget the path.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import SourceError, StaleVersion, Unreachable
from alluxio_jnifuse.mounts import stacking
from alluxio_jnifuse.sources.base import Attr, Listing, OpenFile, Source, StatFs
from alluxio_jnifuse.sources.limits import Listings
from alluxio_jnifuse.sources.oss.objects.listing import Owner, attr_of, directory_record
from alluxio_jnifuse.sources.oss.objects.lookup import Lookup, TooLarge
from alluxio_jnifuse.sources.oss.objects.reader import OpenObject, Reader
from alluxio_jnifuse.sources.oss.requests.client import Client
from alluxio_jnifuse.sources.oss.requests.errors import FAILURES, diagnose
from alluxio_jnifuse.sources.siblings import Siblings

if TYPE_CHECKING:
    from collections.abc import Callable

    from alluxio_jnifuse.sources.oss.auth.credentials import Provider
    from alluxio_jnifuse.sources.oss.settings import Settings

log = logging.getLogger(__name__)

_SMALL_BYTES = 1 << 20  # what the core takes at most
_SMALL_AHEAD = 32  # hides 10 ms of latency at 3,000 objects/s, which is as many as one interpreter can ask for
_JUST_NOW_S = 0.1  # how old what an open relies on may be: told to its own system call
_LOOK_UP_AGE_S = 10.0  # how old an answer to a look-up may be; the kernel's timeout comes on top
_MOST_SIBLINGS = 100_000  # names in a directory that is listed though nobody asked for that: 100 requests
_STATFS = StatFs(4096, 1 << 38, 1 << 38, 1 << 38, 0, 0, 255)  # a PiB: a bucket has no size


class OssSource(Source):
    """See the module's docstring. `provider` None: requests are not signed. Raises ConfigError."""

    small_bytes = _SMALL_BYTES
    small_ahead = _SMALL_AHEAD
    stack_depth = stacking.NOTHING

    def __init__(self, settings: Settings, provider: Provider | None) -> None:
        self._settings = settings
        self._client = Client(settings, provider, lambda: self.check_wanted())
        self._owner = Owner(settings.uid, settings.gid, int(time.time()))
        self._lookup = Lookup(self._client, self._owner, Listings(settings.listing_bytes, lambda: self.check_wanted()))
        self._reader = Reader(self._client)
        self._siblings = Siblings(self._remember_listing)
        self._just_now_s = min(_JUST_NOW_S, settings.remembered_s)
        self._look_up_age_s = min(_LOOK_UP_AGE_S, settings.remembered_s)
        self._closed = threading.Event()
        self._how = f"signed ({settings.signature}) with {provider.name}" if provider is not None else "not signed"

    def __str__(self) -> str:
        return f"oss://{self._settings.endpoint.bucket}/{self._settings.prefix}"

    def connect(self) -> None:
        """Makes sure that the directory is there and may be listed. Raises SourceError, which says what is wrong."""
        where = f"{self} at {self._settings.endpoint}"
        patience = self._client.patience(self._settings.mount_patience_s, where)
        while True:
            try:
                found = self._lookup.root_exists()
                break
            except (*FAILURES, SourceError) as error:
                diagnosis = diagnose(error, self._settings)
                try:
                    if diagnosis.hopeless:
                        raise
                    patience.failed(error)
                except (*FAILURES, SourceError):
                    kind = SourceError if diagnosis.hopeless else Unreachable
                    raise kind(diagnosis.what, where=where, remedy=diagnosis.remedy) from error
        if not found:
            raise SourceError(
                f"no key of the bucket begins with {self._settings.prefix!r}",
                where=where,
                remedy="correct the directory",
            )
        log.info("%s: %s", where, self._how)

    # -------------------------------------------------------------------------------------------------- metadata

    def stat(self, path: bytes) -> Attr:
        if path == b"/":
            return attr_of(directory_record(self._owner), self._owner)
        now = time.monotonic()
        known = self._lookup.remembered.get(path, now - self._look_up_age_s)
        if known is not None:
            return attr_of(known, self._owner)
        record = self._lookup.look_up(path)
        if not record.directory:
            self._siblings.looked_up(path, now)
        return attr_of(record, self._owner)

    def list(self, path: bytes) -> Listing:
        directory = self._lookup.listing(path)
        return Listing(directory.entries, directory.names)

    def _remember_listing(self, path: bytes) -> bool:
        """Lists a directory for the look-ups to come, unless it is very large."""
        asked = time.monotonic()
        try:
            directory = self._lookup.listing(path, self._may_go_on)
        except TooLarge:
            return False
        self.offer_list(path, directory.entries, directory.names, time.monotonic() - asked)
        return True

    def _may_go_on(self, names: int) -> bool:
        return names <= _MOST_SIBLINGS and not self._closed.is_set()

    def readlink(self, path: bytes) -> bytes:
        self.stat(path)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)

    def forget(self, path: bytes) -> None:
        self._lookup.remembered.forget(path, time.monotonic())

    def remembered(self) -> int:
        return self._lookup.remembered.size()

    def statfs(self) -> StatFs:
        return _STATFS

    def counters(self) -> dict[str, int]:
        return {f"oss_{name}": number for name, number in self._client.counters.counts().items()}

    def servers(self) -> dict[str, dict[str, int]]:
        by_server = self._client.counters.by_server()
        return {host: {f"oss_{name}": n for name, n in counts.items()} for host, counts in by_server.items()}

    # ------------------------------------------------------------------------------------------------------ data

    def open(self, path: bytes, version: int) -> OpenFile:
        remembered = self._lookup.remembered
        record = remembered.get(path)
        if record is None or record.version != version:
            record = self._lookup.look_up(path) if path != b"/" else directory_record(self._owner)
        elif remembered.get(path, time.monotonic() - self._just_now_s) is None and not record.directory:
            self._lookup.confirm(path, record)
        if record.directory or record.version != version:
            raise StaleVersion(repr(os.fsdecode(path)))
        obj = OpenObject(path, self._lookup.key(path), version, record.size, record.etag)
        return OpenFile(obj, version, record.size)

    def read_into(self, handle: OpenObject, offset: int, buffer: memoryview, progress: Callable[[int], None]) -> int:
        try:
            return self._reader.read_into(handle, offset, buffer, progress)
        except StaleVersion:
            self._lookup.remembered.drop(handle.path, time.monotonic())
            self.invalidate(handle.path)
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
        record = self._lookup.remembered.get(path)
        etag = record.etag if record is not None and record.version == version else ""
        obj = OpenObject(path, self._lookup.key(path), version, size, etag)
        try:
            if offset or len(buffer) < size:
                return self._reader.read_into(obj, offset, buffer, progress)
            return self._reader.read_whole(obj, buffer, progress)
        except StaleVersion:
            self._lookup.remembered.drop(path, time.monotonic())
            raise

    def close_file(self, handle: OpenObject) -> None:
        """There is nothing to give up."""

    def close(self) -> None:
        self._closed.set()
        self._client.close()
