"""Pages of keys: ListObjectsV2, and its predecessor where a server does not speak that.

A server that does not know `list-type` ignores it and answers in the old way, which is noticed by how the next page is
asked for; one that refuses it is asked in the old way from then on.

Threads: any.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

from alluxio_jnifuse.errors import SourceError
from alluxio_jnifuse.sources.oss import dates
from alluxio_jnifuse.sources.oss.http.connection import Malformed
from alluxio_jnifuse.sources.oss.requests import documents
from alluxio_jnifuse.sources.oss.requests.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alluxio_jnifuse.sources.oss.requests.client import Client
    from alluxio_jnifuse.sources.oss.requests.patience import Patience

log = logging.getLogger(__name__)

_MOST_KEYS = 1000  # what OSS gives at most
_MOST_TAKEN = 10 * _MOST_KEYS  # of a server that gives more than it is asked for
_UNKNOWN_STATUS = frozenset({400, 405, 501})  # what a server may say to parameters that it does not know
_SECONDS_MAX = (2**63 - 1) // 10**9  # times beyond this do not fit into nanoseconds
_TOKEN, _MARKER = "continuation-token", "marker"


class Found(NamedTuple):
    """One object of a page. `linked`: it is a symbolic link of OSS, and the rest is not that of what it stands for."""

    key: bytes
    size: int  # bytes
    etag: str  # without quotes
    mtime_s: int  # since the epoch
    linked: bool


class Page(NamedTuple):
    """One answer. `next`: the parameter that asks for what follows, or None at the end.

    `bucket`, `prefix`: what it says that it is a listing of; "" and None where it does not say.
    """

    objects: list[Found]
    prefixes: list[bytes]
    next: tuple[str, str] | None
    bucket: str = ""
    prefix: bytes | None = None

    def last(self) -> bytes:
        """The greatest key or prefix: what there is before it, is in the page."""
        return max(self.objects[-1].key if self.objects else b"", self.prefixes[-1] if self.prefixes else b"")


class Pages:
    """Lists the bucket of `client`, with `/` for a delimiter."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._version: int | None = None  # of ListObjects that the server speaks; None: not known
        self._bucket = ""  # as listings name it, which may be another name than ours

    def first(self, prefix: str, most: int, patience: Patience) -> Page:
        """The first `most` keys and prefixes that begin with `prefix`. Raises Refused, SourceError."""
        return self._ask(prefix, most, None, patience)

    def all(self, prefix: str, patience: Patience) -> Iterator[Page]:
        """All pages of a prefix, each of keys behind those of the one before. Raises as `first`."""
        page = self._ask(prefix, _MOST_KEYS, None, patience)
        yield page
        last = page.last()
        while page.next is not None:
            before = page.next
            page = self._ask(prefix, _MOST_KEYS, before, patience)
            if page.next == before or (page.last() and page.last() <= last):
                raise SourceError("the server sends the same page again and again", where=f"listing of {prefix!r}")
            yield page
            last = page.last() or last

    def _ask(self, prefix: str, most: int, after: tuple[str, str] | None, patience: Patience) -> Page:
        params = {"prefix": prefix, "delimiter": "/", "max-keys": str(most), "encoding-type": "url"}
        if after is not None:
            params[after[0]] = after[1]
        if self._version == 1 or (after is not None and after[0] == _MARKER):
            return self._parsed(params, patience)
        try:
            page = self._parsed({"list-type": "2", **params}, patience)
        except Refused as error:
            if self._version is not None or error.status not in _UNKNOWN_STATUS:
                raise
            try:
                page = self._parsed(params, patience)
            except Refused:
                raise error from None  # that was not why
            self._version = 1
            log.info("the server does not know ListObjectsV2; it is asked in the old way")
            return page
        self._version = 2
        return page

    def _parsed(self, params: dict[str, str], patience: Patience) -> Page:
        """A page that is of OSS and of what was asked for; an answer that is not is none, and asked for again."""
        while True:
            _, body = self._client.ask("list", "", params, patience)
            try:
                page = self._understood(body, params["prefix"].encode())
            except Malformed as error:
                patience.failed(error)
            else:
                patience.came()
                return page

    def _understood(self, body: bytes, prefix: bytes) -> Page:
        """Raises Malformed."""
        try:
            page = parse(body)
        except (ValueError, KeyError) as error:
            raise Malformed(f"the listing of {prefix!r} cannot be understood") from error
        below = [*(found.key for found in page.objects), *page.prefixes]
        other = page.prefix not in (None, prefix) or not all(each.startswith(prefix) for each in below)
        if other or self._bucket not in ("", page.bucket):
            raise Malformed(f"the listing of {prefix!r} is one of something else")
        self._bucket = page.bucket
        return page


def parse(body: bytes) -> Page:
    """A page in XML. Raises ValueError, KeyError."""
    said: dict[str, str] = {}
    contents: list[dict[str, str]] = []
    common: list[str] = []

    def take(name: str, text: str, fields: dict[str, str]) -> None:
        if name == "Contents":
            contents.append(fields)
        elif name == "CommonPrefixes":
            common.append(fields.get("Prefix", ""))
        else:
            said[name] = text
        if len(contents) + len(common) > _MOST_TAKEN:
            raise ValueError("more keys than a page has")

    if documents.read(body, take) != "ListBucketResult":
        raise ValueError("no ListBucketResult")
    encoded = said.get("EncodingType") == "url"

    def key_of(text: str) -> bytes:
        return unquote_to_bytes(text) if encoded else text.encode()

    objects = [
        Found(
            key_of(fields["Key"]),
            _size(fields["Size"]),
            fields.get("ETag", "").strip('"'),
            in_range(dates.of_iso(fields["LastModified"])),
            fields.get("Type") == "Symlink",
        )
        for fields in contents
    ]
    told = said.get("Prefix")
    prefixes = [key_of(text) for text in common]
    page = Page(objects, prefixes, None, said.get("Name", ""), None if told is None else key_of(told))
    truncated = said.get("IsTruncated")
    if truncated == "false":
        return page
    if truncated != "true":
        raise ValueError("whether that is all")
    token = said.get("NextContinuationToken")
    if token:
        return page._replace(next=(_TOKEN, key_of(token).decode()))
    marker = key_of(said.get("NextMarker", "")) or page.last()
    return page._replace(next=(_MARKER, marker.decode()))


def in_range(seconds: int) -> int:
    """A time that can be shown; others are as far off as that allows."""
    return max(-_SECONDS_MAX, min(seconds, _SECONDS_MAX))


def _size(text: str) -> int:
    size = int(text)
    if not 0 <= size < 1 << 63:
        raise ValueError(f"{size} is no size")
    return size
