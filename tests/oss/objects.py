"""The operations on objects."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from oss import answers, documents
from oss.answers import Answer, http_date
from oss.errors import OssError
from oss.store import Object, etag_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oss.site import Site
    from oss.wire import Request

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_KEPT = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires")
_DEFAULT_TYPE = "application/octet-stream"


def get(site: Site, request: Request) -> Answer:
    """GET /bucket/key."""
    found = site.store.get(request.bucket, request.key)
    _check_conditions(request.headers, found, "")
    answer = Answer(200, _headers(found), found.content, is_object=True)
    for name, value in request.query.items():
        if name.startswith("response-"):
            answer.headers[name[len("response-") :].title()] = value
    size = found.content.size
    asked = request.headers.get("range")
    if asked is None:
        return answer
    span = range_of(asked, size, request.headers.get("x-oss-range-behavior", "") == "standard")
    if span is not None:
        answer.status = 206
        answer.offset, answer.length = span
        answer.headers["Content-Range"] = f"bytes {span[0]}-{span[0] + span[1] - 1}/{size}"
    return answer


def head(site: Site, request: Request) -> Answer:
    """HEAD /bucket/key; a range is of no interest to it."""
    found = site.store.get(request.bucket, request.key)
    _check_conditions(request.headers, found, "")
    return Answer(200, _headers(found), found.content)


def put(site: Site, request: Request) -> Answer:
    """PUT /bucket/key."""
    if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
        raise OssError("MissingContentLength")
    site.store.bucket(request.bucket)
    content = site.contents.keep(received(request))
    found = Object(content, etag_of(content), time.time(), kept(request.headers))
    site.store.put(request.bucket, {request.key: found}, overwrite=not _forbids_overwriting(request))
    return Answer(headers={"ETag": f'"{found.etag}"', "x-oss-hash-crc64ecma": str(found.checksum())})


def copy(site: Site, request: Request) -> Answer:
    """PUT /bucket/key with x-oss-copy-source."""
    source = source_of(site, request)
    replaced = request.headers.get("x-oss-metadata-directive", "COPY").upper() == "REPLACE"
    headers = kept(request.headers) if replaced else source.headers
    found = Object(source.content, source.etag, time.time(), headers, source.kind, source.crc64)
    site.store.put(request.bucket, {request.key: found}, overwrite=not _forbids_overwriting(request))
    return copied("CopyObjectResult", found)


def append(site: Site, request: Request) -> Answer:
    """POST /bucket/key?append&position=."""
    try:
        before: Object | None = site.store.get(request.bucket, request.key)
    except OssError as error:
        if error.code != "NoSuchKey":
            raise
        before = None
    size = before.content.size if before is not None else 0
    if request.query.get("position") != str(size):
        raise OssError("PositionNotEqualToLength", headers={"x-oss-next-append-position": str(size)})

    def pieces() -> Iterator[bytes]:
        if before is not None:
            yield from before.content.pieces()
        yield from received(request)

    headers = before.headers if before is not None else kept(request.headers)
    found = Object(site.contents.keep(pieces()), "", time.time(), headers, "Appendable")
    found.etag = f"{found.checksum():016X}{found.content.size:016X}"  # no MD5, as that of OSS
    site.store.put(request.bucket, {request.key: found})
    told = {"x-oss-next-append-position": str(found.content.size), "x-oss-hash-crc64ecma": str(found.checksum())}
    return Answer(headers={"ETag": f'"{found.etag}"', **told})


def delete(site: Site, request: Request) -> Answer:
    """DELETE /bucket/key, whether it is there or not."""
    site.store.delete(request.bucket, [request.key])
    return Answer(204)


def range_of(header: str, size: int, standard: bool) -> tuple[int, int] | None:
    """Offset and length of a Range header, None for the whole object.

    A range that is not within the object, be it only its last byte, is ignored; with `standard` it is cut where the
    object ends, and InvalidRange when nothing is left.
    """
    match = _RANGE.fullmatch(header.strip())
    first, last = match.groups() if match is not None else ("", "")
    if first:
        start, end = int(first), int(last) + 1 if last else size
    else:
        start, end = size - int(last or "0"), size
    if standard:
        start, end = max(0, start) if not first else start, min(end, size)
        if match is None or start >= end:
            raise OssError("InvalidRange", details={"ActualObjectSize": str(size), "RangeHeader": header})
    return (start, end - start) if match is not None and 0 <= start < end <= size else None


def source_of(site: Site, request: Request) -> Object:
    """The object that is to be copied."""
    bucket, _, key = unquote(request.headers["x-oss-copy-source"]).lstrip("/").partition("/")
    found = site.store.get(bucket, key)
    _check_conditions(request.headers, found, "x-oss-copy-source-")
    return found


def received(request: Request) -> Iterator[bytes]:
    """The body of a request. Raises OssError after it when it is not what its MD5 says."""
    digest = hashlib.md5()
    expected = request.headers.get("content-md5")
    for piece in request.pieces():
        if expected is not None:
            digest.update(piece)
        yield piece
    if expected is not None and base64.b64encode(digest.digest()).decode() != expected:
        raise OssError("InvalidDigest", details={"Content-MD5": expected})


def copied(tag: str, found: Object) -> Answer:
    """The answer to who copied something."""
    text = documents.document(tag, ("LastModified", documents.iso(found.modified)), ("ETag", f'"{found.etag}"'))
    answer = answers.document(text)
    answer.headers["ETag"] = f'"{found.etag}"'
    return answer


def kept(headers: dict[str, str]) -> dict[str, str]:
    """The headers of a request that come back with the object."""
    return {n.title(): v for n, v in headers.items() if n in _KEPT} | {
        n: v for n, v in headers.items() if n.startswith("x-oss-meta-")
    }


def _headers(found: Object) -> dict[str, str]:
    return {
        "Content-Type": _DEFAULT_TYPE,
        **found.headers,
        "Accept-Ranges": "bytes",
        "ETag": f'"{found.etag}"',
        "Last-Modified": http_date(int(found.modified)),
        "x-oss-object-type": found.kind,
        "x-oss-hash-crc64ecma": str(found.checksum()),
        "x-oss-storage-class": "Standard",
    }


def _check_conditions(headers: dict[str, str], found: Object, prefix: str) -> None:
    """Raises OssError when a condition in headers with that prefix does not hold."""
    matches = headers.get(f"{prefix}if-match")
    if matches is not None and matches.strip('"') != found.etag:
        raise OssError("PreconditionFailed", details={"Condition": "If-Match"})
    since = _time(headers.get(f"{prefix}if-unmodified-since"))
    if since is not None and int(found.modified) > since:
        raise OssError("PreconditionFailed", details={"Condition": "If-Unmodified-Since"})
    differs = headers.get(f"{prefix}if-none-match")
    if differs is not None and differs.strip('"') == found.etag:
        raise OssError("NotModified", headers={"ETag": f'"{found.etag}"'})
    since = _time(headers.get(f"{prefix}if-modified-since"))
    if since is not None and int(found.modified) <= since:
        raise OssError("NotModified", headers={"ETag": f'"{found.etag}"'})


def _time(header: str | None) -> float | None:
    if header is None:
        return None
    try:
        return parsedate_to_datetime(header).timestamp()
    except (TypeError, ValueError):
        return None


def _forbids_overwriting(request: Request) -> bool:
    return request.headers.get("x-oss-forbid-overwrite", "").lower() == "true"
