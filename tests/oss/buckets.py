"""The operations on buckets."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from oss import answers, documents
from oss.answers import Answer
from oss.errors import OssError, invalid_argument
from oss.store import PRIVATE

if TYPE_CHECKING:
    from oss.site import Site
    from oss.wire import Request

_MOST_KEYS, _DEFAULT_KEYS = 1000, 100


def list_buckets(site: Site, request: Request) -> Answer:
    """GET /."""
    region = site.access.region
    prefix = request.query.get("prefix", "")
    found = "".join(documents.bucket(b, region) for b in site.store.buckets() if b.name.startswith(prefix))
    text = documents.document("ListAllMyBucketsResult", documents.OWNER, documents.element("Buckets", found))
    return answers.document(text)


def create(site: Site, request: Request) -> Answer:
    """PUT /bucket."""
    request.read()
    site.store.create(request.bucket, request.headers.get("x-oss-acl", PRIVATE))
    return Answer(headers={"Location": f"/{request.bucket}"})


def delete(site: Site, request: Request) -> Answer:
    """DELETE /bucket."""
    site.store.remove(request.bucket)
    return Answer(204)


def info(site: Site, request: Request) -> Answer:
    """GET /bucket?bucketInfo."""
    found = site.store.bucket(request.bucket)
    grant = documents.element("AccessControlList", ("Grant", found.acl))
    text = documents.bucket(found, site.access.region, documents.OWNER, grant)
    return answers.document(documents.document("BucketInfo", text))


def acl(site: Site, request: Request) -> Answer:
    """GET /bucket?acl."""
    found = site.store.bucket(request.bucket)
    grant = documents.element("AccessControlList", ("Grant", found.acl))
    return answers.document(documents.document("AccessControlPolicy", documents.OWNER, grant))


def location(site: Site, request: Request) -> Answer:
    """GET /bucket?location."""
    site.store.bucket(request.bucket)
    return answers.document(documents.document("LocationConstraint", f"oss-{site.access.region}"))


def list_objects(site: Site, request: Request) -> Answer:
    """GET /bucket, in the first version or, with list-type=2, in the second."""
    query = request.query
    second = query.get("list-type") == "2"
    encoded = query.get("encoding-type") == "url"
    encode = documents.url_encoded if encoded else str
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    most = _number(query.get("max-keys") or str(_DEFAULT_KEYS))
    token = query.get("continuation-token", "")
    after = query.get("start-after" if second else "marker", "")
    if second and token:
        after = _read_token(token)
    page, found = site.store.page(request.bucket, prefix, delimiter, after, most)
    owner = not second or query.get("fetch-owner") == "true"
    items: list[documents.Item | str] = [
        ("Name", request.bucket),
        ("Prefix", encode(prefix)),
        ("MaxKeys", most),
        ("Delimiter", encode(delimiter)),
        ("IsTruncated", page.truncated),
    ]
    if encoded:
        items.append(("EncodingType", "url"))
    if second:
        items += [("StartAfter", encode(query.get("start-after", ""))), ("KeyCount", len(found) + len(page.prefixes))]
        items += [("ContinuationToken", encode(token))] if token else []
        items += [("NextContinuationToken", encode(_token(page.last)))] if page.truncated else []
    else:
        items += [("Marker", encode(after))]
        items += [("NextMarker", encode(page.last))] if page.truncated else []
    items += [documents.entry(encode(key), one, owner) for key, one in zip(page.keys, found)]
    items += [documents.element("CommonPrefixes", ("Prefix", encode(one))) for one in page.prefixes]
    return answers.document(documents.document("ListBucketResult", *items))


def delete_objects(site: Site, request: Request) -> Answer:
    """POST /bucket?delete."""
    root = documents.parse(request.read())
    keys = list(documents.texts(root, "Object/Key"))
    if not keys or len(keys) > _MOST_KEYS:
        raise OssError("MalformedXML")
    site.store.delete(request.bucket, keys)
    if "true" in documents.texts(root, "Quiet"):
        return Answer()
    encoded = request.query.get("encoding-type") == "url"
    encode = documents.url_encoded if encoded else str
    items: list[documents.Item | str] = [("EncodingType", "url")] if encoded else []
    items += [documents.element("Deleted", ("Key", encode(key))) for key in keys]
    return answers.document(documents.document("DeleteResult", *items))


def _number(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _MOST_KEYS:
        raise invalid_argument("max-keys", text)
    return int(text)


def _token(last: str) -> str:
    """One that nobody takes for a key."""
    return base64.b64encode(b"\n\0" + last.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True)[2:].decode()
    except (binascii.Error, UnicodeDecodeError):
        raise invalid_argument("continuation-token", token) from None
