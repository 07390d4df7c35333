"""Multipart uploads."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oss import answers, documents
from oss.answers import Answer
from oss.errors import OssError, invalid_argument
from oss.objects import copied, kept, range_of, received, source_of
from oss.store import Object, etag_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oss.contents import Content
    from oss.site import Site
    from oss.wire import Request

_MOST_PARTS = 10_000
_PARTS_PER_PAGE = 1000


@dataclass
class Upload:
    """One that is under way, with its parts by number."""

    bucket: str
    key: str
    headers: dict[str, str]
    begun: float = field(default_factory=time.time)
    parts: dict[int, Object] = field(default_factory=dict)


class Uploads:
    """Those under way, by id. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, Upload] = {}

    def begin(self, upload: Upload) -> str:
        """The id of a new one."""
        name = uuid.uuid4().hex.upper()
        with self._lock:
            self._found[name] = upload
        return name

    def of(self, request: Request) -> Upload:
        """The one that a request names. Raises OssError."""
        with self._lock:
            found = self._found.get(request.query["uploadId"])
        if found is None or (found.bucket, found.key) != (request.bucket, request.key):
            raise OssError("NoSuchUpload", details={"UploadId": request.query["uploadId"]})
        return found

    def end(self, request: Request) -> None:
        """It is complete, or given up."""
        with self._lock:
            self._found.pop(request.query["uploadId"], None)

    def in_bucket(self, bucket: str, prefix: str) -> list[tuple[str, str, Upload]]:
        """(key, id, upload) of all in a bucket, sorted."""
        with self._lock:
            found = [(u.key, n, u) for n, u in self._found.items() if u.bucket == bucket and u.key.startswith(prefix)]
        return sorted(found, key=lambda each: each[:2])


def initiate(site: Site, request: Request) -> Answer:
    """POST /bucket/key?uploads."""
    site.store.bucket(request.bucket)
    name = site.uploads.begin(Upload(request.bucket, request.key, kept(request.headers)))
    return _document("InitiateMultipartUploadResult", request, ("UploadId", name))


def put_part(site: Site, request: Request) -> Answer:
    """PUT /bucket/key?uploadId=&partNumber=."""
    found = _keep(site, request, site.contents.keep(received(request)))
    return Answer(headers={"ETag": f'"{found.etag}"', "x-oss-hash-crc64ecma": str(found.checksum())})


def copy_part(site: Site, request: Request) -> Answer:
    """The same with x-oss-copy-source."""
    source = source_of(site, request)
    header = request.headers.get("x-oss-copy-source-range")
    span = range_of(header, source.content.size, standard=True) if header is not None else None
    found = _keep(site, request, site.contents.keep(source.content.pieces(*(span or ()))))
    return copied("CopyPartResult", found)


def list_parts(site: Site, request: Request) -> Answer:
    """GET /bucket/key?uploadId=."""
    upload = site.uploads.of(request)
    after = int(request.query.get("part-number-marker") or "0")
    most = int(request.query.get("max-parts") or _PARTS_PER_PAGE)
    numbers = sorted(number for number in upload.parts if number > after)
    page = numbers[:most]
    items = [_part(number, upload.parts[number]) for number in page]
    return _document(
        "ListPartsResult",
        request,
        ("UploadId", request.query["uploadId"]),
        ("StorageClass", "Standard"),
        ("PartNumberMarker", after),
        ("NextPartNumberMarker", page[-1] if page else 0),
        ("MaxParts", most),
        ("IsTruncated", len(numbers) > most),
        *items,
    )


def list_uploads(site: Site, request: Request) -> Answer:
    """GET /bucket?uploads, all on one page."""
    site.store.bucket(request.bucket)
    encoded = request.query.get("encoding-type") == "url"
    encode = documents.url_encoded if encoded else str
    prefix = request.query.get("prefix", "")
    found = site.uploads.in_bucket(request.bucket, prefix)
    items: list[documents.Item | str] = [("Bucket", request.bucket), ("Prefix", encode(prefix))]
    items += [("EncodingType", "url")] if encoded else []
    items += [("NextKeyMarker", ""), ("NextUploadIdMarker", ""), ("MaxUploads", 1000), ("IsTruncated", False)]
    for key, name, upload in found:
        begun = documents.iso(upload.begun)
        items.append(documents.element("Upload", ("Key", encode(key)), ("UploadId", name), ("Initiated", begun)))
    return answers.document(documents.document("ListMultipartUploadsResult", *items))


def complete(site: Site, request: Request) -> Answer:
    """POST /bucket/key?uploadId=."""
    upload = site.uploads.of(request)
    root = documents.parse(request.read())
    numbers = [int(text) for text in documents.texts(root, "Part/PartNumber")]
    etags = [text.strip('"') for text in documents.texts(root, "Part/ETag")]
    if numbers != sorted(set(numbers)):
        raise OssError("InvalidPartOrder")
    if not numbers or [upload.parts[n].etag if n in upload.parts else "" for n in numbers] != etags:
        raise OssError("InvalidPart")
    parts = [upload.parts[number].content for number in numbers]

    def pieces() -> Iterator[bytes]:
        for part in parts:
            yield from part.pieces()

    digest = hashlib.md5("".join(etags).encode()).hexdigest().upper()
    found = Object(
        site.contents.keep(pieces()), f"{digest}-{len(parts)}", time.time(), upload.headers, kind="Multipart"
    )
    site.store.put(request.bucket, {request.key: found})
    site.uploads.end(request)
    answer = _document(
        "CompleteMultipartUploadResult",
        request,
        ("Location", f"http://{request.host}/{request.bucket}/{documents.url_encoded(request.key)}"),
        ("ETag", f'"{found.etag}"'),
    )
    answer.headers.update({"ETag": f'"{found.etag}"', "x-oss-hash-crc64ecma": str(found.checksum())})
    return answer


def abort(site: Site, request: Request) -> Answer:
    """DELETE /bucket/key?uploadId=."""
    site.uploads.of(request)
    site.uploads.end(request)
    return Answer(204)


def _keep(site: Site, request: Request, content: Content) -> Object:
    number = request.query["partNumber"]
    if not number.isdigit() or not 1 <= int(number) <= _MOST_PARTS:
        raise invalid_argument("partNumber", number)
    found = Object(content, etag_of(content), time.time())
    site.uploads.of(request).parts[int(number)] = found
    return found


def _part(number: int, part: Object) -> str:
    return documents.element(
        "Part",
        ("PartNumber", number),
        ("LastModified", documents.iso(part.modified)),
        ("ETag", f'"{part.etag}"'),
        ("Size", part.content.size),
    )


def _document(tag: str, request: Request, *items: documents.Item | str) -> Answer:
    encoded = request.query.get("encoding-type") == "url"
    key = documents.url_encoded(request.key) if encoded else request.key
    known: list[documents.Item | str] = [("EncodingType", "url")] if encoded else []
    return answers.document(documents.document(tag, *known, ("Bucket", request.bucket), ("Key", key), *items))
