"""Looking up a path: a file, a directory or nothing.

Two things may have a name, an object and keys below it, and one request tells of both: the keys that begin with the
name, in their order, up to the next slash. The object is the first of them; of `name/` there is word within the first
few, unless many names begin with this one and go on with a character before the slash.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from alluxio_jnifuse.errors import SourceError, StaleVersion
from alluxio_jnifuse.sources.oss import dates
from alluxio_jnifuse.sources.oss.http.connection import number
from alluxio_jnifuse.sources.oss.objects.listing import (
    Builder,
    Directory,
    Owner,
    Record,
    directory_record,
    file_record,
    link_number,
)
from alluxio_jnifuse.sources.oss.objects.pages import Pages, in_range
from alluxio_jnifuse.sources.oss.objects.remembered import Remembered
from alluxio_jnifuse.sources.oss.requests.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alluxio_jnifuse.sources.limits import Listings
    from alluxio_jnifuse.sources.oss.objects.pages import Found
    from alluxio_jnifuse.sources.oss.requests.client import Client
    from alluxio_jnifuse.sources.oss.requests.patience import Patience

log = logging.getLogger(__name__)

_FEW = 16  # keys: `name`, `name.txt`, `name-1` ... come before `name/`
_REMEMBERED = 500_000  # paths: 130 bytes each in a listing, 450 of a look-up
_MOST_COMPLAINTS = 1000  # directories whose hidden names the log has told of
_PARENT_S = 60.0  # since a directory was seen, in which nothing is: the kernel asked for it before
_KEY_MAX = 1023  # bytes; OSS has no longer ones


class TooLarge(Exception):
    """A directory has more names than are wanted."""


class Lookup:
    """See the module's docstring. Any thread."""

    def __init__(self, client: Client, owner: Owner, listings: Listings) -> None:
        self._listings = listings
        self.remembered = Remembered(_REMEMBERED)
        self._client = client
        self._settings = client.settings
        self._owner = owner
        self._pages = Pages(client)
        self._complained: set[bytes] = set()

    def key(self, path: bytes) -> str:
        """The key of an object. Raises FileNotFoundError for a path that cannot be one."""
        try:
            key = self._settings.prefix + path[1:].decode()
        except UnicodeDecodeError:
            raise missing(path) from None  # keys are UTF-8
        if len(key.encode()) > _KEY_MAX:
            raise missing(path)
        return key

    def root_exists(self) -> bool:
        """Whether the bucket has the directory to show. One attempt; raises Refused, Broken, CredentialsError."""
        prefix = self._settings.prefix
        page = self._pages.first(prefix, 1, self._client.impatience())
        return not prefix or bool(page.objects or page.prefixes)

    def look_up(self, path: bytes) -> Record:
        """Returns the entry at a path now. Raises FileNotFoundError, NotADirectoryError, Refused, SourceError."""
        key = self.key(path)
        encoded = key.encode()
        asked = time.monotonic()
        patience = self._patience(path)
        page = self._pages.first(key, _FEW, patience)
        below = encoded + b"/"
        found = next((each for each in page.objects if each.key == encoded), None)
        directory = below in page.prefixes
        if not directory and page.next is not None and page.last() < below:
            rest = self._pages.first(key + "/", 1, patience)
            directory = bool(rest.objects or rest.prefixes)
        if directory:
            record = directory_record(self._owner)
        elif found is not None:
            record = self._file(key, found, patience)
        else:
            self.remembered.drop(path, asked)
            raise self._nothing(path)
        self.remembered.put(path, record, asked)
        return record

    def listing(self, path: bytes, may_go_on: Callable[[int], bool] = lambda names: True) -> Directory:
        """The directory `path`, which is remembered. `may_go_on` is asked after each page, how many names there are.

        Raises FileNotFoundError, NotADirectoryError, Refused, SourceError; EFBIG beyond `listing_limit`; TooLarge when
        it may not go on; Cancelled.
        """
        prefix = self.key(path + b"/") if path != b"/" else self._settings.prefix
        asked = time.monotonic()
        builder = Builder(prefix.encode(), self._owner)
        with self._listings.one(path) as grow:
            for page in self._pages.all(prefix, self._patience(path)):
                builder.add(page)
                grow(builder.size)
                if not may_go_on(len(builder)):
                    raise TooLarge
        if prefix and not builder.exists:
            if path != b"/" and not self.look_up(path).directory:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            raise missing(path)
        directory = builder.finish(asked)
        self.remembered.put_listing(path, directory)
        if builder.hidden:
            self._complain(path, builder)
        return directory

    def _patience(self, path: bytes) -> Patience:
        return self._client.patience(self._settings.metadata_patience_s, repr(os.fsdecode(path)))

    def confirm(self, path: bytes, record: Record) -> None:
        """Makes sure that an object is what was remembered of it. Raises StaleVersion, Refused, SourceError."""
        asked = time.monotonic()
        try:
            found = self._head(self.key(path), self._patience(path))
        except Refused as error:
            if not error.missing:
                raise
            same = False
        else:
            same = (found.etag, found.size) == (record.etag, record.size)
        if not same:
            self.remembered.drop(path, asked)
            raise StaleVersion(repr(os.fsdecode(path)))
        self.remembered.put(path, record, asked)

    def _file(self, key: str, found: Found, patience: Patience) -> Record:
        if not found.linked:
            return file_record(found.etag, found.size, found.mtime_s)
        return self._head(key, patience)._replace(number=link_number(found.key))

    def _head(self, key: str, patience: Patience) -> Record:
        headers, _ = self._client.ask("head", key, {}, patience)
        size = number(headers.get("content-length", ""))
        if size is None:
            raise SourceError("an answer without the size of its object", where=repr(key))
        return record_of(headers, size, key)

    def _nothing(self, path: bytes) -> OSError:
        """Why there is nothing at `path`. The kernel asks for names in directories; others may ask for more."""
        parent = path.rpartition(b"/")[0]
        if not parent or self.remembered.is_directory(parent, time.monotonic() - _PARENT_S):
            return missing(path)
        if self.look_up(parent).directory:
            return missing(path)
        return NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)

    def _complain(self, path: bytes, builder: Builder) -> None:
        if path in self._complained or len(self._complained) >= _MOST_COMPLAINTS:
            return
        self._complained.add(path)
        example = os.fsdecode(builder.example[:100])
        log.warning("%r: %d keys cannot be shown as names, for example %r", os.fsdecode(path), builder.hidden, example)


def record_of(headers: Mapping[str, str], size: int, key: str) -> Record:
    """Returns what an answer says of the object it is about. Raises SourceError."""
    etag = headers.get("etag", "").strip('"')
    modified = headers.get("last-modified", "")
    try:
        return file_record(etag, size, _seconds(modified))
    except (ValueError, TypeError, OverflowError):
        raise SourceError(f"an answer without the time of its object: {modified!r}", where=repr(key)) from None


@lru_cache(maxsize=1024)  # objects that were written together
def _seconds(text: str) -> int:
    return in_range(dates.of_http(text))


def missing(path: bytes) -> OSError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
